// Connections that have to end while requests are under way on them: pods that are replaced one after the other, and a maximum age. Clients are
// asked in time to go elsewhere, and no request, call or stream is lost: Node's clients of HTTP/1.1 and HTTP/2, grpc-js, grpc-go.
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2, createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { captured } from '../../support/http2/captured.ts';
import { grpcInterop, type Interop, startInteropServer } from '../../support/http2/grpcinterop.ts';
import { Soak } from '../../support/http2/soak.ts';
import { answerOf, exchange } from '../../support/http2/throughgate.ts';
import { HttpLoad, type Spoken, spoken, startApplication } from '../../support/httpload.ts';
import { carried, Mesh, type Pod, until as within } from '../../support/pocketmesh.ts';
import { bothWays } from '../../support/ways.ts';

const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 90_000);
const minute = 60_000;
const published = 8080;

let interop: Interop;
beforeAll(async () => {
  interop = await grpcInterop();
}, 15 * minute);

/** One of the pods in front of an application. A stopping one gives streams as long as a busy machine needs. */
async function replica(mesh: Mesh, port: number, protocol: 'HTTP' | 'GRPC', limits = {}): Promise<Pod> {
  const connections = { handshakeTimeoutMs: minute, ...limits };
  const self = { http: { hsts: 'max-age=60' }, ports: [{ port, mode: 'Mutual' as const, protocol }], connections };
  return mesh.pod('api', { applicationPort: port, drainMs: 60_000, stopTimeoutMs: 80_000, self });
}

async function front(mesh: Mesh): Promise<number> {
  const shop = await mesh.pod('shop', { self: { connections: { handshakeTimeoutMs: 60_000 } } });
  return captured(mesh, shop, published);
}

describe.each(bothWays)('over %s', (_, way) => {
  let mesh: Mesh;

  beforeEach(async () => {
    mesh = await Mesh.start(way);
  });
  afterEach(() => mesh.end());

  /** Replaces a pod as a rolling update does: another one first, then the old one stops. `asked` tells how many requests were answered. */
  async function replace(old: Pod, make: () => Promise<Pod>, asked: () => number): Promise<Pod> {
    const next = await make();
    mesh.publish(published, [old, next]);
    const before = asked();
    await until(() => asked() > before + 10, 'requests are answered by both');
    mesh.publish(published, [next]);
    expect(await old.stop()).toBe(0);
    expect(old.lines.find(({ msg }) => msg === 'connections drained')).toMatchObject({ cut: 0 });
    const stopped = asked();
    await until(() => asked() > stopped + 10, 'requests are answered by the new one');
    return next;
  }

  test(
    'grpc-go loses no call while its server is replaced three times',
    async () => {
      const server = await startInteropServer(interop.servers.go);
      mesh.onEnd(() => server.stop());
      const make = (): Promise<Pod> => replica(mesh, server.port, 'GRPC');
      let pod = await make();
      mesh.publish(published, [pod]);
      const soak = Soak.start(mesh, interop, await front(mesh));
      const asked = (): number => soak.succeeded + 1e6 * soak.failed.length;
      for (let round = 0; round < 3; round += 1) pod = await replace(pod, make, asked);
      expect(soak.failed).toEqual([]);
    },
    5 * minute,
  );

  test.each(spoken)(
    'clients of %s lose no request while their server is replaced twice',
    async (kind: Spoken) => {
      const port = await startApplication(mesh, kind);
      const make = (): Promise<Pod> => replica(mesh, port, kind === 'gRPC' ? 'GRPC' : 'HTTP');
      let pod = await make();
      mesh.publish(published, [pod]);
      const load = HttpLoad.start(mesh, kind, await front(mesh), { watched: false });
      const asked = (): number => load.done + 1e6 * load.failed.length;
      for (let round = 0; round < 2; round += 1) pod = await replace(pod, make, asked);
      await load.stop();
      expect(load.failed).toEqual([]);
    },
    5 * minute,
  );
});

describe('a call', () => {
  let mesh: Mesh;
  beforeEach(async () => {
    mesh = await Mesh.start();
  });
  afterEach(() => mesh.end());

  test(
    'of grpc-go is not lost when its connection reaches its maximum age: it is made on another one',
    async () => {
      const server = await startInteropServer(interop.servers.go);
      mesh.onEnd(() => server.stop());
      const pod = await replica(mesh, server.port, 'GRPC', { maxAgeMs: 30_000 });
      mesh.publish(published, [pod]);
      const soak = Soak.start(mesh, interop, await front(mesh));
      // Told by GOAWAY, the client may be the first to close.
      await until(() => soak.failed.length > 0 || carried(pod).length > 0, 'its only connection has ended');
      const { succeeded } = soak;
      await until(() => soak.failed.length > 0 || soak.succeeded > succeeded + 10, 'calls go on');
      expect(soak.failed).toEqual([]);
      expect(carried(pod).filter(({ ending }) => ending === 'failed')).toEqual([]);
    },
    5 * minute,
  );
});

describe('a stream that is silent for long', () => {
  let mesh: Mesh;
  let client: ClientHttp2Session;
  const streams: ServerHttp2Stream[] = [];

  beforeEach(async () => {
    mesh = await Mesh.start();
    streams.length = 0;
  });
  afterEach(() => mesh.end());

  async function served(): Promise<Pod> {
    const server = createServer();
    server.on('session', (session) => mesh.onEnd(() => session.destroy()));
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => undefined);
      stream.respond({ ':status': 200 });
      streams.push(stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    mesh.onEnd(() => server.close());
    const { port } = server.address() as AddressInfo;
    const self = {
      http: { hsts: 'max-age=60' },
      ports: [{ port, mode: 'Mutual' as const, protocol: 'HTTP' as const }],
    };
    const pod = await mesh.pod('api', { applicationPort: port, drainMs: 60_000, stopTimeoutMs: 80_000, self });
    mesh.publish(published, [pod]);
    const shop = await mesh.pod('shop', { self: { connections: { handshakeTimeoutMs: 60_000 } } });
    client = connectHttp2(`http://127.0.0.1:${await captured(mesh, shop, published)}`);
    client.on('error', () => undefined);
    mesh.onEnd(() => client.destroy());
    return pod;
  }

  test(
    'is waited for when its sidecar stops, and nothing new is taken meanwhile',
    async () => {
      const pod = await served();
      const whole = answerOf(client.request({ ':path': '/watch' }));
      await until(() => streams.length === 1, 'it has begun');
      const told: number[] = [];
      client.on('goaway', (code) => void told.push(code));
      const stopped = pod.stop();
      await until(() => told.length === 2, 'the client is told twice');
      expect(told).toEqual([0, 0]);
      expect((await exchange(client, { ':path': '/late' })).headers).toEqual({});
      // Longer than any silence that is taken for the end of an exchange where nobody reads it.
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      streams[0]?.end('the end');
      expect(await whole).toMatchObject({ code: 0, body: Buffer.from('the end') });
      expect(await stopped).toBe(0);
      expect(streams).toHaveLength(1);
      expect(pod.lines.find(({ msg }) => msg === 'connections drained')).toMatchObject({ cut: 0 });
    },
    3 * minute,
  );

  test(
    'is cut at the deadline, so that nobody takes it for whole',
    async () => {
      const pod = await served();
      const whole = answerOf(client.request({ ':path': '/watch' }));
      await until(() => streams.length === 1, 'it has begun');
      streams[0]?.write('a part');
      pod.core.live.drain(25_000);
      await until(() => client.closed, 'the client is told');
      expect(pod.core.live.endAll()).toBe(1);
      expect((await whole).code).not.toBe(0);
    },
    3 * minute,
  );
});

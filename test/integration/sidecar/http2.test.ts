// HTTP/2 and gRPC through sidecars that read it, over real TLS, in tunnels and on connections of their own: by clients and servers that have never heard of Tabard.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Metadata, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { RuleMatch } from '../../../lib/api/authorization.ts';
import { captured } from '../../support/http2/captured.ts';
import { GrpcCaller, type GrpcService, startGrpcService } from '../../support/http2/grpc.ts';
import { answerOf, exchange } from '../../support/http2/throughgate.ts';
import { Mesh, type Pod, refusals, until as within } from '../../support/pocketmesh.ts';
import type { SelfOptions } from '../../support/sidecar.ts';

/** A busy machine may take its time. */
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 20_000);

const hsts = 'max-age=60; includeSubDomains';
const noRemove: RuleMatch = { name: 'no-remove', effect: 'Deny', to: [{ paths: ['/shop.Items/Remove', '/admin/*'] }] };
const noWatch: RuleMatch = { name: 'no-watch', effect: 'Deny', to: [{ paths: ['/shop.Items/Watch'] }] };

let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

interface Api {
  readonly pod: Pod;
  /** Where clients find it: their sidecar's capture in a port of loopback. */
  readonly address: string;
  /** Puts other rules in force. */
  change(rules: readonly RuleMatch[]): Promise<void>;
}

/** Pods `api`, whose application listens on a port, and `shop`, from which it is called. */
async function api(port: number, protocol: 'HTTP' | 'GRPC', transport: 'Tunnel' | 'Direct'): Promise<Api> {
  const connections = { transport };
  const self = (rules: readonly RuleMatch[]): SelfOptions => ({
    connections,
    accessLog: 'All',
    http: { hsts },
    ports: [{ port, mode: 'Mutual', protocol }],
    authorization: { form: 1, rules },
  });
  const pod = await mesh.pod('api', { applicationPort: port, self: self([noRemove]) });
  mesh.publish(8080, [pod]);
  const shop = await mesh.pod('shop', { self: { connections } });
  const capture = await captured(mesh, shop, 8080);
  const policies = (): number => pod.lines.filter(({ msg }) => msg === 'policy in use').length;
  const change = async (rules: readonly RuleMatch[]): Promise<void> => {
    const before = policies();
    mesh.tell('api', self(rules));
    await until(() => policies() > before, 'the policy is in use');
  };
  return { pod, address: `127.0.0.1:${capture}`, change };
}

const counted = (count: number): Buffer => {
  const message = Buffer.alloc(4);
  message.writeUInt32BE(count);
  return message;
};

describe.each(['Tunnel', 'Direct'] as const)('gRPC between sidecars by %s', (transport) => {
  let service: GrpcService;
  let caller: GrpcCaller;
  let called: Api;

  beforeEach(async () => {
    service = await startGrpcService();
    mesh.onEnd(() => service.stop());
    called = await api(service.port, 'GRPC', transport);
    caller = new GrpcCaller(called.address);
    mesh.onEnd(() => caller.close());
  });

  test('calls of every kind, metadata, errors, deadlines, cancellation and large messages work as without', async () => {
    const metadata = new Metadata();
    metadata.set('x-there', 'and back');
    metadata.set('x-there-bin', Buffer.from([0, 1, 2, 255]));
    const small = await caller.unary('Get', Buffer.from('item'), { metadata });
    expect(small).toMatchObject({ code: status.OK, message: Buffer.from('item') });
    expect(small.metadata.get('x-back')).toEqual(['and back']);
    expect(small.metadata.get('x-back-bin')).toEqual([Buffer.from([0, 1, 2, 255])]);
    expect(small.trailers.get('x-trailer')).toEqual(['told']);
    expect(await caller.unary('Fail', Buffer.alloc(1))).toMatchObject({
      code: status.NOT_FOUND,
      details: 'no such item',
    });

    const large = randomBytes(3_000_000);
    const back = await caller.unary('Get', large);
    expect(back.code).toBe(status.OK);
    expect(back.message?.equals(large)).toBe(true);

    const { client } = caller;
    const asIs = (bytes: Buffer): Buffer => bytes;
    const watched: Buffer[] = [];
    const watch = client.makeServerStreamRequest('/shop.Items/Watch', asIs, asIs, counted(50), new Metadata(), {});
    for await (const message of watch) watched.push(message as Buffer);
    expect(watched).toHaveLength(50);
    expect(watched.every((message, index) => message.equals(Buffer.alloc(20_000, index)))).toBe(true);

    const collected = new Promise<string>((resolve, reject) => {
      const collect = client.makeClientStreamRequest(
        '/shop.Items/Collect',
        asIs,
        asIs,
        new Metadata(),
        {},
        (error, answer) => (error === null ? resolve(String(answer)) : reject(error)),
      );
      for (let index = 0; index < 40; index += 1) collect.write(Buffer.alloc(25_000));
      collect.end();
    });
    expect(await collected).toBe('1000000');

    const chat = client.makeBidiStreamRequest('/shop.Items/Chat', asIs, asIs, new Metadata(), {});
    chat.write(Buffer.from('hello'));
    expect(String((await once(chat, 'data'))[0])).toBe('you said hello');
    chat.write(Buffer.from('bye'));
    expect(String((await once(chat, 'data'))[0])).toBe('you said bye');
    chat.end();
    await once(chat, 'end');

    const late = await caller.unary('Silent', Buffer.alloc(1), { deadline: new Date(Date.now() + 300) });
    expect(late.code).toBe(status.DEADLINE_EXCEEDED);
    await until(() => service.cancelled.includes('Silent'), 'the application hears of it');
    const endless = client.makeServerStreamRequest('/shop.Items/Watch', asIs, asIs, counted(0), new Metadata(), {});
    endless.on('error', () => undefined);
    await until(() => service.calls.filter((name) => name === 'Watch').length === 2, 'it is watched');
    endless.cancel();
    await until(() => service.cancelled.includes('Watch'), 'the application hears of that, too');
    expect(refusals(called.pod)).toEqual([]);
  }, 60_000);

  test('a denied call gets PERMISSION_DENIED and nothing else, and the others on the connection do not notice', async () => {
    const chat = caller.client.makeBidiStreamRequest(
      '/shop.Items/Chat',
      (bytes: Buffer) => bytes,
      (bytes) => bytes,
      new Metadata(),
      {},
    );
    chat.write(Buffer.from('before'));
    expect(String((await once(chat, 'data'))[0])).toBe('you said before');
    for (let round = 0; round < 5; round += 1) {
      const denied = await caller.unary('Remove', Buffer.alloc(100_000));
      expect(denied).toMatchObject({ code: status.PERMISSION_DENIED, details: 'denied' });
      expect((await caller.unary('Get', Buffer.from('still'))).message?.toString()).toBe('still');
    }
    chat.write(Buffer.from('after'));
    expect(String((await once(chat, 'data'))[0])).toBe('you said after');
    chat.end();
    await once(chat, 'end');
    expect(service.calls).not.toContain('Remove');
    expect(JSON.stringify(refusals(called.pod).at(-1))).toContain('no-remove');
  }, 60_000);

  test('a call in flight that rules no longer allow ends with PERMISSION_DENIED, and the others go on', async () => {
    const asIs = (bytes: Buffer): Buffer => bytes;
    const watch = caller.client.makeServerStreamRequest(
      '/shop.Items/Watch',
      asIs,
      asIs,
      counted(0),
      new Metadata(),
      {},
    );
    const ended = new Promise<number>((resolve) => watch.on('status', ({ code }) => resolve(code)));
    watch.on('error', () => undefined);
    watch.resume();
    const chat = caller.client.makeBidiStreamRequest('/shop.Items/Chat', asIs, asIs, new Metadata(), {});
    await until(() => service.calls.includes('Watch') && service.calls.includes('Chat'), 'both have begun');
    await called.change([noWatch]);
    expect(await ended).toBe(status.PERMISSION_DENIED);
    await until(() => service.cancelled.includes('Watch'), 'the application hears of it');
    chat.write(Buffer.from('still'));
    expect(String((await once(chat, 'data'))[0])).toBe('you said still');
    expect((await caller.unary('Remove', Buffer.from('now'))).code).toBe(status.OK);
    chat.end();
    await once(chat, 'end');
  }, 60_000);
});

describe('HTTP/2 on a port of HTTP', () => {
  let server: Http2Server;
  let client: ClientHttp2Session;
  let called: Api;

  beforeEach(async () => {
    server = createHttp2Server();
    server.on('session', (session) => mesh.onEnd(() => session.destroy()));
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', () => undefined);
      stream.respond({ ':status': 200, 'x-path': String(headers[':path']) });
      if (headers[':path'] !== '/slow') stream.end('answer');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    mesh.onEnd(() => server.close());
    called = await api((server.address() as AddressInfo).port, 'HTTP', 'Tunnel');
    client = connectHttp2(`http://${called.address}`);
    client.on('error', () => undefined);
    mesh.onEnd(() => client.destroy());
  });

  test('gets HSTS into its answers, 403 for what rules deny, and a line in the log for each request, without its query', async () => {
    const answer = await exchange(client, { ':path': '/items?secret=1' });
    expect(answer.headers).toMatchObject({
      ':status': 200,
      'x-path': '/items?secret=1',
      'strict-transport-security': hsts,
    });
    const denied = await exchange(client, { ':path': '/admin/x' });
    expect(denied.headers).toMatchObject({
      ':status': 403,
      'x-tabard-reason': 'denied',
      'strict-transport-security': hsts,
    });
    const lines = () => called.pod.lines.filter(({ msg }) => msg === 'request');
    await until(() => lines().length === 2, 'both are logged');
    expect(lines()[0]).toMatchObject({
      'http.request.method': 'GET',
      'url.path': '/items',
      'http.response.status_code': 200,
    });
    expect(JSON.stringify(lines())).not.toContain('secret');
  });

  test('carries many streams at once, and the application can send the client elsewhere', async () => {
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, index) => exchange(client, { ':path': `/${index}` })),
    );
    expect(answers.map(({ headers }) => headers['x-path'])).toEqual(
      Array.from({ length: 300 }, (_, index) => `/${index}`),
    );
    let session: { goaway(code: number): void } | undefined;
    server.once('stream', (stream) => void (session = stream.session));
    const last = answerOf(client.request({ ':path': '/slow' }));
    await until(() => session !== undefined, 'it is there');
    const told = once(client, 'goaway');
    session?.goaway(0);
    expect((await told)[0]).toBe(0);
    client.destroy();
    await last;
  });

  test('a client that floods it is ended with GOAWAY, and the log says with what', async () => {
    const codes: number[] = [];
    client.on('goaway', (code) => void codes.push(code));
    await once(client, 'connect');
    // In bursts, until it has had enough: what a burst is to a slow machine is none to a fast one.
    const burst = (): void => {
      for (let index = 0; index < 300 && !client.closed; index += 1) {
        client
          .request({ ':path': '/slow' })
          .on('error', () => undefined)
          .close(8);
      }
    };
    for (let bursts = 0; codes.length === 0 && bursts < 100; bursts += 1) {
      burst();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(codes).toEqual([0xb]);
    await until(() => JSON.stringify(refusals(called.pod)).includes('request: reset_flood'), 'it is logged');
    expect(refusals(called.pod).at(-1)?.['reason']).toBe('overload');
  });
});

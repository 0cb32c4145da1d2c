// Pod to pod through two sidecars, over real sockets on loopback: what applications send arrives, whatever the protocol, and nothing
// of it is ever readable between the proxies.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp, request } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ask, carried, echo, Mesh, type Pod, received, refusals, until } from '../../support/pocketmesh.ts';
import { everyWay } from '../../support/ways.ts';

describe.each(everyWay)('over %s', (_, way) => {
  let mesh: Mesh;
  let web: Pod;

  beforeAll(async () => {
    mesh = await Mesh.start(way);
    web = await mesh.pod('web');
  });
  afterAll(() => mesh.end());

  /** A published pod of its own for one test. */
  async function serve(port: number, behaviour: (socket: Socket) => void, name: string = 'api'): Promise<Pod> {
    const pod = await mesh.pod(name, { behaviour });
    mesh.publish(port, [pod]);
    return pod;
  }

  describe('what applications send', () => {
    test('comes back from an echo server, with the facts of the connection in both logs', async () => {
      const api = await serve(8001, echo);
      expect(await ask(web.dial(8001), 'hello')).toBe('hello');
      await until(() => carried(api).length === 1, 'the connection is logged');
      expect(carried(web).at(-1)).toMatchObject({
        direction: 'outbound',
        destination: '127.0.0.1:8001',
        peer: api.identity,
        peerSerial: api.leaf.serial,
        tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', group: 'X25519MLKEM768', serial: web.leaf.serial },
        bytesIn: 5,
        bytesOut: 5,
        ending: 'closed',
      });
      expect(carried(api)[0]).toMatchObject({
        direction: 'inbound',
        peer: web.identity,
        tls: { serial: api.leaf.serial },
      });
    });

    test('costs one whole handshake, whatever comes after the first, and says so', async () => {
      const api = await serve(8002, echo);
      for (const text of ['one', 'two', 'three']) expect(await ask(web.dial(8002), text)).toBe(text);
      await until(() => carried(api).length === 3, 'three connections are logged');
      const facts = carried(api).map(({ tls, tunnel, stream }) => [
        (tls as { resumed: boolean }).resumed,
        tunnel,
        stream,
      ]);
      const id = carried(web).at(-1)?.['tunnel'];
      if (way.transport === 'Direct') expect(facts.map(([resumed]) => resumed)).toEqual([false, true, true]);
      else expect(facts).toEqual([1, 2, 3].map((stream) => [false, id, stream]));
      const carriage = way.transport === 'Direct' ? 'direct' : 'tunnel';
      expect(await api.metrics.text()).toContain(
        `tabard_connections_total{direction="inbound",transport="${carriage}",result="ok",reason=""} 3`,
      );
      expect(carried(api).map(({ peer }) => peer)).toEqual([web.identity, web.identity, web.identity]);
    });

    test('works for HTTP/1.1 with keep-alive', async () => {
      const server = createHttp((incoming, response) => response.end(`${incoming.method} ${incoming.url}`));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      mesh.onEnd(() => server.closeAllConnections());
      mesh.onEnd(() => server.close());
      const api = await mesh.pod('api', { applicationPort: (server.address() as AddressInfo).port });
      mesh.publish(8003, [api]);
      const socket = web.dial(8003);
      await once(socket, 'connect');
      for (const path of ['/a', '/b', '/c']) {
        const sent = request({ createConnection: () => socket, path, headers: { connection: 'keep-alive' } });
        sent.end();
        const [response] = (await once(sent, 'response')) as [AsyncIterable<Buffer>];
        let text = '';
        for await (const chunk of response) text += String(chunk);
        expect(text).toBe(`GET ${path}`);
      }
      socket.destroy();
      await until(() => carried(api).length === 1, 'it was one connection');
    });

    test('works when the server speaks first', async () => {
      await serve(8004, (socket) => socket.end('5.5.5-MariaDB greeting'));
      const socket = web.dial(8004);
      expect((await received(socket)).text).toBe('5.5.5-MariaDB greeting');
      socket.destroy();
    });

    test('arrives whole in both directions at once, whatever is split where', async () => {
      const up = randomBytes(20 * 1024 * 1024);
      const down = randomBytes(30 * 1024 * 1024);
      const digest = Promise.withResolvers<string>();
      await serve(8005, (socket) => {
        const hash = createHash('sha256');
        socket.on('data', (chunk) => hash.update(chunk));
        socket.on('end', () => digest.resolve(hash.digest('hex')));
        socket.end(down);
      });
      const socket = web.dial(8005);
      socket.end(up);
      const hash = createHash('sha256');
      socket.on('data', (chunk) => hash.update(chunk));
      await once(socket, 'end');
      expect(hash.digest('hex')).toBe(createHash('sha256').update(down).digest('hex'));
      expect(await digest.promise).toBe(createHash('sha256').update(up).digest('hex'));
    }, 60_000);

    test('passes half-close through both ways', async () => {
      await serve(8006, (socket) => {
        let text = '';
        socket.on('data', (chunk) => {
          text += String(chunk);
        });
        // Answers only after the client has ended its half.
        socket.on('end', () => socket.end(`you said ${text}`));
      });
      expect(await ask(web.dial(8006), 'bye')).toBe('you said bye');

      await serve(8007, (socket) => {
        socket.end('early');
        socket.on('data', (chunk) => collected.push(chunk as Buffer));
        socket.on('end', () => ended.resolve());
      });
      const collected: Buffer[] = [];
      const ended = Promise.withResolvers<void>();
      const socket = web.dial(8007);
      expect((await received(socket)).text).toBe('early');
      socket.end('late');
      await ended.promise;
      expect(Buffer.concat(collected).toString()).toBe('late');
    });

    test('a reader that stops holds the writer back instead of filling memory', async () => {
      const flowing = Promise.withResolvers<Socket>();
      await serve(8008, (socket) => flowing.resolve(socket));
      const socket = web.dial(8008);
      socket.pause();
      const server = await flowing.promise;
      let written = 0;
      const block = Buffer.alloc(64 * 1024);
      const pump = (): void => {
        while (server.write(block)) written += block.length;
        server.once('drain', pump);
      };
      pump();
      const most = 64 * 1024 * 1024;
      const stands = async (): Promise<boolean> => {
        const before = written;
        await new Promise((resolve) => setTimeout(resolve, 500));
        return before === written;
      };
      while (!(await stands())) expect(written).toBeLessThan(most);
      expect(written).toBeLessThan(most);
      socket.destroy();
      server.destroy();
    });

    test('a reset on one side is a reset on the other, not an orderly end', async () => {
      const accepted = Promise.withResolvers<Socket>();
      const api = await serve(8009, (socket) => void socket.once('data', () => accepted.resolve(socket)));
      const socket = web.dial(8009);
      socket.write('x');
      (await accepted.promise).resetAndDestroy();
      expect((await received(socket)).error).toBe('ECONNRESET');
      await until(() => carried(web).at(-1)?.['reason'] === 'reset', 'the reset is in the log');
      await until(() => carried(api).length === 1, 'on the other side, too');
      expect(carried(api)[0]).toMatchObject({ ending: 'failed', reason: 'reset' });
    });
  });

  describe('endpoints', () => {
    test('a dead one is left out and another serves, before any byte was sent', async () => {
      const api = await mesh.pod('api');
      mesh.control.setDestination('127.0.0.1:8020', {
        known: true,
        serverName: 'api.shop.svc.cluster.local',
        endpoints: [
          { address: '127.0.0.1', port: 1, transport: 'mutual', identity: api.identity },
          { address: '127.0.0.1', port: 2, transport: 'mutual', identity: api.identity },
          { address: '127.0.0.1', port: api.core.inbound.port, transport: 'mutual', identity: api.identity },
        ],
      });
      for (let i = 0; i < 10; i += 1) expect(await ask(web.dial(8020), `try ${i}`)).toBe(`try ${i}`);
      expect(refusals(web)).toEqual([]);
    });

    test('one that proves another identity gets nothing', async () => {
      const shipping = await mesh.pod('shipping');
      mesh.control.setDestination('127.0.0.1:8021', {
        known: true,
        serverName: 'api.shop.svc.cluster.local',
        endpoints: [
          {
            address: '127.0.0.1',
            port: shipping.core.inbound.port,
            transport: 'mutual',
            identity: 'spiffe://cluster.local/ns/shop/svc/api',
          },
        ],
      });
      const socket = web.dial(8021);
      socket.write('secret');
      expect((await received(socket)).error).toBe('ECONNRESET');
      expect(refusals(web).at(-1)).toMatchObject({
        reason: 'identity_mismatch',
        detail: `${shipping.identity} answered`,
        hint: expect.stringContaining('proved another identity'),
      });
      expect(shipping.seen()).toBe(0);
    });

    test('none at all is unreachable', async () => {
      mesh.control.setDestination('127.0.0.1:8022', { known: true, serverName: 'x.y', endpoints: [] });
      expect((await received(web.dial(8022))).error).toBe('ECONNRESET');
      expect(refusals(web).at(-1)).toMatchObject({ reason: 'upstream_unreachable', destination: '127.0.0.1:8022' });
    });

    test('a new list of endpoints is followed at once', async () => {
      const name = (text: string) => (socket: Socket) => void socket.end(text);
      const first = await mesh.pod('first', { behaviour: name('first') });
      const second = await mesh.pod('second', { behaviour: name('second') });
      mesh.publish(8023, [first]);
      expect(await ask(web.dial(8023), '')).toBe('first');
      mesh.publish(8023, [second]);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await ask(web.dial(8023), '')).toBe('second');
    });

    test('connections spread over all', async () => {
      // Without tunnels these are sixty handshakes at once, and a busy machine takes its time for them.
      const self = { connections: { handshakeTimeoutMs: 60_000 } };
      const caller = await mesh.pod('caller', { self });
      const pods = [await mesh.pod('spread', { self }), await mesh.pod('spread'), await mesh.pod('spread')];
      mesh.publish(8024, pods);
      const sockets = Array.from({ length: 60 }, () => caller.dial(8024));
      for (const socket of sockets) socket.write('x');
      await until(() => pods.reduce((sum, pod) => sum + pod.seen(), 0) === 60, 'all have arrived', 60_000);
      for (const socket of sockets) socket.destroy();
      for (const pod of pods) expect(pod.seen()).toBeGreaterThanOrEqual(14);
    }, 90_000);

    test('may have IPv6 addresses, and so may the destination', async () => {
      const api = await mesh.pod('api');
      mesh.control.setDestination('[fd00::96:1]:8026', {
        known: true,
        serverName: 'api.shop.svc.cluster.local',
        endpoints: [{ address: '::1', port: api.core.inbound.port, transport: 'mutual', identity: api.identity }],
      });
      expect(await ask(web.dial(8026, 'fd00::96:1'), 'six')).toBe('six');
      await until(() => carried(api).length === 1, 'it is logged');
      expect(carried(web).at(-1)).toMatchObject({ destination: '[fd00::96:1]:8026' });
      expect(carried(api)[0]).toMatchObject({ source: expect.stringMatching(/^\[::1\]:/), peer: web.identity });
    });

    test('one in the pod itself is reached inside the pod', async () => {
      const self = await mesh.pod('alone', { podIps: ['127.0.0.1'], behaviour: echo });
      mesh.control.setDestination('127.0.0.1:8025', {
        known: true,
        serverName: 'alone.shop.svc.cluster.local',
        endpoints: [{ address: '127.0.0.1', port: self.applicationPort, transport: 'mutual', identity: self.identity }],
      });
      expect(await ask(self.dial(8025), 'me')).toBe('me');
      await until(() => carried(self).length === 1, 'it is logged');
      expect(carried(self)[0]).toMatchObject({ plain: 'own_pod', direction: 'outbound' });
    });
  });

  describe('what is not in the mesh', () => {
    test('is passed through untouched and counted', async () => {
      const outside = await mesh.application(echo);
      expect(await ask(web.dial(outside.port), 'plain')).toBe('plain');
      await until(() => carried(web).at(-1)?.['plain'] === 'not_in_mesh', 'it is logged as passed through');
      expect(await web.metrics.text()).toContain('tabard_passthrough_total{why="not_in_mesh"} 1');
    });

    test('an endpoint that is plain by its policy gets plain bytes, with the reason', async () => {
      const outside = await mesh.application(echo);
      mesh.control.setDestination('127.0.0.1:8030', {
        known: true,
        serverName: 'legacy.shop.svc.cluster.local',
        endpoints: [{ address: '127.0.0.1', port: outside.port, transport: 'plain', why: 'policy_disabled' }],
      });
      expect(await ask(web.dial(8030), 'plain')).toBe('plain');
      await until(() => carried(web).at(-1)?.['plain'] === 'policy_disabled', 'it is logged with the reason');
    });

    test('a destination that nobody answers is a reset for the application', async () => {
      expect((await received(web.dial(1))).error).toBe('ECONNRESET');
      expect(refusals(web).at(-1)).toMatchObject({ reason: 'upstream_unreachable', detail: 'ECONNREFUSED' });
    });

    test('a connection that was going to the proxy itself is closed', async () => {
      expect((await received(web.dial(web.core.outbound.port))).error).toBe('ECONNRESET');
      expect((await received(web.knock(web.core.inbound.port))).error).toBe('ECONNRESET');
      expect(refusals(web).at(-1)).toMatchObject({
        reason: 'malformed',
        detail: "the destination is this proxy's own port",
      });
    });
  });
});

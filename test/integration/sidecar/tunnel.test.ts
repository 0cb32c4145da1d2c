// What is of tunnels alone, pod to pod over real sockets: one handshake for many connections, rules on every stream, replacement under load,
// peers that know no tunnels, peers that die, and what is left behind afterwards: nothing.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ask, carried, Mesh, type Pod, received, refusals, until as within } from '../../support/pocketmesh.ts';

let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

/** A busy machine may take its time. */
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 25_000);

async function pair(): Promise<{ readonly web: Pod; readonly api: Pod }> {
  const web = await mesh.pod('web');
  const api = await mesh.pod('api');
  mesh.publish(8080, [api]);
  return { web, api };
}

const tunnelsOf = (pod: Pod): ReadonlySet<unknown> => new Set(carried(pod).map(({ tunnel }) => tunnel));
const ended = (pod: Pod): Pod['lines'] => pod.lines.filter(({ msg }) => msg === 'tunnel ended');
const gauge = async (pod: Pod, name: string): Promise<number> =>
  Number(
    (await pod.metrics.text())
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')[1],
  );

/** A connection that has carried something. */
async function live(from: Pod, port: number = 8080): Promise<Socket> {
  const socket = from.dial(port);
  socket.write('x');
  await once(socket, 'data');
  return socket;
}

describe('connections to one endpoint', () => {
  test('share one tunnel, which both logs call by one name and tell where the application is', async () => {
    const { web, api } = await pair();
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(web.dial(8080), `${i}`)));
    expect(answers).toEqual(Array.from({ length: 40 }, (_, i) => `${i}`));
    await until(() => carried(api).length === 40 && carried(web).length === 40, 'all are logged');
    expect(tunnelsOf(web).size).toBe(1);
    expect(tunnelsOf(api)).toEqual(tunnelsOf(web));
    expect(new Set(carried(api).map(({ stream }) => stream)).size).toBe(40);
    const sources = carried(web).map(({ source }) => source);
    expect(new Set(carried(api).map(({ application }) => application))).toEqual(new Set(sources));
    expect(carried(api).every(({ source }) => !sources.includes(source))).toBe(true);
    const text = await api.metrics.text();
    expect(text).toContain('tabard_handshakes_total{direction="inbound",result="ok",reason=""} 1');
    expect(await gauge(api, 'tabard_tunnels_active{direction="inbound"}')).toBe(1);
    expect(await gauge(web, 'tabard_tunnels_active{direction="outbound"}')).toBe(1);
  });

  test('go direct, each with a handshake, where either policy says so', async () => {
    for (const [name, port] of [
      ['web', 8081],
      ['api', 8082],
    ] as const) {
      const direct = { self: { connections: { transport: 'Direct' as const } } };
      const web = await mesh.pod(`${name}-client`, name === 'web' ? direct : {});
      const api = await mesh.pod(`${name}-server`, name === 'api' ? direct : {});
      mesh.publish(port, [api]);
      for (const text of ['one', 'two', 'three']) expect(await ask(web.dial(port), text)).toBe(text);
      await until(() => carried(api).length === 3, 'all are logged');
      expect([...tunnelsOf(api), ...tunnelsOf(web)]).toEqual([undefined, undefined]);
      // The handshake that showed that there are no tunnels was not wasted.
      const text = await api.metrics.text();
      expect(text).toContain('tabard_handshakes_total{direction="inbound",result="ok",reason=""} 3');
      expect(refusals(web)).toEqual([]);
    }
  });

  test('go direct from the moment at which the policy says so, and those that stand go on', async () => {
    const { web, api } = await pair();
    const before = await live(web);
    mesh.tell('web', { connections: { transport: 'Direct' } });
    await until(() => web.lines.filter(({ msg }) => msg === 'policy in use').length === 2, 'it is told');
    expect(await ask(web.dial(8080), 'direct')).toBe('direct');
    before.write('still');
    expect(String((await once(before, 'data'))[0])).toBe('still');
    before.end();
    await once(before, 'end');
    await until(() => ended(web).length === 1 && ended(api).length === 1, 'the tunnel is closed after its last stream');
    expect(ended(web)[0]).toMatchObject({ cause: 'closed' });
    await until(() => carried(web).length === 2, 'both are logged');
    expect(carried(web).filter(({ tunnel }) => tunnel === undefined).length).toBe(1);
  });
});

describe('an application', () => {
  test('that does not accept is unreachable, and another pod serves instead', async () => {
    const { web, api } = await pair();
    const dead = await mesh.pod('api', { applicationPort: 1 });
    mesh.publish(8083, [dead]);
    expect((await received(web.dial(8083))).error).toBe('ECONNRESET');
    expect(refusals(web).at(-1)).toMatchObject({ reason: 'upstream_unreachable' });
    expect(refusals(dead).at(-1)).toMatchObject({ reason: 'upstream_unreachable', stream: 1 });
    mesh.publish(8084, [dead, api]);
    for (let i = 0; i < 10; i += 1) expect(await ask(web.dial(8084), `${i}`)).toBe(`${i}`);
  });

  test('that never reads stops nobody else, a hundred times over', async () => {
    const web = await mesh.pod('web');
    const stalled: Socket[] = [];
    const api = await mesh.pod('api', {
      behaviour: (socket) => {
        socket.once('data', (first: Buffer) => {
          if (String(first).startsWith('stall')) {
            stalled.push(socket);
            socket.pause();
          } else socket.end(first);
        });
      },
    });
    mesh.publish(8080, [api]);
    const writers = Array.from({ length: 100 }, () => web.dial(8080));
    const block = Buffer.alloc(1_000_000, 'stall');
    for (const writer of writers) writer.write(block);
    await until(() => stalled.length === 100, 'all have arrived');
    for (let i = 0; i < 20; i += 1) {
      const socket = web.dial(8080);
      socket.write(`quick ${i}`);
      expect((await received(socket)).text).toBe(`quick ${i}`);
      socket.destroy();
    }
    for (const socket of [...writers, ...stalled]) socket.destroy();
    await until(() => web.core.live.count('outbound') + api.core.live.count('inbound') === 0, 'all are gone');
  }, 60_000);
});

describe('a tunnel', () => {
  test('is replaced again and again under load, on both sides: nothing fails', async () => {
    const { web, api } = await pair();
    const held = await live(web);
    const stop = new AbortController();
    let done = 0;
    const load = Array.from({ length: 8 }, async (_, worker) => {
      while (!stop.signal.aborted) {
        const text = `${worker} ${done}`;
        expect(await ask(web.dial(8080), text)).toBe(text);
        done += 1;
      }
    });
    for (let round = 0; round < 6; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await (round % 2 === 0 ? api : web).renew();
    }
    stop.abort();
    await Promise.all(load);
    expect([refusals(web), refusals(api)]).toEqual([[], []]);
    expect(tunnelsOf(web).size).toBeGreaterThanOrEqual(6);
    held.write('from the first');
    expect(String((await once(held, 'data'))[0])).toBe('from the first');
    held.end();
    await until(() => ended(web).length === ended(api).length && ended(web).length >= 6, 'those of before are closed');
    expect(new Set(ended(web).map(({ cause }) => cause))).toEqual(new Set(['closed']));
  }, 60_000);

  test.each([
    ['the server', 'web', 'api'],
    ['the client', 'api', 'web'],
  ])(
    'of a revoked peer ends with all of its streams, and both logs say why though %s alone was told',
    async (_, revoked, aware) => {
      const { web, api } = await pair();
      const sockets = await Promise.all(Array.from({ length: 5 }, () => live(web)));
      const gone = sockets.map(received);
      const identityOf = (service: string): string => `spiffe://cluster.local/ns/shop/svc/${service}`;
      const unaware = ['web', 'api'].filter((service) => service !== aware).map(identityOf);
      mesh.control.setRevocations({ number: 5, entries: [{ identity: identityOf(revoked) }] }, unaware);
      for (const each of await Promise.all(gone)) expect(each.error).toBe('ECONNRESET');
      await until(() => carried(web).length === 5 && carried(api).length === 5, 'all are logged');
      expect([...carried(web), ...carried(api)].map(({ reason }) => reason)).toEqual(Array(10).fill('revoked'));
      await until(() => ended(web).length === 1 && ended(api).length === 1, 'the tunnel is over');
      expect(await ask(web.dial(8080), 'once more')).toBe('');
      await until(
        () => [...refusals(web), ...refusals(api)].some(({ reason }) => reason === 'revoked'),
        'one says why',
      );
    },
  );

  test('leads to the port that it was dialled for, whatever its streams name', async () => {
    const { web, api } = await pair();
    const relay = await cable(api.core.inbound.port);
    route(api, [relay.port]);
    expect((await received(web.dial(8090))).error).toBe('ECONNRESET');
    const detail = `the tunnel leads to port ${api.applicationPort}, the stream to ${relay.port}`;
    expect(refusals(api).at(-1)).toMatchObject({ reason: 'denied', detail });
    expect(refusals(web).at(-1)).toMatchObject({ reason: 'denied' });
    expect(api.seen()).toBe(0);
  });

  test('of a pod that stops takes no more streams, and those that stand end at a quiet moment', async () => {
    const { web, api } = await pair();
    const second = await mesh.pod('api');
    const socket = await live(web);
    const stopped = api.stop();
    mesh.publish(8080, [second]);
    expect((await received(socket)).error).toBeUndefined();
    socket.destroy();
    await stopped;
    expect(await ask(web.dial(8080), 'the other one')).toBe('the other one');
    expect(ended(api)[0]).toMatchObject({ direction: 'inbound' });
    expect(carried(api)[0]).toMatchObject({ ending: 'drained' });
  });

  test('whose peer dies resets its streams at once, and new connections go elsewhere', async () => {
    const web = await mesh.pod('web');
    const api = await mesh.pod('api', { isSamePort: () => true });
    const relay = await cable(api.core.inbound.port);
    const second = await mesh.pod('api');
    route(api, [relay.port]);
    const sockets = await Promise.all(Array.from({ length: 5 }, () => live(web, 8090)));
    const gone = sockets.map(received);
    route(api, [relay.port, second.core.inbound.port]);
    relay.cut();
    for (const each of await Promise.all(gone)) expect(each.error).toBe('ECONNRESET');
    expect(await ask(web.dial(8090), 'elsewhere')).toBe('elsewhere');
    expect(ended(web)[0]).toMatchObject({ cause: 'lost', streams: 5 });
  });

  test('whose network goes away without a word is found out, and new connections do not wait for that', async () => {
    const web = await mesh.pod('web');
    const api = await mesh.pod('api', { isSamePort: () => true });
    const relay = await cable(api.core.inbound.port);
    route(api, [relay.port]);
    const socket = await live(web, 8090);
    const gone = received(socket);
    relay.swallow();
    const second = await mesh.pod('api');
    route(api, [relay.port, second.core.inbound.port]);
    expect(await ask(web.dial(8090), 'elsewhere')).toBe('elsewhere');
    expect((await gone).error).toBe('ECONNRESET');
    await until(() => ended(web).some(({ cause }) => cause === 'dead'), 'it is logged');
    await until(() => carried(web).some(({ reason }) => reason === 'reset'), 'and so is its stream');
  }, 90_000);

  test('leaves nothing behind after two thousand streams', async () => {
    const { web, api } = await pair();
    await ask(web.dial(8080), 'warm');
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => ask(web.dial(8080), `${i}`)));
    }
    await until(() => api.core.live.count('inbound') === 0 && web.core.live.count('outbound') === 0, 'all are over');
    expect(tunnelsOf(web).size).toBe(1);
    expect(api.seen()).toBe(2_001);
    expect(refusals(web)).toEqual([]);
  }, 120_000);

  /** A way to a port that a test can cut or block. */
  async function cable(port: number) {
    const open = new Set<Socket>();
    let swallows = false;
    const server: Server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        open.add(from);
        from.on('error', () => undefined);
        from.on('data', (bytes) => void (swallows || to.write(bytes)));
        from.on('close', () => void (swallows || to.destroy()));
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    mesh.onEnd(() => {
      server.close();
      for (const socket of open) socket.destroy();
    });
    return {
      port: (server.address() as AddressInfo).port,
      cut: () => {
        server.close();
        for (const socket of open) socket.resetAndDestroy();
      },
      /** Nothing gets through any more, and nobody is told; new connections are refused. */
      swallow: () => {
        swallows = true;
        server.close();
      },
    };
  }

  /** Makes port 8090 a destination with these endpoints. */
  function route(api: Pod, ports: readonly number[]): void {
    mesh.control.setDestination('127.0.0.1:8090', {
      known: true,
      serverName: 'api.shop.svc.cluster.local',
      endpoints: ports.map((port) => ({ address: '127.0.0.1', port, transport: 'mutual', identity: api.identity })),
    });
  }
});

import { describe, expect, test } from '@jest/globals';
import type { DestinationSnapshot, SelfSnapshot } from '../../../../lib/api/control.ts';
import { createLogger } from '../../../../lib/runtime/logger.ts';
import { selfContent } from '../../../../operator/control/self.ts';
import type { Line, SnapshotClient } from '../../../../operator/control/snapshot.ts';
import { Topics } from '../../../../operator/control/topics.ts';
import { parseDestination } from '../../../../operator/mesh/address.ts';
import { unseenGraceMs } from '../../../../operator/mesh/unseen.ts';
import { MeshBench, pod, StoodClock, service, slice } from '../../../support/meshbench.ts';

const web: SnapshotClient = { uid: 'uid-shop-web-1', node: 'node-1' };
const api1 = pod({ name: 'api-1', ips: ['10.0.0.1'] });
const api2 = pod({ name: 'api-2', ips: ['10.0.0.2'] });
const api = service({ name: 'api', ips: ['10.96.0.1'] });
const apiSlice = (...names: readonly [string, string][]) =>
  slice({ name: 'api-x', of: 'api', endpoints: names.map(([name, ip]) => ({ ip, pod: name })) });

interface Heard {
  readonly line: Line;
  readonly changedMs: number | undefined;
}

class Bench extends MeshBench {
  constructor() {
    super(new StoodClock());
  }

  readonly abort = new AbortController();
  bundle = 'PEM 1';
  readonly topics = new Topics({
    mesh: this.mesh,
    selfOf: (of) =>
      selfContent(
        {
          mesh: this.mesh,
          trustDomain: 'cluster.local',
          trustBundle: () => this.bundle,
          clusterRanges: () => ['10.0.0.0/8'],
        },
        of,
      ),
    clock: this.clock,
    logger: createLogger({ name: 'operator', level: 'silent' }),
    signal: this.abort.signal,
  });

  destination(key: string, client = web): { readonly heard: Heard[]; readonly leave: () => void } {
    const at = parseDestination(key);
    if (at === undefined) throw new Error(key);
    const heard: Heard[] = [];
    const leave = this.topics.follow({ kind: 'destination', at }, client, (line, changedMs) =>
      heard.push({ line, changedMs }),
    );
    return { heard, leave };
  }

  self(uid: string): Heard[] {
    const heard: Heard[] = [];
    this.topics.follow({ kind: 'self', uid }, { uid, node: 'node-1' }, (line, changedMs) =>
      heard.push({ line, changedMs }),
    );
    return heard;
  }
}

const read = (heard: Heard | undefined): unknown => JSON.parse(heard?.line.bytes.toString() ?? 'null');
const readSelf = (heard: Heard | undefined) => read(heard) as SelfSnapshot;
const addressesIn = (heard: Heard | undefined) =>
  (read(heard) as DestinationSnapshot).endpoints.map(({ address }) => address);

function small(): Bench {
  const bench = new Bench();
  bench.apply(api1, api2, api, apiSlice(['api-1', '10.0.0.1']));
  bench.mesh.settled();
  return bench;
}

describe('following a destination', () => {
  test('the present state comes at once, as one line of JSON', () => {
    const { heard } = small().destination('10.96.0.1:80');
    expect(heard[0]?.line.bytes.toString()).toMatch(/^\{"version":"[\w-]{22}","known":true,.*\}\n$/);
    expect(read(heard[0])).toEqual({
      version: heard[0]?.line.version,
      known: true,
      serverName: 'api.shop.svc.cluster.local',
      endpoints: [
        { address: '10.0.0.1', port: 8080, transport: 'mutual', identity: 'spiffe://cluster.local/ns/shop/svc/api' },
      ],
    });
    expect(heard[0]?.changedMs).toBeUndefined();
  });

  test('what is not in the mesh is said, too', () => {
    const { heard } = small().destination('192.0.2.1:80');
    expect(read(heard[0])).toMatchObject({ known: false, endpoints: [] });
  });

  test('a change comes after a few milliseconds, with the time of the change', async () => {
    const bench = small();
    const { heard } = bench.destination('10.96.0.1:80');
    const changedMs = bench.clock.ms;
    bench.apply(apiSlice(['api-1', '10.0.0.1'], ['api-2', '10.0.0.2']));
    expect(heard).toHaveLength(1);
    await bench.clock.advance(5);
    expect(heard).toHaveLength(2);
    expect(addressesIn(heard[1])).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(heard[1]?.changedMs).toBe(changedMs);
  });

  test('many changes in that time are one line', async () => {
    const bench = small();
    const { heard } = bench.destination('10.96.0.1:80');
    bench.apply(apiSlice(), apiSlice(['api-2', '10.0.0.2']), apiSlice(['api-1', '10.0.0.1'], ['api-2', '10.0.0.2']));
    await bench.clock.advance(5);
    await bench.clock.advance(5);
    expect(heard).toHaveLength(2);
  });

  test('a change that comes to the same is not sent', async () => {
    const bench = small();
    const { heard } = bench.destination('10.96.0.1:80');
    bench.apply(apiSlice(), apiSlice(['api-1', '10.0.0.1']));
    await bench.clock.advance(5);
    expect(heard).toHaveLength(1);
  });

  test('a change elsewhere is not even looked at', async () => {
    const bench = small();
    let asked = 0;
    const { mesh } = bench;
    const topics = new Topics({
      mesh: {
        subscribe: (listener) => mesh.subscribe(listener),
        pod: (uid) => mesh.pod(uid),
        destination: (at) => {
          asked += 1;
          return mesh.destination(at);
        },
      },
      selfOf: () => {
        throw new Error('nobody asked');
      },
      clock: bench.clock,
      logger: createLogger({ name: 'operator', level: 'silent' }),
      signal: bench.abort.signal,
    });
    topics.follow({ kind: 'destination', at: { address: '10.96.0.1', port: 80 } }, web, () => undefined);
    bench.apply(pod({ name: 'db-1', ips: ['10.0.0.7'] }), service({ name: 'db', ips: ['10.96.0.7'] }));
    await bench.clock.advance(5);
    expect(asked).toBe(1);
    bench.apply(apiSlice());
    await bench.clock.advance(5);
    expect(asked).toBe(2);
  });

  test('all clients share one buffer, and a client that comes later gets it too', () => {
    const bench = small();
    const first = bench.destination('10.96.0.1:80');
    const second = bench.destination('10.96.0.1:80', { uid: 'other', node: 'node-2' });
    expect(second.heard[0]?.line.bytes).toBe(first.heard[0]?.line.bytes);
    expect(bench.topics.sizes()).toMatchObject({ topics: 1, lines: 1 });
  });

  test('who left hears nothing, and nothing is kept for nobody', async () => {
    const bench = small();
    const { heard, leave } = bench.destination('10.96.0.1:80');
    leave();
    expect(bench.topics.sizes()).toEqual({ topics: 0, lines: 0, bytes: 0 });
    bench.apply(apiSlice());
    await bench.clock.advance(5);
    expect(heard).toHaveLength(1);
  });

  test('lines of old content are dropped', async () => {
    const bench = small();
    bench.destination('10.96.0.1:80');
    for (let turn = 0; turn < 5; turn += 1) {
      bench.apply(turn % 2 === 0 ? apiSlice() : apiSlice(['api-1', '10.0.0.1']));
      await bench.clock.advance(5);
    }
    expect(bench.topics.sizes()).toMatchObject({ topics: 1, lines: 1 });
  });

  test('nothing is said of a pod that may be injected until that is known', async () => {
    const bench = small();
    bench.apply(
      service({ name: 'db', ips: ['10.96.0.9'] }),
      slice({ name: 'd', of: 'db', endpoints: [{ ip: '10.0.0.8', pod: 'db-1' }] }),
    );
    const { heard } = bench.destination('10.96.0.9:80');
    expect(heard).toEqual([]);
    await bench.clock.advance(unseenGraceMs);
    await bench.clock.advance(5);
    expect(heard.map(read)).toMatchObject([{ known: false }]);
  });

  test('an answer that ends with time is replaced then', async () => {
    const bench = small();
    const { heard } = bench.destination('10.0.0.2:80');
    bench.remove(api2);
    await bench.clock.advance(5);
    await bench.clock.advance(30_000);
    await bench.clock.advance(5);
    expect(heard.map(read)).toMatchObject([
      { known: true, endpoints: [{}] },
      { known: true, endpoints: [] },
      { known: false, endpoints: [] },
    ]);
  });

  test('internalTrafficPolicy Local: each client gets the endpoints of its own node', () => {
    const bench = new Bench();
    bench.apply(
      api1,
      api2,
      service({ name: 'api', ips: ['10.96.0.1'], spec: { internalTrafficPolicy: 'Local' } }),
      slice({
        name: 'api-x',
        of: 'api',
        endpoints: [
          { ip: '10.0.0.1', pod: 'api-1', node: 'node-1' },
          { ip: '10.0.0.2', pod: 'api-2', node: 'node-2' },
        ],
      }),
    );
    const on = (node: string) => addressesIn(bench.destination('10.96.0.1:80', { uid: node, node }).heard[0]);
    expect([on('node-1'), on('node-2'), on('node-3')]).toEqual([['10.0.0.1'], ['10.0.0.2'], []]);
  });

  test('sessionAffinity ClientIP: each client gets one endpoint and keeps it', () => {
    const names = Array.from({ length: 20 }, (_, index): [string, string] => [`api-${index}`, `10.0.1.${index}`]);
    const fill = (of: readonly [string, string][]) => {
      const bench = new Bench();
      bench.apply(...of.map(([name, ip]) => pod({ name, ips: [ip] })));
      bench.apply(service({ name: 'api', ips: ['10.96.0.1'], spec: { sessionAffinity: 'ClientIP' } }), apiSlice(...of));
      return (uid: string) => addressesIn(bench.destination('10.96.0.1:80', { uid, node: '' }).heard[0]);
    };
    const clients = Array.from({ length: 50 }, (_, index) => `client-${index}`);
    const before = clients.map(fill(names));
    const after = clients.map(fill(names.slice(1)));
    expect(before.every((each) => each.length === 1)).toBe(true);
    expect(new Set(before.flat()).size).toBeGreaterThan(10);
    before.forEach((each, index) => {
      if (each[0] !== '10.0.1.0') expect(after[index]).toEqual(each);
    });
  });
});

describe('following oneself', () => {
  test('says what holds for the pod, and pods of one service share one buffer', () => {
    const bench = small();
    const [first, second] = [bench.self('uid-shop-api-1'), bench.self('uid-shop-api-2')];
    expect(readSelf(first[0])).toMatchObject({
      trustDomain: 'cluster.local',
      namespace: 'shop',
      service: 'api',
      identity: 'spiffe://cluster.local/ns/shop/svc/api',
      trustBundle: 'PEM 1',
      clusterRanges: ['10.0.0.0/8'],
      policy: { mode: 'Mutual' },
    });
    expect(second[0]?.line.bytes).toBe(first[0]?.line.bytes);
  });

  test('a change of policy or of the trust bundle comes to everyone it concerns', async () => {
    const bench = small();
    const heard = bench.self('uid-shop-api-1');
    bench.policies.set('api', { mode: 'Permissive' });
    bench.mesh.policiesChanged('shop');
    await bench.clock.advance(5);
    bench.bundle = 'PEM 2';
    bench.topics.selfChanged();
    await bench.clock.advance(5);
    expect(heard.map((each) => readSelf(each)).map(({ policy, trustBundle }) => [policy.mode, trustBundle])).toEqual([
      ['Mutual', 'PEM 1'],
      ['Permissive', 'PEM 1'],
      ['Permissive', 'PEM 2'],
    ]);
  });

  test('the last word to a pod that is gone stays its last', async () => {
    const bench = small();
    const heard = bench.self('uid-shop-api-1');
    bench.remove(api1);
    await bench.clock.advance(5);
    expect(heard).toHaveLength(1);
  });

  test('versions are the same for the same content on another replica', () => {
    expect(small().self('uid-shop-api-1')[0]?.line.version).toBe(small().self('uid-shop-api-1')[0]?.line.version);
  });
});

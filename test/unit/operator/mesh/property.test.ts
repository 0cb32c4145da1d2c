// Any sequence of events leads to the same answers as the objects that are left, fed to a new mesh in any order; and at no
// moment in between is anything of the mesh reported as outside it, or under the identity of another pod.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type EndpointSlice, type KubeObject, keyOf, type Pod } from '../../../../lib/kube/object.ts';
import { parseDestination } from '../../../../operator/mesh/address.ts';
import type { Destination } from '../../../../operator/mesh/destination.ts';
import type { Touched } from '../../../../operator/mesh/mesh.ts';
import { MeshBench, pod, StoodClock, service, slice } from '../../../support/meshbench.ts';

const apps = ['api', 'web', 'db'] as const;
const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1'] as const;
const virtual = ['10.96.0.1', '10.96.0.2', 'fd00:96::1'] as const;
const destinations = [...addresses, ...virtual].flatMap((ip) =>
  [80, 8080].map((port) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)),
);

const podEvent = fc
  .record({
    app: fc.constantFrom(...apps),
    number: fc.integer({ min: 0, max: 1 }),
    generation: fc.constantFrom(0, 0, 0, 1),
    ips: fc.option(fc.subarray([...addresses], { minLength: 1, maxLength: 2 }), { nil: undefined }),
    phase: fc.constantFrom('Pending', 'Running', 'Running', 'Succeeded'),
    started: fc.integer({ min: 0, max: 3 }),
    leaving: fc.boolean(),
  })
  .map(({ app, number, generation, ips, ...rest }) =>
    pod({
      name: `${app}-${number}`,
      uid: `uid-${app}-${number}-${generation}`,
      // Whether a pod is injected is settled at admission and never changes for one uid.
      injected: app === 'api' || number === 0,
      ...(ips === undefined ? {} : { ips }),
      ...rest,
    }),
  );

const serviceEvent = fc
  .record({
    name: fc.constantFrom(...apps),
    ips: fc.subarray([...virtual], { maxLength: 2 }),
    external: fc.subarray([...virtual, ...addresses], { maxLength: 1 }),
    port: fc.constantFrom(80, 8080),
  })
  .map(({ name, ips, external, port }) =>
    service({ name, ips, ports: [{ port }], spec: { externalIPs: external }, created: apps.indexOf(name as 'api') }),
  );

const endpoint = fc
  .record({
    ip: fc.constantFrom(...addresses),
    app: fc.constantFrom(...apps),
    number: fc.integer({ min: 0, max: 1 }),
    generation: fc.constantFrom(0, 0, 0, 1),
    byHand: fc.constantFrom(false, false, true),
    ready: fc.boolean(),
    serving: fc.boolean(),
    terminating: fc.boolean(),
  })
  .map(({ app, number, generation, byHand, ...rest }) =>
    byHand ? rest : { ...rest, pod: `${app}-${number}`, uid: `uid-${app}-${number}-${generation}` },
  );

const sliceEvent = fc
  .record({
    number: fc.integer({ min: 0, max: 3 }),
    of: fc.constantFrom(...apps),
    type: fc.constantFrom('IPv4', 'IPv6'),
    endpoints: fc.array(endpoint, { maxLength: 4 }),
  })
  .map(({ number, ...rest }) => slice({ name: `slice-${number}`, ...rest }));

const event = fc.record({
  object: fc.oneof(podEvent, serviceEvent, sliceEvent),
  gone: fc.constantFrom(false, false, false, true),
});

const sequence = fc.array(event, { maxLength: 50, size: 'max' });

/** The objects that are there, as a Store would hold them. */
class Cluster {
  readonly objects = new Map<string, KubeObject>();

  feed(bench: MeshBench, object: KubeObject, gone: boolean): void {
    const key = `${object.kind} ${keyOf(object.metadata)}`;
    const before = this.objects.get(key);
    // A Store tells of the end of the old object when its name comes back with another uid.
    if (before !== undefined && (gone || before.metadata.uid !== object.metadata.uid)) bench.remove(before);
    if (gone) this.objects.delete(key);
    else {
      this.objects.set(key, object);
      bench.apply(object);
    }
  }

  of<T extends KubeObject>(kind: T['kind']): readonly T[] {
    return [...this.objects.values()].filter((each): each is T => each.kind === kind);
  }

  injected(): readonly Pod[] {
    return this.of<Pod>('Pod').filter((each) => each.metadata.labels?.['tabard.dev/injected'] === 'true');
  }
}

/** What Kubernetes does in the end: slices name only pods that are there. */
function quiesce(bench: MeshBench, cluster: Cluster): void {
  const there = new Set(cluster.of<Pod>('Pod').map((each) => each.metadata.uid));
  const named = (uid: string | undefined) => uid === undefined || there.has(uid);
  for (const each of cluster.of<EndpointSlice>('EndpointSlice')) {
    const endpoints = (each.endpoints ?? []).filter(({ targetRef }) => named(targetRef?.uid));
    cluster.feed(bench, { ...each, endpoints } as EndpointSlice, false);
  }
  bench.clock.ms += 3_600_000;
}

function answersOf(bench: MeshBench): Record<string, string> {
  return Object.fromEntries(destinations.map((key) => [key, JSON.stringify(bench.answer(key))]));
}

/** What a subscriber holds that looks again only at what it was told about, or when an answer said so. */
class Subscriber {
  readonly held = new Map<string, Destination>();
  readonly #bench: MeshBench;

  constructor(bench: MeshBench) {
    this.#bench = bench;
    for (const key of destinations) this.held.set(key, bench.answer(key));
    bench.mesh.subscribe((touched) => this.#look(touched));
  }

  /** Time passed. */
  tick(): void {
    for (const [key, { againAtMs }] of this.held) {
      if (againAtMs !== undefined && againAtMs <= this.#bench.clock.ms) this.held.set(key, this.#bench.answer(key));
    }
  }

  #look({ addresses: touched, services }: Touched): void {
    for (const [key, { service: of }] of this.held) {
      const about = touched.has(parseDestination(key)?.address ?? '') || (of !== undefined && services.has(of));
      if (about) this.held.set(key, this.#bench.answer(key));
    }
  }
}

describe('any sequence of events', () => {
  test('leads to the answers of a new mesh with the same objects', () => {
    fc.assert(
      fc.property(sequence, fc.infiniteStream(fc.nat()), (events, order) => {
        const bench = new MeshBench(new StoodClock());
        const cluster = new Cluster();
        bench.mesh.settled();
        for (const { object, gone } of events) {
          cluster.feed(bench, object, gone);
          bench.clock.ms += 100;
        }
        quiesce(bench, cluster);
        const fresh = new MeshBench(new StoodClock());
        const shuffled = [...cluster.objects.values()]
          .map((object) => ({ object, rank: order.next().value }))
          .sort((a, b) => a.rank - b.rank);
        fresh.apply(...shuffled.map(({ object }) => object));
        expect(answersOf(bench)).toEqual(answersOf(fresh));
      }),
      { numRuns: 120 },
    );
  });

  test('tells a subscriber of everything that changes an answer', () => {
    fc.assert(
      fc.property(sequence, (events) => {
        const bench = new MeshBench(new StoodClock());
        const cluster = new Cluster();
        bench.mesh.settled();
        const subscriber = new Subscriber(bench);
        for (const { object, gone } of events) {
          cluster.feed(bench, object, gone);
          expect(Object.fromEntries(subscriber.held)).toEqual(
            Object.fromEntries(destinations.map((key) => [key, bench.answer(key)])),
          );
          bench.clock.ms += 400;
          subscriber.tick();
        }
      }),
      { numRuns: 60 },
    );
  });

  test('never lends a pod the identity of another, and never calls a live injected pod outside', () => {
    fc.assert(
      fc.property(sequence, (events) => {
        const bench = new MeshBench(new StoodClock());
        const cluster = new Cluster();
        bench.mesh.settled();
        for (const { object, gone } of events) {
          cluster.feed(bench, object, gone);
          for (const key of destinations) judge(bench, cluster, key);
        }
      }),
      { numRuns: 60 },
    );
  });
});

/** The two promises that hold at every moment, whatever order events come in. */
function judge(bench: MeshBench, cluster: Cluster, key: string): void {
  const answer = bench.answer(key);
  for (const { endpoint: found } of answer.endpoints) {
    if (found.transport !== 'mutual') continue;
    // Without an owner the word of a slice counts, but only for a pod that is there.
    const owner = bench.mesh.podAt(found.address);
    const candidates = owner === undefined ? cluster.injected().map(identityOf) : [owner.identity];
    expect(candidates).toContain(found.identity);
  }
  const at = parseDestination(key);
  const owner = at === undefined ? undefined : bench.mesh.podAt(at.address);
  if (owner !== undefined && !virtual.some((each) => each === at?.address)) {
    expect(answer.endpoints.map(({ endpoint: found }) => 'identity' in found && found.identity)).toEqual([
      owner.identity,
    ]);
  }
}

function identityOf({ metadata }: Pod): string {
  return `spiffe://cluster.local/ns/${metadata.namespace}/svc/${metadata.annotations?.['tabard.dev/service']}`;
}

// The set-up of the data-plane benchmark, so that it does not rot: every contestant carries every kind of work, with mutual TLS of the one
// suite and group. Nothing is measured. Needs root, for network namespaces.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { barsOf } from '../../../bench/dataplane/bars.ts';
import { chart } from '../../../bench/dataplane/chart.ts';
import { contestants, floor } from '../../../bench/dataplane/contestants.ts';
import type { Results } from '../../../bench/dataplane/figures.ts';
import type { Load, Pair, Sample } from '../../../bench/dataplane/pair.ts';
import { markdown } from '../../../bench/dataplane/report.ts';
import { workersPair } from '../../../bench/dataplane/tabard.ts';
import { workloads } from '../../../bench/dataplane/workloads.ts';
import { World } from '../../../bench/dataplane/world.ts';
import { silentProgress } from '../../../hack/cluster/progress.ts';
import { until } from '../../support/until.ts';

const minute = 60_000;
/** Units of each kind of work. */
const units = 8;
/** What the workloads are made of, each shape once. */
const loads: readonly Load[] = [
  ...new Map(
    workloads.map(({ load }) => [load.shape, { shape: load.shape, connections: 2, units, body: 1e6 }]),
  ).values(),
];

/** As the benchmark of cores has them. */
const crew = workersPair('two workers', 'Tunnel', { client: 1, server: 2 });

let world: World;
const seen = new Map<string, Map<string, Sample>>();

beforeAll(async () => {
  world = await World.make([...contestants, crew], silentProgress());
}, 20 * minute);
afterAll(() => world?.remove(), minute);

const pairOf = (name: string): Pair => {
  const pair = world.pairs.find((each) => each.name === name);
  if (pair === undefined) throw new Error(`${name} was not made`);
  return pair;
};

describe.each(contestants.map((each) => [each.name, each] as const))('%s', (name, contestant) => {
  test(
    'carries every kind of work',
    async () => {
      const pair = pairOf(name);
      const started = await pair.start();
      expect(started).toHaveLength(contestant.proxy === undefined ? 0 : 2);
      const samples = new Map<string, Sample>();
      for (const load of loads) {
        if (pair.lacks(load.shape)) continue;
        const sample = await pair.load(load);
        expect({ shape: load.shape, done: sample.done, error: sample.error }).toEqual({
          shape: load.shape,
          done: units,
        });
        samples.set(load.shape, sample);
      }
      seen.set(name, samples);
      const proxied = contestant.proxy !== undefined;
      expect([...samples.values()].every(({ cpu }) => cpu > 0 === proxied)).toBe(true);
      expect(await pair.hold(20, async () => pair.memory().server > 1)).toBe(proxied);
    },
    2 * minute,
  );
});

test.each(contestants.filter(({ proxy }) => proxy !== undefined).map(({ name }) => [name]))(
  '%s asks for a client certificate',
  async (name) => {
    const load: Load = { shape: 'handshake', connections: 1, units: 1, anonymous: true };
    const { done, errors } = await pairOf(name).load(load);
    expect({ done, errors }).toEqual({ done: 0, errors: 1 });
  },
  2 * minute,
);

test(
  'sidecars of several workers carry work, and each of their processes is accounted for',
  async () => {
    const pair = pairOf(crew.name);
    await pair.start();
    await until(() => pair.processes('server').length === 2, 'the second worker is there', minute);
    const { done, serverCpu, serverCpus } = await pair.load({ shape: 'keepalive', connections: 4, units });
    expect(done).toBe(units);
    expect(serverCpus).toHaveLength(2);
    expect(serverCpu).toBeGreaterThan(0);
    expect(pair.processes('client')).toHaveLength(1);
  },
  2 * minute,
);

test('what was seen makes tables, a chart and bars', () => {
  const samplesOf = (shape: string) =>
    new Map([...seen].map(([name, samples]) => [name, [samples.get(shape)].filter((each) => each !== undefined)]));
  const memory = { client: 50, server: 60 };
  const footprint = { readyMs: [300], idle: memory, fifty: memory, thousand: memory };
  const results: Results = {
    measured: new Map(workloads.map(({ name, load }) => [name, samplesOf(load.shape)])),
    footprints: new Map(contestants.map(({ name }) => [name, footprint])),
    floor: floor.name,
  };
  const names = contestants.map(({ name }) => name);
  const table = markdown(results, names);
  const drawn = chart(results, names);
  for (const name of names.filter((each) => each !== floor.name)) {
    expect(table).toContain(`| ${name} |`);
    expect(drawn).toContain(`>${name}<`);
  }
  expect(barsOf(results).length).toBeGreaterThan(0);
  expect(barsOf(results).filter(({ value }) => !Number.isFinite(value))).toEqual([]);
});

// Samples summed up: of every figure the median over the rounds with the lowest and the highest, and what it is beside Envoy's.
import { quantile } from '../issuance/figures.ts';
import type { Footprint } from './footprint.ts';
import type { Sample } from './pair.ts';
import { bodyBytes, type Measured, type Workload } from './workloads.ts';

/** One figure of one pair. */
export interface Figure {
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
}

/** The median of values with their range; undefined for none. */
export function figureOf(values: readonly number[]): Figure | undefined {
  if (values.length === 0) return undefined;
  return { median: middle(values), lowest: Math.min(...values), highest: Math.max(...values) };
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return sorted.length % 2 === 1 ? quantile(sorted, 0.5) : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2;
}

/** Everything that was measured, in one run. */
export interface Results {
  readonly measured: Measured;
  readonly footprints: ReadonlyMap<string, Footprint>;
  /** Name of the pair without a proxy. */
  readonly floor: string;
}

/** What a column shows. */
export interface Measure {
  readonly title: string;
  readonly unit: string;
  readonly digits: number;
  /** Lower is better, but for rates. */
  readonly better: 'lower' | 'higher';
  readonly of: (results: Results, pair: string) => Figure | undefined;
}

function sampled(workload: Workload['name'], value: (sample: Sample) => number): Measure['of'] {
  return ({ measured }, pair) => figureOf((measured.get(workload)?.get(pair) ?? []).map(value));
}

/** Processor time of the proxies; without any there is none. */
function spent(workload: Workload['name'], value: (sample: Sample) => number): Measure['of'] {
  const of = sampled(workload, value);
  return (results, pair) => (pair === results.floor ? undefined : of(results, pair));
}

/** Above the median of the same without a proxy. */
function added(workload: Workload['name'], value: (sample: Sample) => number): Measure['of'] {
  return (results, pair) => {
    const base = sampled(workload, value)(results, results.floor);
    const all = results.measured.get(workload)?.get(pair) ?? [];
    return base === undefined || pair === results.floor
      ? undefined
      : figureOf(all.map((sample) => value(sample) - base.median));
  };
}

function printed(value: (footprint: Footprint) => readonly number[]): Measure['of'] {
  return ({ footprints, floor }, pair) => {
    const footprint = footprints.get(pair);
    return footprint === undefined || pair === floor ? undefined : figureOf(value(footprint));
  };
}

const cpuPerUnit = ({ cpu, done }: Sample): number => cpu / done;
const perSecond = ({ done, seconds }: Sample): number => done / seconds;
const larger = ({ client, server }: Footprint['idle']): readonly number[] => [Math.max(client, server)];

const measure = (title: string, unit: string, of: Measure['of'], digits = 0): Measure => ({
  title,
  unit,
  digits,
  of,
  better: 'lower',
});
const rate = (title: string, unit: string, of: Measure['of']): Measure => ({
  ...measure(title, unit, of),
  better: 'higher',
});

/** Every figure by a name of its own. */
export const measures = {
  requestCpu: measure('CPU per request', 'µs', spent('requests', cpuPerUnit), 1),
  requestRate: rate('requests', '/s', sampled('requests', perSecond)),
  steadyCpu: measure('CPU per request at 3,000/s', 'µs', spent('steady', cpuPerUnit), 1),
  addedP50: measure(
    'added p50',
    'µs',
    added('steady', ({ p50 }) => p50),
  ),
  addedP99: measure(
    'added p99',
    'µs',
    added('steady', ({ p99 }) => p99),
  ),
  addedP999: measure(
    'added p99.9',
    'µs',
    added('steady', ({ p999 }) => p999),
  ),
  connectionCpu: measure('CPU per connection', 'µs', spent('connections', cpuPerUnit)),
  connectionRate: rate('connections', '/s', sampled('connections', perSecond)),
  arrivalCpu: measure('CPU per connection at 800/s', 'µs', spent('arrivals', cpuPerUnit)),
  arrivalP50: measure(
    'p50 at 800/s',
    'µs',
    sampled('arrivals', ({ p50 }) => p50),
  ),
  arrivalP99: measure(
    'p99 at 800/s',
    'µs',
    sampled('arrivals', ({ p99 }) => p99),
  ),
  handshakeCpu: measure(
    "server's CPU per full handshake",
    'µs',
    sampled('handshakes', ({ serverCpu, done }) => serverCpu / done),
  ),
  handshakeRate: rate('handshakes', '/s', sampled('handshakes', perSecond)),
  bodyCpu: measure(
    'CPU per 10 MB',
    'ms',
    spent('bodies', ({ cpu, done }) => cpu / done / 1_000),
    1,
  ),
  bodyRate: rate(
    'bodies',
    'MB/s',
    sampled('bodies', ({ done, seconds }) => (done * bodyBytes) / 1e6 / seconds),
  ),
  streamCpu: measure('CPU per call (HTTP/2)', 'µs', spent('streams', cpuPerUnit), 1),
  fairP50: measure(
    'p50 beside bulk',
    'ms',
    sampled('fairness', ({ p50 }) => p50 / 1_000),
    2,
  ),
  fairP99: measure(
    'p99 beside bulk',
    'ms',
    sampled('fairness', ({ p99 }) => p99 / 1_000),
    2,
  ),
  fairBulk: rate(
    'bulk beside',
    'MB/s',
    sampled('fairness', ({ bulkBytes, seconds }) => bulkBytes / 1e6 / seconds),
  ),
  idle: measure(
    'one idle proxy',
    'MB',
    printed(({ idle }) => larger(idle)),
  ),
  fifty: measure(
    'one under 50 connections',
    'MB',
    printed(({ fifty }) => larger(fifty)),
  ),
  pairIdle: measure(
    'idle pair',
    'MB',
    printed(({ idle }) => [idle.client + idle.server]),
  ),
  pairThousand: measure(
    'pair with 1,000 idle connections',
    'MB',
    printed(({ thousand }) => [thousand.client + thousand.server]),
  ),
  ready: measure(
    'start to ready',
    'ms',
    printed(({ readyMs }) => readyMs),
  ),
} as const satisfies Readonly<Record<string, Measure>>;

/** What failed, by workload: how many units, and the first cause. */
export function failures({ measured }: Results, pair: string): readonly string[] {
  return [...measured].flatMap(([workload, samples]) => {
    const failed = (samples.get(pair) ?? []).filter(({ errors }) => errors > 0);
    const count = failed.reduce((sum, { errors }) => sum + errors, 0);
    return count === 0 ? [] : [`${pair}, ${workload}: ${count} failed (${failed[0]?.error ?? 'no reason given'})`];
  });
}

// What floods do to others: `node bench/floods.ts [--quick] [--only NAME,...]`. A pair of sidecars in network namespaces that read HTTP, healthy clients through
// both, and hostile ones at the server's sidecar, which has a decision and HSTS for each request. Each flood (test/support/floods/kinds.ts) in turns with
// its absence. Prints one line per figure; the last line is {"bars":[...]}. Needs root, for network namespaces.
import { parseArgs } from 'node:util';
import { progressOn } from '../hack/cluster/progress.ts';
import { type Flood, floods } from '../test/support/floods/kinds.ts';
import { applicationPort, type Contestant } from './dataplane/contestant.ts';
import { tabardPairs } from './dataplane/tabard.ts';
import { World } from './dataplane/world.ts';
import { healthy, hostilePort, look, type Round, startApplication } from './floods/measure.ts';
import { type Bar, bar, line, quantile, spreadText } from './issuance/figures.ts';

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string', default: '' } },
});
const { rounds, length } = values.quick ? { rounds: 2, length: 0.5 } : { rounds: 5, length: 1 };
const progress = progressOn((text) => process.stderr.write(`${text}\n`));
/** Healthy clients wait twice as long at the most, and a sidecar has no more memory than this on top. */
const MOST_TIMES = 2;
const MOST_MB = 64;

function contestant(): Contestant {
  const pair = tabardPairs.find(({ name }) => name === 'Tabard L7');
  if (pair === undefined) throw new Error('there is no pair that reads HTTP');
  const ports = [applicationPort, hostilePort].map((port) => ({ port, mode: 'Mutual', protocol: 'HTTP' }) as const);
  return { ...pair, policy: { ...pair.policy, ports } };
}

function chosen(): readonly Flood[] {
  const words = values.only.toLowerCase().split(',').filter(Boolean);
  return floods.filter(({ name }) => words.length === 0 || words.some((word) => name.toLowerCase().includes(word)));
}

const ratios = (all: readonly Round[]): readonly number[] => all.map(({ alone, beside }) => beside.p99 / alone.p99);
const errors = (all: readonly Round[]): number => all.reduce((sum, { beside }) => sum + beside.errors, 0);

function report({ name, what, connections }: Flood, all: readonly Round[]): void {
  const milliseconds = (of: 'alone' | 'beside'): string =>
    spreadText(
      all.map((each) => each[of].p99 / 1_000),
      2,
    );
  const cpu = (of: 'alone' | 'beside'): string =>
    spreadText(
      all.map((each) => each[of].serverCpu / 10_000 / each[of].seconds),
      0,
    );
  const counts = all.map((each) => each.counts);
  const most = (of: 'acts' | 'ended'): number => Math.max(...counts.map((each) => each[of]));
  line(`${name} (${connections} connections: ${what})`, '');
  line('  p99 of healthy clients without it', milliseconds('alone'), 'ms');
  line('  p99 of healthy clients beside it', milliseconds('beside'), 'ms');
  line('  times', spreadText(ratios(all), 2), 'x');
  line("  processor of the server's sidecar without it", cpu('alone'), '% of a core');
  line("  processor of the server's sidecar beside it", cpu('beside'), '% of a core');
  line("  memory of the server's sidecar", spreadText(all.map(({ serverMb }) => serverMb)), 'MB');
  line('  acts of a round, connections of it that were ended', `${most('acts')}, ${most('ended')}`);
  if (errors(all) > 0) line('  healthy requests that failed', errors(all));
}

function barsOf(found: ReadonlyMap<Flood, readonly Round[]>, calmMb: number): readonly Bar[] {
  const waits = [...found].map(([{ name }, all]) =>
    bar(`p99 beside ${name}`, quantile(ratios(all), 0.5), { most: MOST_TIMES }, 'x without'),
  );
  const failed = [...found.values()].reduce((sum, all) => sum + errors(all), 0);
  const highest = Math.max(...[...found.values()].flat().map(({ serverMb }) => serverMb));
  return [
    ...waits,
    bar('memory of a flooded sidecar, more than before', highest - calmMb, { most: MOST_MB }, 'MB'),
    bar('healthy requests that failed', failed, { most: 0 }, ''),
  ];
}

async function main(): Promise<void> {
  const world = await World.make([contestant()], progress);
  let ending: Promise<void> | undefined;
  const remove = (): Promise<void> => (ending ??= world.remove());
  // Namespaces outlive whoever made them.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void remove().then(() => process.exit(1)));
  try {
    const [pair] = world.pairs;
    if (pair === undefined) throw new Error('no pair was made');
    await pair.start();
    const application = await startApplication(pair);
    await progress.step('warmed up', () => pair.load({ shape: 'keepalive', connections: 16, seconds: 4 * length }));
    await pair.load(healthy);
    const calmMb = pair.memory().server;
    const found = new Map<Flood, Round[]>(chosen().map((flood) => [flood, []]));
    for (let round = 0; round < rounds; round += 1) {
      for (const [flood, all] of found) all.push(await look(pair, flood, { round, length }));
      progress.note(`round ${round + 1} of ${rounds}`);
    }
    await application.end();
    line('healthy requests a second, on 16 connections', healthy.rate ?? 0);
    line("memory of the server's sidecar before all floods", calmMb, 'MB');
    for (const [flood, all] of found) report(flood, all);
    const bars = barsOf(found, calmMb);
    process.stdout.write(`${JSON.stringify({ bars })}\n`);
    if (bars.some(({ ok }) => !ok)) process.exitCode = 1;
  } finally {
    await remove();
  }
}

await main();

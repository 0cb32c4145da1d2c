// What a pair of sidecars costs beside other proxies: `node bench/dataplane.ts [--quick] [--only NAME,...] [--write] [--profile FOLDER]`. All pairs are up at
// once and are measured in turns; with --profile each sidecar leaves a V8 profile there; docs/benchmarks.md says how. A whole run writes that page, another one with --write alone. Prints
// one line per figure; the last line is {"bars":[...]}. Needs root, for network namespaces.
import { chownSync, mkdirSync } from 'node:fs';
import { loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { progressOn } from '../hack/cluster/progress.ts';
import { PROXY_UID } from '../lib/api/contract.ts';
import { barsOf } from './dataplane/bars.ts';
import { chart } from './dataplane/chart.ts';
import { conditions } from './dataplane/conditions.ts';
import { contestants, floor } from './dataplane/contestants.ts';
import { failures, type Results } from './dataplane/figures.ts';
import { footprints } from './dataplane/footprint.ts';
import { writePage } from './dataplane/page.ts';
import type { Pair } from './dataplane/pair.ts';
import { markdown, plain } from './dataplane/report.ts';
import { type Effort, measure, warmUp } from './dataplane/workloads.ts';
import { World } from './dataplane/world.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
    profile: { type: 'string', default: '' },
  },
});
const effort: Effort & { readonly starts: number } = values.quick
  ? { rounds: 2, length: 0.5, starts: 3 }
  : { rounds: 5, length: 1, starts: 4 };
const progress = progressOn((text) => process.stderr.write(`${text}\n`));

/** A profile of every sidecar at its end. What is measured then is no figure for anybody. */
function profiling(): readonly string[] {
  if (values.profile === '') return [];
  mkdirSync(values.profile, { recursive: true });
  chownSync(values.profile, PROXY_UID, PROXY_UID);
  return ['--cpu-prof', `--cpu-prof-dir=${resolve(values.profile)}`];
}

/** The floor, and of the others those whose names hold one of the words. */
function chosen() {
  const words = values.only.toLowerCase().split(',').filter(Boolean);
  return contestants.filter(
    (each) => words.length === 0 || each === floor || words.some((word) => each.name.toLowerCase().includes(word)),
  );
}

async function run(pairs: readonly Pair[]): Promise<Results> {
  const found = await progress.step('starts and memory', () => footprints(pairs, effort));
  await progress.step('warmed up', () => warmUp(pairs, effort.length));
  const measured = await measure(pairs, effort, (text) => progress.note(text));
  return { measured, footprints: found, floor: floor.name };
}

async function main(): Promise<void> {
  const before = loadavg()[0] ?? 0;
  const world = await World.make(chosen(), progress, profiling());
  let ending: Promise<void> | undefined;
  const remove = (): Promise<void> => (ending ??= world.remove());
  // Namespaces outlive whoever made them.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void remove().then(() => process.exit(1)));
  try {
    const results = await run(world.pairs);
    const names = world.pairs.map(({ name }) => name);
    const bars = barsOf(results);
    const text = conditions({ ...effort, loadBefore: before, loadAfter: loadavg()[0] ?? 0 });
    process.stdout.write(`${text}\n${plain(results, names)}\n`);
    if (values.write || (!values.quick && values.only === '')) {
      const verdicts = bars.map(
        ({ name, value, limit, unit, ok }) =>
          `| ${name} | ${limit} ${unit} | ${value} ${unit}${ok ? '' : ', **not met**'} |`,
      );
      const table = ['| bar | at most | measured |', '|---|---|---|', ...verdicts].join('\n');
      writePage(
        `${text}\n\n![Medians of the run](img/dataplane.svg)\n\n${table}\n\n${markdown(results, names)}`,
        chart(results, names),
      );
    }
    process.stdout.write(`${JSON.stringify({ bars })}\n`);
    const failed = names.filter((name) => name.startsWith('Tabard')).some((name) => failures(results, name).length > 0);
    if (failed || bars.some(({ ok }) => !ok)) process.exitCode = 1;
  } finally {
    await remove();
  }
}

await main();

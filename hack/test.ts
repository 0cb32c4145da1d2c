// `make test`: every suite in order, each step with its elapsed time, one closing line over all of them.
// A suite that cannot start counts as failed; the run goes on so that one report names everything that is broken. A file of tests that
// failed is tried once more, in the open: docs/adr/0029-second-attempts.md. Whoever ends this
// process, in whatever way, ends the step that runs and everything that it started (leash.ts); the end of `make` ends this process.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { suitesOfOneRelay } from './bothrelays.ts';
import { leashed } from './leash.ts';
import { type SuiteReport, type TestReport, wayMatrix } from './waymatrix.ts';

interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const root = resolve(import.meta.dirname, '..');
/** More failed files than this are no accident: nothing is tried again. */
const SECOND_ATTEMPTS = 3;
const strict = process.env['TABARD_TEST_STRICT'] === '1';
/** What goes through a sidecar and names no relay runs once with the relay that the chart installs, and once more with the other one. */
const otherRelay = suitesOfOneRelay(root);
/** What was tested over which transport and relay. */
const ways: SuiteReport[] = [];
/** What passed at its second attempt only, with what the first one said. */
const unstable: string[] = [];
type Project = 'unit' | 'integration' | 'e2e';

const scratch = mkdtempSync(join(tmpdir(), 'tabard-test-'));
const startedAt = performance.now();
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(1);
}, 1_000).unref();

function say(text: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`[${seconds.padStart(7)}s] ${text}`);
}

/** The most that one step may take, in minutes, well above its need: one that hangs leaves time for the closing line. */
const limits = { check: 30, unit: 10, integration: 60, e2e: 30 };

async function run(
  command: string,
  args: readonly string[],
  minutes: number,
  more: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  const env = { ...process.env, ...more, PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH']}` };
  const child = spawn(...leashed(command, args), { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const { promise, resolve: done } = Promise.withResolvers<boolean>();
  child.on('error', (error) => {
    console.error(`${command}: ${error.message}`);
    done(false);
  });
  child.on('exit', (code) => done(code === 0));
  const limit = setTimeout(() => {
    say(`ended after ${minutes} minutes, the most that a step may take`);
    child.kill('SIGKILL');
  }, minutes * 60_000);
  return promise.finally(() => clearTimeout(limit));
}

/** A step that either works or does not: one test. */
async function check(name: string, command: string, args: readonly string[]): Promise<Count> {
  say(name);
  const ok = await run(command, args, limits.check);
  if (!ok) say(`${name}: FAILED`);
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
}

/** What Jest's JSON report says of one file of tests. */
interface FileReport {
  readonly name: string;
  readonly status: string;
  readonly message: string;
  readonly assertionResults: readonly TestReport[];
}

/** What of a suite is run: all files where none is named, over the relay of the chart where none is. */
interface Choice {
  readonly files?: readonly string[];
  readonly relay?: 'fast' | 'public';
}

/** Runs a suite, or the named files of it. No reports: it ended without. */
async function jestOnce(
  project: Project,
  { files = [], relay = 'fast' }: Choice,
): Promise<{ ok: boolean; reports?: readonly FileReport[] }> {
  const output = join(scratch, `${project}${files.length}${relay}.json`);
  // Not by `npm run`: between this process and Jest there must be nobody who could outlive the one without the other.
  const script = `exec ${scripts[`test:${project}`]} "$@"`;
  const only = files.length > 0 ? ['--runTestsByPath', ...files] : [];
  const args = ['-c', script, 'sh', '--json', `--outputFile=${output}`, ...only];
  const ok = await run('sh', args, limits[project], { TABARD_TEST_RELAY: relay });
  try {
    return { ok, reports: (JSON.parse(readFileSync(output, 'utf8')) as { testResults: FileReport[] }).testResults };
  } catch {
    return { ok };
  }
}

function count(reports: readonly FileReport[]): Count {
  const results = reports.flatMap((report) => report.assertionResults);
  const of = (status: string): number => results.filter((result) => result.status === status).length;
  // A file that does not even load, or that fails outside its tests, has no failed test of its own.
  const broken = reports.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  );
  return { passed: of('passed'), failed: of('failed') + broken.length, skipped: of('pending') + of('todo') };
}

/** Keeps what a run says of the ways of bytes, a later attempt of a file in the place of an earlier one. */
function note(reports: readonly FileReport[], relay: 'fast' | 'public'): void {
  for (const { name, assertionResults } of reports) {
    const path = relative(root, name);
    const namesRelays = assertionResults.some(({ ancestorTitles, title }) =>
      /\b(?:fast|public) relay\b/.test([...ancestorTitles, title].join(' ')),
    );
    if ((!namesRelays && !otherRelay.includes(path)) || path.includes('/relay/')) continue;
    const at = ways.findIndex((each) => each.name === path && each.relay === relay);
    if (at >= 0) ways.splice(at, 1);
    ways.push({ name: path, relay, tests: assertionResults });
  }
}

async function jest(project: Project, choice: Choice = {}): Promise<Count> {
  const { relay = 'fast' } = choice;
  const what = choice.relay === undefined ? `${project} tests` : `${project} tests over the ${relay} relay`;
  say(what);
  const { ok, reports } = await jestOnce(project, choice);
  note(reports ?? [], relay);
  if (reports === undefined) {
    say(`${what} ended without a report`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const failed = reports.filter((report) => report.status === 'failed');
  if (failed.length === 0 || failed.length > SECOND_ATTEMPTS || strict) {
    const counted = count(reports);
    return ok || counted.failed > 0 ? counted : { ...counted, failed: 1 };
  }
  say(`${what}: a second attempt of ${failed.length} that failed`);
  const again = await jestOnce(project, { files: failed.map(({ name }) => name), relay });
  note(again.reports ?? [], relay);
  for (const { name, message } of failed) {
    const passed = again.reports?.some((report) => report.name === name && report.status !== 'failed');
    if (passed) unstable.push(`${relative(root, name)}\n${stripVTControlCharacters(message).trim().slice(0, 1_500)}`);
  }
  const stood = reports.filter((report) => report.status !== 'failed');
  const counted = count([...stood, ...(again.reports ?? failed)]);
  return again.ok || counted.failed > 0 ? counted : { ...counted, failed: 1 };
}

const steps: readonly (() => Promise<Count>)[] = [
  () => check('type check', 'npm', ['run', '--silent', 'typecheck']),
  () => check('lint', 'npm', ['run', '--silent', 'lint']),
  () => check('generated files are up to date', 'node', ['hack/manifests.ts', '--check']),
  () => jest('unit'),
  () => check('tools of the embedded cluster', 'node', ['hack/cluster/main.ts', 'build']),
  () => check('image', 'node', ['hack/image/main.ts']),
  () => jest('integration'),
  () => jest('integration', { files: otherRelay, relay: 'public' }),
  () => jest('e2e'),
];

const counts: Count[] = [];
for (const step of steps) counts.push(await step());
rmSync(scratch, { recursive: true, force: true });
say(`the data path, tests passed by transport and relay:\n${wayMatrix(ways)}`);
const total = (key: keyof Count): number => counts.reduce((sum, count) => sum + count[key], 0);
for (const text of unstable) say(`UNSTABLE, passed at its second attempt only: ${text}`);
say(unstable.length > 0 ? `done; ${unstable.length} passed at a second attempt only, see above` : 'done');
console.log(`${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`);
process.exitCode = total('failed') > 0 ? 1 : 0;

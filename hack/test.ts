// `make test`: every suite in order, each step with its elapsed time, one closing line over all of them.
// A suite that cannot start counts as failed; the run goes on so that one report names everything that is broken. Whoever ends this
// process, in whatever way, ends the step that runs and everything that it started (leash.ts); the end of `make` ends this process.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { leashed } from './leash.ts';

interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const root = resolve(import.meta.dirname, '..');
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

/** The most that one step may take, in minutes, several times its need: one that hangs leaves time for the others and for the closing line. */
const limits = { check: 30, unit: 10, integration: 45, e2e: 30 };

async function run(command: string, args: readonly string[], minutes: number): Promise<boolean> {
  const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH']}` };
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

async function jest(project: 'unit' | 'integration' | 'e2e'): Promise<Count> {
  say(`${project} tests`);
  const file = join(scratch, `${project}.json`);
  // Not by `npm run`: between this process and Jest there must be nobody who could outlive the one without the other.
  const script = `exec ${scripts[`test:${project}`]} "$@"`;
  const ok = await run('sh', ['-c', script, 'sh', '--json', `--outputFile=${file}`], limits[project]);
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    // A suite that does not even load has no failed test of its own.
    const broken = report.numRuntimeErrorTestSuites;
    const failed = report.numFailedTests + broken;
    return { passed: report.numPassedTests, failed: ok || failed > 0 ? failed : 1, skipped: report.numPendingTests };
  } catch {
    say(`${project} tests ended without a report`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const steps: readonly (() => Promise<Count>)[] = [
  () => check('type check', 'npm', ['run', '--silent', 'typecheck']),
  () => check('lint', 'npm', ['run', '--silent', 'lint']),
  () => check('generated files are up to date', 'node', ['hack/manifests.ts', '--check']),
  () => jest('unit'),
  () => check('tools of the embedded cluster', 'node', ['hack/cluster/main.ts', 'build']),
  () => check('image', 'node', ['hack/image/main.ts']),
  () => jest('integration'),
  () => jest('e2e'),
];

const counts: Count[] = [];
for (const step of steps) counts.push(await step());
rmSync(scratch, { recursive: true, force: true });
const total = (key: keyof Count): number => counts.reduce((sum, count) => sum + count[key], 0);
say('done');
console.log(`${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`);
process.exitCode = total('failed') > 0 ? 1 : 0;

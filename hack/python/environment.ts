// Python tools that tests need, each in a virtual environment of its own, outside of the checkout. The folder's name is a digest of
// the pinned packages (NAME.txt beside this file) and of the Python version: changed pins make a new one, and nothing else does. Sources that are
// only read (NAME.sources.txt, pinned by digest) are unpacked in its folder `sources`.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../cluster/cache.ts';
import { ClusterError } from '../cluster/failure.ts';
import { withLock } from '../cluster/lock.ts';
import { type Progress, silentProgress } from '../cluster/progress.ts';
import { run, tryRun } from '../cluster/run.ts';

const INSTALL_TIMEOUT_MS = 10 * 60_000;

/** The Python interpreter that has the packages of `NAME.txt`; they are installed first where they are missing. Safe to call from several processes at once. */
export async function pythonWith(name: string, progress: Progress = silentProgress()): Promise<string> {
  const pins = join(import.meta.dirname, `${name}.txt`);
  const version = (await tryRun('python3', ['--version'])).stdout.trim();
  const sources = join(import.meta.dirname, `${name}.sources.txt`);
  const hash = createHash('sha256').update(`${version}\n`).update(readFileSync(pins));
  if (existsSync(sources)) hash.update(readFileSync(sources));
  const key = hash.digest('hex').slice(0, 12);
  const folder = join(cacheFolder(), 'python', `${name}-${key}`);
  const python = join(folder, 'bin', 'python');
  if (existsSync(join(folder, 'complete'))) return python;
  const waiting = (): void => progress.note(`another process installs ${name}; waiting for it`);
  await withLock(join(cacheFolder(), 'python', 'lock'), waiting, async () => {
    if (existsSync(join(folder, 'complete'))) return;
    await progress.step(`Python packages of ${name} installed`, async () => {
      await install(folder, pins);
      if (existsSync(sources)) await unpack(folder, sources);
      // A virtual environment cannot be moved: it is made in place and marked when it is whole.
      mkdirSync(join(folder, 'complete'));
    });
  });
  return python;
}

async function install(folder: string, pins: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  const made = await tryRun('python3', ['-m', 'venv', folder], { timeoutMs: INSTALL_TIMEOUT_MS });
  if (made.code !== 0) {
    throw new ClusterError(`python3 -m venv ended with code ${made.code}: ${made.stdout.trim()}${made.stderr.trim()}`, {
      advice: 'install Python 3 with its venv module (Debian package python3-venv)',
    });
  }
  // The pins name everything, so that no resolver may add what it likes; wheels only, so that nothing is compiled or run.
  const args = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '--no-deps'];
  args.push('--only-binary', ':all:', '--requirement', pins);
  await run(join(folder, 'bin', 'python'), args, { timeoutMs: INSTALL_TIMEOUT_MS });
}

/** Source packages, each in a folder `sources/<name>-<version>`. */
async function unpack(folder: string, pins: string): Promise<void> {
  const python = join(folder, 'bin', 'python');
  const target = join(folder, 'sources');
  const args = ['-m', 'pip', 'download', '--quiet', '--no-input', '--disable-pip-version-check', '--no-deps'];
  args.push(
    '--no-binary',
    ':all:',
    '--no-build-isolation',
    '--require-hashes',
    '--dest',
    target,
    '--requirement',
    pins,
  );
  await run(python, args, { timeoutMs: INSTALL_TIMEOUT_MS });
  for (const archive of readdirSync(target))
    await run(python, ['-m', 'tarfile', '-e', join(target, archive), target], { timeoutMs: INSTALL_TIMEOUT_MS });
}

// Refreshes hack/image/packages.lock.json: for every set in it, its roots and all that these need, at the versions that the
// Debian archive offers now. Run it when a locked version is gone from the archive or has a security fix.
import { writeFile } from 'node:fs/promises';
import { devNull } from 'node:os';
import { AppError, messageOf } from '../../lib/errors.ts';
import { run } from '../cluster/run.ts';
import { type LockedPackage, lockPath, type PackageSet, readLock } from './debian.ts';

const TIMEOUT_MS = 300_000;

/** What the roots of a set need, resolved by apt as if nothing were installed, without recommendations; sorted by name. */
export async function resolvePackages(roots: readonly string[]): Promise<readonly LockedPackage[]> {
  // apt plans against an empty status file, so what this machine has installed makes no difference.
  const plan = await run(
    'apt-get',
    ['-s', '-o', `Dir::State::status=${devNull}`, '--no-install-recommends', 'install', ...roots],
    { timeoutMs: TIMEOUT_MS },
  );
  const packages: LockedPackage[] = [];
  for (const [, name = '', version = ''] of plan.matchAll(/^Inst (\S+) \((\S+) /gm)) {
    const shown = await run('apt-cache', ['show', `${name}=${version}`]);
    const sha256 = /^SHA256: ([0-9a-f]{64})$/m.exec(shown)?.[1];
    if (sha256 === undefined) throw new AppError('input_invalid', `apt knows no SHA-256 of ${name} ${version}`);
    packages.push({ name, version, sha256 });
  }
  return packages.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function refresh(): Promise<void> {
  const lock = await readLock();
  const sets: Record<string, PackageSet> = {};
  for (const [name, { roots, packages: before }] of Object.entries(lock.sets)) {
    const packages = await resolvePackages(roots);
    sets[name] = { roots, packages };
    for (const { name: each, version } of packages) {
      const old = before.find((one) => one.name === each)?.version;
      if (old !== version) process.stdout.write(`${name}: ${each} ${old ?? '(new)'} -> ${version}\n`);
    }
  }
  await writeFile(lockPath, `${JSON.stringify({ ...lock, sets }, undefined, 2)}\n`);
}

if (import.meta.main) {
  try {
    await run('apt-get', ['-q', 'update'], { timeoutMs: TIMEOUT_MS });
    await refresh();
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}

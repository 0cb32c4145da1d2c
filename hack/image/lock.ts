// Refreshes hack/image/packages.lock.json: for every set in it, its roots and all that these need, at the versions that the
// Debian archive offers now. Run it when a locked version is gone from the archive or has a security fix.
import { writeFile } from 'node:fs/promises';
import { messageOf } from '../../lib/errors.ts';
import { run } from '../cluster/run.ts';
import { lockPath, type PackageSet, readLock } from './debian.ts';
import { resolvePackages } from './resolve.ts';

const TIMEOUT_MS = 300_000;

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

// Which Debian packages some roots need today, at the versions that the archive offers now.
import { devNull } from 'node:os';
import { AppError } from '../../lib/errors.ts';
import { run } from '../cluster/run.ts';
import type { LockedPackage } from './debian.ts';

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

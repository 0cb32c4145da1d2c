// The packages of a set as the lock has them, or, when the Debian archive dropped a locked version, as it has them today: said aloud,
// because the image is then another than the locked one, but a fresh machine can still build it.
import { AppError, messageOf } from '../../lib/errors.ts';
import { fetchPackages, type LockedPackage, readLock } from './debian.ts';
import { resolvePackages } from './resolve.ts';

/** What to do about a lock that is out of date. */
const REFRESH = 'run `node hack/image/lock.ts`, review what it changes in hack/image/packages.lock.json, and commit it';

/**
 * The packages of a set, each in the cache. `warn` is told when they are not the locked ones. Throws AppError `input_invalid`
 * for a set that the lock does not have, `unsupported` without apt.
 */
export async function packagesOf(
  set: string,
  { lock, warn = (text) => void process.stderr.write(`${text}\n`) }: PackageOptions = {},
): Promise<readonly LockedPackage[]> {
  const { sets } = lock ?? (await readLock());
  const found = sets[set];
  if (found === undefined) {
    throw new AppError(
      'input_invalid',
      `hack/image/packages.lock.json has no set "${set}"; add its roots and ${REFRESH}`,
    );
  }
  try {
    await fetchPackages(found.packages);
    return found.packages;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'input_invalid') throw error;
    warn(`WARNING: ${messageOf(error)}. Going on with what the archive has now; to fix the versions, ${REFRESH}`);
    return resolvePackages(found.roots);
  }
}

/** For tests: another lock, another reader of the warning. */
export interface PackageOptions {
  readonly lock?: Awaited<ReturnType<typeof readLock>>;
  readonly warn?: (text: string) => void;
}

// Root file systems from Debian packages, without a container engine and without running any package's scripts: archives are
// fetched by apt, checked against hack/image/packages.lock.json, kept in the cache, and unpacked by dpkg-deb and tar.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, messageOf } from '../../lib/errors.ts';
import { cacheFolder, isRoot } from '../cluster/cache.ts';
import { run, tryRun } from '../cluster/run.ts';

/** A package archive, fixed to the byte. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** SHA-256 (hex) of the .deb file. */
  readonly sha256: string;
}

/** One named list of hack/image/packages.lock.json: what was asked for, and everything that this needs. */
export interface PackageSet {
  readonly roots: readonly string[];
  readonly packages: readonly LockedPackage[];
}

/** The lock file. */
export interface PackageLock {
  readonly architecture: string;
  readonly sets: Readonly<Record<string, PackageSet>>;
}

/** Where the lock is. */
export const lockPath = join(import.meta.dirname, 'packages.lock.json');
/** Folders that Debian has merged into /usr. */
const merged: readonly string[] = ['bin', 'sbin', 'lib', 'lib64'];
const FETCH_TIMEOUT_MS = 300_000;

/** Reads the lock file. */
export async function readLock(): Promise<PackageLock> {
  return JSON.parse(await readFile(lockPath, 'utf8')) as PackageLock;
}

/** How to unpack. */
export interface UnpackOptions {
  /** Whether a file goes into the image, by its path (`usr/sbin/nft`, `run/` for a folder); all but documents by default. */
  readonly keep?: (path: string) => boolean;
}

/**
 * Unpacks packages into an empty folder, in which /bin, /sbin and /lib become links into /usr as Debian has them. Leaves
 * each package's licence and, for scanners, its control record (var/lib/dpkg/status.d). No script of any package is run:
 * users, alternatives and caches that these would make are for the caller.
 */
export async function unpackPackages(
  packages: readonly LockedPackage[],
  into: string,
  options: UnpackOptions = {},
): Promise<void> {
  const { keep = isNoDocument } = options;
  for (const name of merged) {
    await mkdir(join(into, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(into, name));
  }
  const records = join(into, 'var/lib/dpkg/status.d');
  await mkdir(records, { recursive: true });
  const archives = await fetchPackages(packages);
  for (const [index, archive] of archives.entries()) {
    const files = join(into, '.package.tar');
    await run('sh', ['-c', 'dpkg-deb --fsys-tarfile "$0" > "$1"', archive, files], { timeoutMs: FETCH_TIMEOUT_MS });
    await run('tar', ['-C', into, '-xf', files, '--keep-directory-symlink', '--no-same-owner']);
    await rm(files);
    await writeFile(join(records, packages[index]?.name ?? ''), await run('dpkg-deb', ['--field', archive]));
  }
  await prune(into, '', (path) => merged.includes(path) || isRecord(path) || keep(path));
  for (const name of merged) if (!existsSync(join(into, name))) await rm(join(into, name));
}

/** Everything but documents, manuals, translations and the records of dpkg, apt and systemd. */
function isNoDocument(path: string): boolean {
  return !/^(usr\/share\/(doc|man|info|locale|lintian|bash-completion|bug)|usr\/lib\/systemd|etc\/init\.d)\//.test(
    path,
  );
}

/** Licences stay whatever is left out, and so does what a scanner needs to name the packages. */
function isRecord(path: string): boolean {
  return /^(usr\/share\/doc\/[^/]+\/copyright|var\/lib\/dpkg\/status\.d\/.+)$/.test(path);
}

/** Deletes what is not kept and returns how much is left. An empty folder stays only when it is kept by its own name (`run/`). */
async function prune(root: string, folder: string, keep: (path: string) => boolean): Promise<number> {
  let left = 0;
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    const kept = entry.isDirectory() ? (await prune(root, path, keep)) > 0 || keep(`${path}/`) : keep(path);
    if (kept) left += 1;
    else await rm(join(root, path), { recursive: true });
  }
  return left;
}

/**
 * Paths of the archives in the cache, fetched where they are missing, each checked. Throws AppError `input_invalid` when the Debian
 * archive does not have them, `unsupported` without apt.
 */
export async function fetchPackages(packages: readonly LockedPackage[]): Promise<readonly string[]> {
  const folder = join(cacheFolder(), 'debian');
  await mkdir(folder, { recursive: true });
  const missing = packages.filter(({ sha256 }) => !existsSync(join(folder, `${sha256}.deb`)));
  if (missing.length > 0) await download(missing, folder);
  return packages.map(({ sha256 }) => join(folder, `${sha256}.deb`));
}

async function download(packages: readonly LockedPackage[], folder: string): Promise<void> {
  const work = await mkdtemp(join(folder, 'fetching-'));
  try {
    const wanted = packages.map(({ name, version }) => `${name}=${version}`);
    await aptDownload(wanted, work);
    const fetched = new Map<string, string>();
    for (const file of await readdir(work)) fetched.set(await sha256Of(join(work, file)), file);
    for (const { name, version, sha256 } of packages) {
      const file = fetched.get(sha256);
      if (file === undefined) {
        throw new AppError('input_invalid', `the archive's ${name} ${version} is not the one that was locked`);
      }
      await rename(join(work, file), join(folder, `${sha256}.deb`));
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function aptDownload(wanted: readonly string[], cwd: string): Promise<void> {
  const args = ['-q', '-o', 'APT::Sandbox::User=root', 'download', ...wanted];
  const options = { cwd, timeoutMs: FETCH_TIMEOUT_MS };
  const attempt = () =>
    tryRun('apt-get', args, options).catch((cause: unknown) => {
      throw new AppError(
        'unsupported',
        `the image is built from Debian packages: ${messageOf(cause)}; use the Containerfile`,
      );
    });
  let outcome = await attempt();
  // A fresh system has no lists of packages, an old one has old lists.
  if (outcome.code !== 0 && isRoot() && (await tryRun('apt-get', ['-q', 'update'], options)).code === 0) {
    outcome = await attempt();
  }
  if (outcome.code !== 0) {
    const said = outcome.stderr.trim().split('\n').slice(-5).join(' | ');
    throw new AppError('input_invalid', `the Debian archive does not give the locked packages (${said})`);
  }
}

async function sha256Of(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

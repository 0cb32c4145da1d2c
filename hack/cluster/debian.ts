// The Debian packages that are needed beside what is compiled: installed when their programs are missing.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { isRoot } from './cache.ts';
import { ClusterError } from './failure.ts';
import type { Progress } from './progress.ts';
import { run, tryRun } from './run.ts';

/** Program to package. */
const NEEDED: Readonly<Record<string, string>> = {
  runc: 'runc',
  nft: 'nftables',
  ip: 'iproute2',
  nsenter: 'util-linux',
  flock: 'util-linux',
  conntrack: 'conntrack',
  socat: 'socat',
  ethtool: 'ethtool',
  tcpdump: 'tcpdump',
  tar: 'tar',
  // Not the node's own: the image is built with the one, tests ask the other for a second opinion.
  strip: 'binutils',
  openssl: 'openssl',
};

const INSTALL_TIMEOUT_MS = 10 * 60_000;

/** Installs what is missing. Fails with a ClusterError that names the packages when it cannot. */
export async function ensurePackages(progress: Progress): Promise<void> {
  const missing = [
    ...new Set(Object.entries(NEEDED).flatMap(([program, name]) => (isInstalled(program) ? [] : [name]))),
  ];
  if (missing.length === 0) return;
  const advice = `install these packages: ${missing.join(' ')}`;
  if (!isRoot())
    throw new ClusterError('programs that the cluster needs are missing, and only root may install them', { advice });
  if (!isInstalled('apt-get'))
    throw new ClusterError('programs that the cluster needs are missing, and there is no apt-get', { advice });
  await progress.step(`Debian packages installed (${missing.join(' ')})`, async () => {
    const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: INSTALL_TIMEOUT_MS };
    const install = ['install', '--yes', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...missing];
    if ((await tryRun('apt-get', install, options)).code === 0) return;
    // The lists of packages may be absent or old.
    await run('apt-get', ['update'], options);
    await run('apt-get', install, options);
  });
}

function isInstalled(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, program)));
}

// The Debian packages that are needed beside what is compiled: installed when their programs are missing. Servers among them are not
// started: tests run their own, with settings of their own.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { isRoot } from './cache.ts';
import { ClusterError } from './failure.ts';
import type { Progress } from './progress.ts';
import { run, tryRun } from './run.ts';

/** Program to package, for a cluster. */
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

/** What Debian asks before it starts a server that it installed (invoke-rc.d(8)). */
const START_POLICY = '/usr/sbin/policy-rc.d';

/**
 * Installs what is missing of these programs (to packages), what a cluster needs unless told. Fails with a ClusterError that names the
 * packages when it cannot.
 */
export async function ensurePackages(
  progress: Progress,
  needed: Readonly<Record<string, string>> = NEEDED,
): Promise<void> {
  const missing = [
    ...new Set(Object.entries(needed).flatMap(([program, name]) => (isInstalled(program) ? [] : [name]))),
  ];
  if (missing.length === 0) return;
  const advice = `install these packages: ${missing.join(' ')}`;
  if (!isRoot())
    throw new ClusterError('programs that are needed are missing, and only root may install them', { advice });
  if (!isInstalled('apt-get'))
    throw new ClusterError('programs that are needed are missing, and there is no apt-get', { advice });
  await progress.step(`Debian packages installed (${missing.join(' ')})`, async () => {
    const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: INSTALL_TIMEOUT_MS };
    const install = ['install', '--yes', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...missing];
    await withoutStarting(async () => {
      if ((await tryRun('apt-get', install, options)).code === 0) return;
      // The lists of packages may be absent or old.
      await run('apt-get', ['update'], options);
      await run('apt-get', install, options);
    });
  });
}

/** Holds Debian back from starting servers meanwhile; a policy of the machine's own stays as it is. */
async function withoutStarting(work: () => Promise<void>): Promise<void> {
  if (existsSync(START_POLICY)) return work();
  writeFileSync(START_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await work();
  } finally {
    rmSync(START_POLICY, { force: true });
  }
}

function isInstalled(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, program)));
}

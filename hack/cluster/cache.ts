// The one place where the driver reads its environment: where built tools, images and the state of clusters are kept.

import { homedir, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** Folder for everything that is kept between runs: `$TABARD_CACHE`, else `$XDG_CACHE_HOME/tabard`, else `~/.cache/tabard`. */
export function cacheFolder(): string {
  const { TABARD_CACHE, XDG_CACHE_HOME } = process.env;
  return TABARD_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'tabard');
}

/** Folder of a cluster's state unless the user names another. */
export function stateFolder(name: string): string {
  return join(cacheFolder(), 'state', name);
}

/** Folder for sockets, one per cluster; short, because a Unix socket's path must stay under 108 bytes. */
export function runFolder(): string {
  return isRoot() ? '/run/tabard' : join(tmpdir(), `tabard-${userInfo().uid}`);
}

/** Whether this process may make namespaces, mounts and control groups. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

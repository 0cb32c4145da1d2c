// Ends a whole cluster and removes every trace in the kernel, whatever state it is in. Images stay, for the next start.

import { existsSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Toolbox } from './build.ts';
import { removeCgroups } from './cgroups.ts';
import { ClusterError } from './failure.ts';
import type { Layout } from './layout.ts';
import { mountsBelow, unmountBelow } from './mounts.ts';
import { removeNetwork } from './network.ts';
import { pidOf, stopDaemon } from './process.ts';
import { removePods } from './runtime.ts';
import { restoreSysctls } from './sysctls.ts';

/** The daemons of a whole cluster. */
export const NODE_DAEMONS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'containerd',
  'kubelet',
  'kube-proxy',
] as const;

const CNI_RESULTS = '/var/lib/cni/results';
const LOG_LINKS = '/var/log/containers';

/**
 * Stops everything. Safe to repeat, and safe after a crash of any part. Without tools (their cache is gone) pods are killed
 * instead of removed.
 */
export async function stopNode(layout: Layout, tools: Toolbox | undefined): Promise<void> {
  await Promise.all(
    ['kube-proxy', 'kubelet', 'kube-scheduler', 'kube-controller-manager'].map((name) => stopDaemon(name, layout)),
  );
  // An API server whose database is gone lingers and keeps its port, so the order matters.
  await stopDaemon('kube-apiserver', layout, 2000);
  await stopDaemon('etcd', layout);
  if (tools !== undefined && pidOf('containerd', layout) !== undefined) await removePods(layout, tools);
  await stopDaemon('containerd', layout);
  await removeCgroups(layout.id);
  await unmountBelow([layout.state, layout.run]);
  await removeNetwork(layout);
  restoreSysctls(layout.state);
  removeData(layout);
}

function removeData(layout: Layout): void {
  const left = mountsBelow([layout.state, layout.run]);
  if (left.length > 0) {
    // Deleting now could delete through a mount, so somebody else's files.
    throw new ClusterError(`still mounted: ${left.join(', ')}`, {
      advice: 'unmount these by hand, then run the command again',
    });
  }
  for (const name of ['etcd', 'kubelet', 'cni', join('logs', 'pods'), 'cluster.json']) {
    rmSync(join(layout.state, name), { recursive: true, force: true });
  }
  rmSync(layout.run, { recursive: true, force: true });
  removeMatching(CNI_RESULTS, (name) => name.startsWith(`${layout.id}-`));
  removeMatching(LOG_LINKS, (name) => readlinkSync(join(LOG_LINKS, name)).startsWith(`${layout.logs}/`));
}

/** Removes what the kubelet and CNI leave in folders of the whole machine. */
function removeMatching(folder: string, isOurs: (name: string) => boolean): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder).filter(isOurs)) rmSync(join(folder, name), { force: true });
}

// The control-plane-only form: etcd and kube-apiserver (and the controller manager, if wanted) on loopback ports of the
// host. It needs no root, no namespace and a few seconds; it runs no pods.

import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import type { Toolbox } from './build.ts';
import { cacheFolder } from './cache.ts';
import { apiServer, apiServerLeaves } from './daemons/apiserver.ts';
import { CONTROLLER_LEAVES, controllerManager } from './daemons/controllers.ts';
import { etcd } from './daemons/etcd.ts';
import { type ApiAddress, callApi, isReady } from './kubeapi.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import type { Layout } from './layout.ts';
import { withLock } from './lock.ts';
import { ensurePki } from './pki.ts';
import { pidOf, startDaemon, stopDaemon, waitForDaemon } from './process.ts';
import type { Progress } from './progress.ts';

const HOST = '127.0.0.1';

/** The same layout with the certificates that all control planes of this user share: they are all for loopback. */
export function controlPlaneLayout(layout: Layout): Layout {
  return { ...layout, pki: join(cacheFolder(), 'pki', 'loopback') };
}

/** The daemons of this form. */
export function controlPlaneDaemons(withControllerManager: boolean): readonly string[] {
  return ['etcd', 'kube-apiserver', ...(withControllerManager ? ['kube-controller-manager'] : [])];
}

/** Where a control plane answers. */
export function controlPlaneAddress(layout: Layout, port: number): ApiAddress {
  return { host: HOST, port, pki: layout.pki };
}

/** A loopback port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** What a control plane is made from. */
export interface ControlPlaneParts {
  readonly layout: Layout;
  readonly tools: Toolbox;
  readonly port: number;
  readonly withControllerManager: boolean;
  /** The parts end with this process. */
  readonly ownedByProcess: boolean;
}

/** Starts the parts; returns when the API server is ready. The folder must not hold a running one. */
export async function startControlPlaneParts(parts: ControlPlaneParts, progress: Progress): Promise<void> {
  const { layout, tools, port, ownedByProcess } = parts;
  mkdirSync(layout.etc, { recursive: true });
  mkdirSync(layout.run, { recursive: true, mode: 0o700 });
  await withLock(
    join(cacheFolder(), 'pki', 'lock'),
    () => undefined,
    () => ensurePki(layout.pki, [...apiServerLeaves([]), ...CONTROLLER_LEAVES]),
  );
  const server = `https://${HOST}:${port}`;
  writeKubeconfig(layout.kubeconfig, { name: layout.name, server, pki: layout.pki, client: 'admin' });
  startDaemon({ ...etcd(layout, tools), isLeashed: ownedByProcess }, layout);
  await startApi(parts, progress);
}

/**
 * Starts the API server, and the controller manager where it is wanted and not running, and waits until they work; for the
 * start and for a restart.
 */
export async function startApi(parts: ControlPlaneParts, progress: Progress): Promise<void> {
  const { layout, tools, port, ownedByProcess: isLeashed } = parts;
  const address = controlPlaneAddress(layout, port);
  const serviceRanges = `${layout.addresses.services4},${layout.addresses.services6}`;
  await progress.step('kube-apiserver ready', async () => {
    const server = apiServer(layout, tools, { bindAddress: HOST, port, serviceRanges });
    startDaemon({ ...server, isLeashed }, layout);
    await waitForDaemon('kube-apiserver', layout, () => isReady(address));
  });
  if (!parts.withControllerManager || pidOf('kube-controller-manager', layout) !== undefined) return;
  await progress.step('kube-controller-manager ready', async () => {
    startDaemon({ ...controllerManager(layout, tools, `https://${HOST}:${port}`), isLeashed }, layout);
    await waitForDaemon('kube-controller-manager', layout, () => hasDefaultAccount(address));
  });
}

/** The first thing that anybody sees of a working controller manager. */
async function hasDefaultAccount(address: ApiAddress): Promise<boolean> {
  return (await callApi(address, 'GET', '/api/v1/namespaces/default/serviceaccounts/default')).status === 200;
}

/** Stops what is running and forgets the data. Safe to repeat. */
export async function stopControlPlaneParts(layout: Layout): Promise<void> {
  await stopDaemon('kube-controller-manager', layout);
  // An API server whose database is gone lingers and keeps its port, so the order matters.
  await stopDaemon('kube-apiserver', layout, 2000);
  await stopDaemon('etcd', layout);
  rmSync(join(layout.state, 'etcd'), { recursive: true, force: true });
  rmSync(join(layout.state, 'cluster.json'), { force: true });
  rmSync(layout.run, { recursive: true, force: true });
}

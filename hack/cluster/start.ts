// Starts a whole cluster: control plane and one node, in a network namespace of their own.

import { mkdirSync } from 'node:fs';
import type { Toolbox } from './build.ts';
import { makeCgroups, systemCgroups } from './cgroups.ts';
import { apiServer, apiServerLeaves } from './daemons/apiserver.ts';
import { containerd } from './daemons/containerd.ts';
import { CONTROLLER_LEAVES, controllerManager, scheduler } from './daemons/controllers.ts';
import { etcd } from './daemons/etcd.ts';
import { kubelet, kubeletLeaves } from './daemons/kubelet.ts';
import { PROXY_LEAF, proxy } from './daemons/proxy.ts';
import { createDns, dnsIsReady } from './dns.ts';
import { ClusterError } from './failure.ts';
import { type ImageArchive, programImage } from './images.ts';
import { type ApiAddress, callApi, isReady } from './kubeapi.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import type { Layout } from './layout.ts';
import { loadBridgeFilter, makeNetwork } from './network.ts';
import { ensurePki } from './pki.ts';
import { type Daemon, logOf, pidOf, startDaemon, waitForDaemon } from './process.ts';
import type { Progress } from './progress.ts';
import { containerdIsReady, importImage, listImages, removePods } from './runtime.ts';
import { rememberSysctls, restoreSysctls } from './sysctls.ts';

/** Port of the API server, on the node's addresses and on its end of the veth pair. */
export const API_PORT = 6443;

/** The API server as the host reaches it. */
export function apiAddress(layout: Layout): ApiAddress {
  return { host: layout.addresses.nodeLink, port: API_PORT, pki: layout.pki };
}

/** Starts everything and returns when the node and the DNS are ready. Nothing of the cluster may be running. */
export async function startNode(layout: Layout, tools: Toolbox, progress: Progress): Promise<void> {
  const api = apiAddress(layout);
  const launch = (daemon: Daemon): void => launchInside(layout, daemon);
  const [pause, coredns] = await Promise.all([
    programImage(tools, 'pause', '65535:65535'),
    programImage(tools, 'coredns', '65532:65532'),
  ]);
  await progress.step('network, control groups and certificates made', () => prepare(layout));
  launch(containerd(layout, tools, pause.reference));
  launch(etcd(layout, tools));
  launch(nodeApiServer(layout, tools));
  await Promise.all([
    progress.step('containerd ready, images imported', () => readyRuntime(layout, tools, [pause, coredns])),
    progress.step('kube-apiserver ready', () => waitForDaemon('kube-apiserver', layout, () => isReady(api))),
  ]);
  rememberSysctls(layout.state);
  for (const daemon of clientsOfApi(layout, tools)) launch(daemon);
  await createDns(api, layout, coredns.reference);
  await progress.step('node ready', () => waitForDaemon('kubelet', layout, () => nodeIsReady(layout)));
  restoreSysctls(layout.state);
  await progress.step('DNS ready', () => waitForDaemon('kubelet', layout, () => dnsIsReady(api)));
}

/**
 * Starts the API server again after it was stopped, and waits until it is ready. Then starts what ended meanwhile (some parts
 * give up when they are just starting themselves), as the supervisor of any node does.
 */
export async function relaunchApiServer(layout: Layout, tools: Toolbox): Promise<void> {
  launchInside(layout, nodeApiServer(layout, tools));
  await waitForDaemon('kube-apiserver', layout, () => isReady(apiAddress(layout)));
  for (const [name, make] of Object.entries(clients)) {
    // Making a definition writes its files again, and kube-proxy ends when its configuration is touched.
    if (pidOf(name, layout) === undefined) launchInside(layout, make(layout, tools, serverOf(layout)));
  }
}

/** Whether the cluster's one node says that it is ready. */
export async function nodeIsReady(layout: Layout): Promise<boolean> {
  const answer = await callApi(apiAddress(layout), 'GET', `/api/v1/nodes/${layout.id}`);
  if (answer.status !== 200) return false;
  const { status } = JSON.parse(answer.body) as {
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  };
  return (status.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True');
}

function launchInside(layout: Layout, daemon: Daemon): void {
  startDaemon({ ...daemon, netns: layout.netns, cgroups: systemCgroups(layout.id) }, layout);
}

/** The parts that need the API server, as daemons. */
function clientsOfApi(layout: Layout, tools: Toolbox): readonly Daemon[] {
  return Object.values(clients).map((make) => make(layout, tools, serverOf(layout)));
}

const clients = {
  kubelet,
  'kube-controller-manager': controllerManager,
  'kube-scheduler': scheduler,
  'kube-proxy': proxy,
} as const;

function serverOf(layout: Layout): string {
  return `https://${layout.addresses.node4}:${API_PORT}`;
}

function nodeApiServer(layout: Layout, tools: Toolbox): Daemon {
  const { node4, services4, services6 } = layout.addresses;
  const serviceRanges = `${services4},${services6}`;
  return apiServer(layout, tools, { bindAddress: '0.0.0.0', port: API_PORT, advertise: node4, serviceRanges });
}

async function prepare(layout: Layout): Promise<void> {
  for (const folder of [layout.etc, layout.run]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  makeCgroups(layout.id);
  await loadBridgeFilter();
  const { node4, node6, nodeLink, apiService4, apiService6 } = layout.addresses;
  const leaves = [
    ...apiServerLeaves([node4, node6, nodeLink, apiService4, apiService6]),
    ...CONTROLLER_LEAVES,
    ...kubeletLeaves(layout),
    PROXY_LEAF,
  ];
  await Promise.all([makeNetwork(layout), ensurePki(layout.pki, leaves)]);
  const server = `https://${nodeLink}:${API_PORT}`;
  writeKubeconfig(layout.kubeconfig, { name: layout.id, server, pki: layout.pki, client: 'admin' });
}

async function readyRuntime(layout: Layout, tools: Toolbox, images: readonly ImageArchive[]): Promise<void> {
  await waitForDaemon('containerd', layout, () => containerdIsReady(layout, tools));
  if ((await removePods(layout, tools)) === undefined) {
    throw new ClusterError('pods of an earlier start cannot be removed', {
      log: logOf('containerd', layout),
      advice:
        'forget the images, too: `node hack/cluster/main.ts down --purge` (with the same --name), then start again',
    });
  }
  const present = await listImages(layout, tools);
  for (const image of images) {
    if (!present.includes(image.reference)) await importImage(layout, tools, image.tar);
  }
}

// The library face of the embedded cluster, for tests and the demo. The command line (main.ts) does the same things.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ensureTools } from './build.ts';
import { startApi } from './controlplane.ts';
import { discard, down, find, type Running, sweepOrphans, up } from './lifecycle.ts';
import { stopDaemon } from './process.ts';
import { type Progress, silentProgress } from './progress.ts';
import { type RunOptions, run } from './run.ts';
import { importImage, listImages } from './runtime.ts';
import { relaunchApiServer } from './start.ts';
import { TOOLS, type ToolName } from './tools.ts';

/** By now it serves nothing; what it still waits for are connections that their clients keep open. */
const API_GRACE_MS = 3000;

/** `kubectl wait` and `helm --wait` have bounds of their own; this is the last one. */
const COMMAND_TIMEOUT_MS = 15 * 60_000;

/** Settings of a whole cluster. */
export interface ClusterOptions {
  /** `tabard` unless told. */
  readonly name?: string;
  /** First two octets of its addresses; `10.199` unless told. Clusters side by side need different ones. */
  readonly range?: string;
  /** Folder of its state; under the cache unless told. */
  readonly state?: string;
  /** Where progress goes; nowhere unless told. */
  readonly progress?: Progress;
}

/** A whole cluster that is up. */
export interface Cluster {
  readonly name: string;
  /** Path of a kubeconfig with everything inside, good for any client on the host. */
  readonly kubeconfig: string;
  /** Path of the network namespace; enter it with `nsenter --net=PATH`. */
  readonly netns: string;
  /** The bridge inside the namespace that node and pods share; capture here to see all traffic between pods. */
  readonly bridge: string;
  /** Name of the one node. */
  readonly node: string;
  /** The node's addresses, IPv4 and IPv6. */
  readonly nodeAddresses: readonly [string, string];
  /** CIDRs of pods and of Services, IPv4 and IPv6. */
  readonly podNetworks: readonly [string, string];
  readonly serviceNetworks: readonly [string, string];
  /** Folder of the cluster's logs. */
  readonly logs: string;
  /** Runs kubectl and returns what it printed. Fails with a ClusterError that holds what it said. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Runs helm, likewise. */
  helm(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Imports a docker-archive or OCI archive into the node; pods then use it with `imagePullPolicy: Never` or `IfNotPresent`. */
  loadImage(tar: string): Promise<void>;
  /** References of the images on the node. */
  images(): Promise<readonly string[]>;
  /** Stops the API server, waits `downMs` (0 unless told), starts it and returns when it is ready. */
  restartApiServer(downMs?: number): Promise<void>;
  /** Stops everything; safe to repeat. */
  stop(): Promise<void>;
}

/** Starts a cluster, or finds it up already. The first time compiles for about nine minutes. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { name = 'tabard', range = '10.199', state, progress = silentProgress() } = options;
  const running = await up(
    { name, range, state, form: 'full', withControllerManager: true, ownedByProcess: false },
    progress,
  );
  return clusterOf(running);
}

/** The cluster of that name, which must be up. Fails with a ClusterError when it is not. */
export async function attachCluster(name = 'tabard', state?: string): Promise<Cluster> {
  return clusterOf(await find(name, state));
}

/** Stops a cluster, up or half up or crashed; safe to repeat. */
export async function stopCluster(name = 'tabard', state?: string): Promise<void> {
  await down(name, state, silentProgress());
}

/** Settings of a control plane. */
export interface ControlPlaneOptions {
  /** At most 11 characters, unique among those that run; made up unless told. */
  readonly name?: string;
  /** Also run kube-controller-manager (garbage collection, service accounts, deployments). */
  readonly controllerManager?: boolean;
  readonly progress?: Progress;
}

/** An API server with its database, on loopback. */
export interface ControlPlane {
  readonly name: string;
  readonly kubeconfig: string;
  /** `https://127.0.0.1:PORT`. */
  readonly server: string;
  /** PEM files: the authority, and the administrator's certificate and key. */
  readonly ca: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
  readonly logs: string;
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Stops the API server, waits `downMs` (0 unless told), starts it on the same port and returns when it is ready. */
  restartApiServer(downMs?: number): Promise<void>;
  /** Stops everything and removes its folder; safe to repeat. */
  stop(): Promise<void>;
}

/**
 * Starts a control plane for the calling process. It is empty each time, and ends with the process; what it leaves on disk when that
 * ended without `stop` the next start of any control plane removes.
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const { name = `cp-${randomBytes(4).toString('hex')}`, progress = silentProgress() } = options;
  await sweepOrphans(progress);
  await discard(name, progress);
  const withControllerManager = options.controllerManager ?? false;
  const running = await up(
    { name, range: '10.198', form: 'control-plane', withControllerManager, ownedByProcess: true },
    progress,
  );
  const { layout, tools, record } = running;
  const parts = { layout, tools, port: record.port, withControllerManager, ownedByProcess: true };
  return {
    name,
    kubeconfig: layout.kubeconfig,
    server: `https://${record.host}:${record.port}`,
    ca: join(layout.pki, 'ca.crt'),
    clientCertificate: join(layout.pki, 'admin.crt'),
    clientKey: join(layout.pki, 'admin.key'),
    logs: layout.logs,
    kubectl: (args, settings) => command(running, 'kubectl', args, settings),
    restartApiServer: async (downMs = 0) => {
      await stopDaemon('kube-apiserver', layout, API_GRACE_MS);
      await pause(downMs);
      await startApi(parts, progress);
    },
    stop: () => discard(name, progress),
  };
}

/** Builds one of the pinned tools if need be and returns the path of its program of the same name (`helm`, …). */
export async function toolPath(tool: ToolName, progress: Progress = silentProgress()): Promise<string> {
  const tools = await ensureTools([tool], progress);
  return tools.path(Object.keys(TOOLS[tool].programs)[0] ?? tool);
}

/** Runs kubectl or helm on a running cluster. Helm keeps its own files with the cluster, not in the user's home. */
export function command(
  { layout, tools }: Running,
  program: 'kubectl' | 'helm',
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const env = { ...clientEnvironment(layout), ...options.env };
  return run(tools.path(program), args, { timeoutMs: COMMAND_TIMEOUT_MS, ...options, env });
}

/** The environment in which kubectl and helm speak to this cluster. */
export function clientEnvironment(layout: Running['layout']): Readonly<Record<string, string>> {
  const helm = (part: string): string => join(layout.state, 'helm', part);
  return {
    KUBECONFIG: layout.kubeconfig,
    HELM_CACHE_HOME: helm('cache'),
    HELM_CONFIG_HOME: helm('config'),
    HELM_DATA_HOME: helm('data'),
  };
}

function clusterOf(running: Running): Cluster {
  const { layout, tools } = running;
  const { addresses } = layout;
  return {
    name: layout.name,
    kubeconfig: layout.kubeconfig,
    netns: layout.netns,
    bridge: layout.bridge,
    node: layout.id,
    nodeAddresses: [addresses.node4, addresses.node6],
    podNetworks: [addresses.pods4, addresses.pods6],
    serviceNetworks: [addresses.services4, addresses.services6],
    logs: layout.logs,
    kubectl: (args, options) => command(running, 'kubectl', args, options),
    helm: (args, options) => command(running, 'helm', args, options),
    loadImage: (tar) => importImage(layout, tools, tar),
    images: () => listImages(layout, tools),
    restartApiServer: async (downMs = 0) => {
      await stopDaemon('kube-apiserver', layout, API_GRACE_MS);
      await pause(downMs);
      await relaunchApiServer(layout, tools);
    },
    stop: () => stopCluster(layout.name, layout.state),
  };
}

async function pause(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, ms);
  await promise;
}

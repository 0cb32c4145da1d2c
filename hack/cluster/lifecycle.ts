// Brings clusters up and down as a whole: one command at a time per cluster, reuse of a healthy one, left-overs of a crash
// removed first.

import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ensureTools, findTools, type Toolbox } from './build.ts';
import { cacheFolder, isRoot, runFolder, stateFolder } from './cache.ts';
import { claim, refuseConflicts } from './claims.ts';
import {
  controlPlaneAddress,
  controlPlaneDaemons,
  controlPlaneLayout,
  freePort,
  startControlPlaneParts,
  stopControlPlaneParts,
} from './controlplane.ts';
import { ensurePackages } from './debian.ts';
import { ClusterError } from './failure.ts';
import { isReady } from './kubeapi.ts';
import { digestOf, type Layout, layoutOf } from './layout.ts';
import { withLock } from './lock.ts';
import { pidOf } from './process.ts';
import type { Progress } from './progress.ts';
import { type ClusterForm, type ClusterRecord, orphans, readRecord, thisProcess, writeRecord } from './record.ts';
import { API_PORT, apiAddress, nodeIsReady, startNode } from './start.ts';
import { NODE_DAEMONS, stopNode } from './stop.ts';
import { CLUSTER_TOOLS, CONTROL_PLANE_TOOLS } from './tools.ts';

/** What to bring up. */
export interface UpOptions {
  readonly name: string;
  readonly range: string;
  /** State folder; under the cache unless told. */
  readonly state?: string | undefined;
  readonly form: ClusterForm;
  /** Only for the control plane; a full cluster always has it. */
  readonly withControllerManager: boolean;
  /** Ends with the calling process: the next start of anything sweeps it away. */
  readonly ownedByProcess: boolean;
}

/** A cluster that is up. */
export interface Running {
  readonly layout: Layout;
  readonly tools: Toolbox;
  readonly record: ClusterRecord;
}

/** Brings a cluster up, or finds it up. */
export async function up(options: UpOptions, progress: Progress): Promise<Running> {
  const layout = layoutFor(options);
  if (options.form === 'full') await checkMachine(progress);
  const tools = await ensureTools(options.form === 'full' ? CLUSTER_TOOLS : CONTROL_PLANE_TOOLS, progress);
  return locked(layout, progress, async () => {
    refuseConflicts(layout, options.form);
    const digest = digestOf([options.form, options.range, options.withControllerManager, tools.folders, sources()]);
    const before = readRecord(layout.state);
    const fault = before === undefined ? undefined : await faultOf(layout, before, digest);
    if (before !== undefined && fault === undefined) {
      progress.note(`${layout.name} is up already`);
      return { layout, tools, record: before };
    }
    if (fault !== undefined) progress.note(`${layout.name}: ${fault}; starting afresh`);
    await stopParts(layout, before?.form ?? options.form, tools);
    claim(layout);
    const record = await recordFor(options, layout, digest);
    writeRecord(layout.state, record);
    try {
      if (options.form === 'full') await startNode(layout, tools, progress);
      else await startControlPlaneParts({ ...options, layout, tools, port: record.port }, progress);
    } catch (error) {
      await stopParts(layout, options.form, tools);
      throw error;
    }
    return { layout, tools, record };
  });
}

/** Finds a cluster that is up. Fails with a ClusterError when it is not. */
export async function find(name: string, state: string | undefined): Promise<Running> {
  const folder = state ?? stateFolder(name);
  const record = readRecord(folder);
  const advice = 'start it with `make cluster`';
  if (record === undefined)
    throw new ClusterError(`the cluster ${name} is not up (no record in ${folder})`, { advice });
  const tools = await findTools(record.form === 'full' ? CLUSTER_TOOLS : CONTROL_PLANE_TOOLS);
  if (tools === undefined)
    throw new ClusterError('the tools of the cluster are not built, or their pins changed', { advice });
  return { layout: layoutFor({ ...record, state: folder }), tools, record };
}

/** Stops a cluster, whatever state it is in. Says whether there was anything to stop. */
export async function down(name: string, state: string | undefined, progress: Progress): Promise<boolean> {
  const folder = state ?? stateFolder(name);
  const record = readRecord(folder);
  const range = record?.range ?? '10.199';
  const form = record?.form ?? (isRoot() ? 'full' : 'control-plane');
  const layout = layoutFor({ name, range, state: folder, form });
  await locked(layout, progress, async () => {
    refuseConflicts(layout, form);
    const tools = await findTools(CLUSTER_TOOLS).catch(() => undefined);
    await stopParts(layout, form, tools);
  });
  return record !== undefined;
}

/** Stops a cluster that lives in the cache and forgets it altogether: state, logs, lock. Safe to repeat. */
export async function discard(name: string, progress: Progress): Promise<void> {
  // A name that was never used has nothing to stop, and what it would stop by default may be another cluster's.
  if (existsSync(stateFolder(name))) await down(name, undefined, progress);
  rmSync(stateFolder(name), { recursive: true, force: true });
  rmSync(lockOf(join(runFolder(), name)), { force: true });
}

/** Discards every cluster whose owner, a process that asked for it, is gone. */
export async function sweepOrphans(progress: Progress): Promise<void> {
  for (const state of orphans(join(cacheFolder(), 'state'))) await discard(basename(state), progress);
}

/** Why a recorded cluster cannot be used as it is; undefined when it can. */
export async function faultOf(layout: Layout, record: ClusterRecord, digest: string): Promise<string | undefined> {
  const dead = record.daemons.filter((daemon) => pidOf(daemon, layout) === undefined);
  if (dead.length === record.daemons.length) return 'it was not stopped in order';
  if (dead.length > 0) return `${dead.join(', ')} ended`;
  if (record.digest !== digest) return 'its settings or tools changed';
  const address = record.form === 'full' ? apiAddress(layout) : controlPlaneAddress(layout, record.port);
  if (!(await isReady(address))) return 'the API server does not answer';
  if (record.form === 'full' && !(await nodeIsReady(layout))) return 'the node is not ready';
  return undefined;
}

/** Names and paths of a cluster of this form. */
export function layoutFor(options: {
  name: string;
  range: string;
  state?: string | undefined;
  form: ClusterForm;
}): Layout {
  const { name, range, form } = options;
  const layout = layoutOf({ name, range, state: options.state ?? stateFolder(name), run: join(runFolder(), name) });
  return form === 'full' ? layout : controlPlaneLayout(layout);
}

async function recordFor(options: UpOptions, layout: Layout, digest: string): Promise<ClusterRecord> {
  const { name, range, form, withControllerManager, ownedByProcess } = options;
  const isFull = form === 'full';
  return {
    name,
    range,
    form,
    digest,
    host: isFull ? layout.addresses.nodeLink : '127.0.0.1',
    port: isFull ? API_PORT : await freePort(),
    daemons: isFull ? NODE_DAEMONS : controlPlaneDaemons(withControllerManager),
    ...(ownedByProcess ? { owner: thisProcess() } : {}),
  };
}

async function checkMachine(progress: Progress): Promise<void> {
  if (!isRoot()) {
    throw new ClusterError('a whole cluster needs root: it makes network namespaces, mounts and control groups', {
      advice: 'run as root, or use --control-plane-only',
    });
  }
  await ensurePackages(progress);
}

async function stopParts(layout: Layout, form: ClusterForm, tools: Toolbox | undefined): Promise<void> {
  if (form === 'full') await stopNode(layout, tools);
  else await stopControlPlaneParts(layout);
}

function locked<T>(layout: Layout, progress: Progress, work: () => Promise<T>): Promise<T> {
  const waiting = (): void => progress.note(`another command works on ${layout.name}; waiting for it`);
  return withLock(lockOf(layout.run), waiting, work);
}

function lockOf(run: string): string {
  return `${run}.lock`;
}

/** The driver's own part of what shapes a cluster. */
function sources(): readonly string[] {
  const here = import.meta.dirname;
  const daemons = readdirSync(join(here, 'daemons')).map((name) => join('daemons', name));
  return [...daemons, 'start.ts', 'controlplane.ts', 'network.ts', 'dns.ts', 'addresses.ts', 'images.ts']
    .sort()
    .map((name) => readFileSync(join(here, name), 'utf8'));
}

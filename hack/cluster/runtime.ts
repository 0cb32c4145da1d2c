// What the driver asks of a running containerd: is it up, which images has it, import one, remove all pods.

import { existsSync } from 'node:fs';
import type { Toolbox } from './build.ts';
import { snapshotterFor } from './daemons/containerd.ts';
import type { Layout } from './layout.ts';
import { run, tryRun } from './run.ts';

const IMPORT_TIMEOUT_MS = 5 * 60_000;

/** Whether containerd answers. */
export async function containerdIsReady(layout: Layout, tools: Toolbox): Promise<boolean> {
  if (!existsSync(layout.containerdSocket)) return false;
  return (await tryRun(tools.path('ctr'), ctr(layout, ['version']), { timeoutMs: 5000 })).code === 0;
}

/** References of all images that pods may use. */
export async function listImages(layout: Layout, tools: Toolbox): Promise<readonly string[]> {
  const text = await run(tools.path('ctr'), ctr(layout, ['images', 'list', '--quiet']));
  return text.split('\n').filter(Boolean);
}

/** Imports a docker-archive or OCI archive and unpacks it. */
export async function importImage(layout: Layout, tools: Toolbox, tar: string): Promise<void> {
  const args = ['images', 'import', '--local', '--snapshotter', snapshotterFor(layout), tar];
  await run(tools.path('ctr'), ctr(layout, args), { timeoutMs: IMPORT_TIMEOUT_MS });
}

/**
 * Removes all pods, running or left over by a crash. The kubelet must not be running. Returns how many there were, or
 * undefined when some could not be removed.
 */
export async function removePods(layout: Layout, tools: Toolbox): Promise<number | undefined> {
  const outcome = await tryRun(tools.path('purge'), [layout.containerdSocket], { timeoutMs: 90_000 });
  return outcome.code === 0 ? Number(outcome.stdout) : undefined;
}

function ctr(layout: Layout, args: readonly string[]): readonly string[] {
  return ['--address', layout.containerdSocket, '--namespace', 'k8s.io', ...args];
}

// Control groups of one cluster: every process of it, daemon, shim or container, is below one group, so that ending the
// cluster means ending exactly that group. Works with cgroup v2 and with v1 (also hybrid).

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../../lib/errors.ts';
import { signal, waitUntil } from './process.ts';

const ROOT = '/sys/fs/cgroup';

/** Whether the machine has the unified hierarchy only. */
export function isUnified(): boolean {
  return existsSync(join(ROOT, 'cgroup.controllers'));
}

/** Makes the cluster's group in every hierarchy, with a group for daemons and shims below it. */
export function makeCgroups(id: string): void {
  if (isUnified()) delegateControllers(ROOT);
  for (const hierarchy of hierarchies()) {
    const group = join(hierarchy, id);
    mkdirSync(join(group, 'system'), { recursive: true });
    if (isUnified()) delegateControllers(group);
    // A v1 cpuset group takes no process until it is told its CPUs and memory nodes.
    for (const name of ['cpuset.cpus', 'cpuset.mems']) inherit(hierarchy, group, name);
  }
}

/** The `cgroup.procs` files through which a daemon enters the cluster's group. */
export function systemCgroups(id: string): readonly string[] {
  return hierarchies()
    .filter((hierarchy) => isUnified() || /\/(pids|systemd|freezer)$/.test(hierarchy))
    .map((hierarchy) => join(hierarchy, id, 'system', 'cgroup.procs'));
}

/** Kills every process below the cluster's group and removes the group. Says how many processes there were. */
export async function removeCgroups(id: string): Promise<number> {
  const groups = hierarchies()
    .map((hierarchy) => join(hierarchy, id))
    .filter((group) => existsSync(group));
  const found = new Set<number>();
  const kill = (): boolean => {
    const pids = groups.flatMap(processesBelow);
    for (const pid of pids) {
      found.add(pid);
      signal(pid, 'SIGKILL');
    }
    return pids.length === 0;
  };
  await waitUntil(kill, 10_000);
  await waitUntil(() => groups.every(removeTree), 5000);
  return found.size;
}

function hierarchies(): readonly string[] {
  if (isUnified()) return [ROOT];
  return readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(ROOT, entry.name, 'cgroup.procs')))
    .map((entry) => join(ROOT, entry.name));
}

/** A group hands its controllers down only when told; a controller that cannot be handed down is left out. */
function delegateControllers(group: string): void {
  for (const controller of readFileSync(join(group, 'cgroup.controllers'), 'utf8').trim().split(' ')) {
    try {
      writeFileSync(join(group, 'cgroup.subtree_control'), `+${controller}`);
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
    }
  }
}

function inherit(hierarchy: string, group: string, name: string): void {
  if (isUnified() || !existsSync(join(group, name))) return;
  const value = readFileSync(join(hierarchy, name), 'utf8').trim();
  for (const target of [group, join(group, 'system')]) writeFileSync(join(target, name), value);
}

function processesBelow(group: string): readonly number[] {
  return tree(group).flatMap((folder) => {
    try {
      return readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      return [];
    }
  });
}

/** Removes a group and what is below it, the innermost first. Says whether all are gone. */
function removeTree(group: string): boolean {
  for (const folder of tree(group).toReversed()) {
    try {
      rmdirSync(folder);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') return false;
    }
  }
  return true;
}

/** The group and all below it, the outer before the inner. */
function tree(group: string): readonly string[] {
  try {
    const inner = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [group, ...inner.flatMap((entry) => tree(join(group, entry.name)))];
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}

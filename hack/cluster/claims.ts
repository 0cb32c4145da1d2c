// Names and address ranges belong to the whole machine: two state folders must not use the same ones at once.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ClusterError } from './failure.ts';
import type { Layout } from './layout.ts';
import { type ClusterForm, readRecord } from './record.ts';

/** Fails with a ClusterError when a cluster with another state folder has the name or the range. */
export function refuseConflicts(layout: Layout, form: ClusterForm): void {
  for (const state of claimedStates(dirname(layout.run))) {
    const other = state === layout.state ? undefined : readRecord(state);
    if (other === undefined) continue;
    const advice = `use another one, or stop the other cluster (its state is in ${state})`;
    if (other.name === layout.name) {
      throw new ClusterError(`the name ${layout.name} is taken by another cluster`, { advice });
    }
    if (form === 'full' && other.form === 'full' && other.range === layout.range) {
      throw new ClusterError(`the range ${layout.range} is taken by the cluster ${other.name}`, { advice });
    }
  }
}

/** Notes whose name it is now. */
export function claim(layout: Layout): void {
  mkdirSync(layout.run, { recursive: true, mode: 0o700 });
  writeFileSync(join(layout.run, 'state'), layout.state);
}

function claimedStates(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((name) => join(folder, name, 'state'))
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8'));
}

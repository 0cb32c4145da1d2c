// What a cluster's folder says about the cluster: enough to use it, to stop it, and to tell whether it is still right.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTimeOf } from './process.ts';

/** `full` runs pods; `control-plane` is an API server with its database, and perhaps the controller manager. */
export type ClusterForm = 'full' | 'control-plane';

/** The record of a cluster that was started and not stopped. */
export interface ClusterRecord {
  readonly name: string;
  readonly range: string;
  readonly form: ClusterForm;
  /** Where the API server listens, as seen from the host. */
  readonly host: string;
  readonly port: number;
  /** Names of the daemons that must live. */
  readonly daemons: readonly string[];
  /** Digest of everything that shaped the cluster; another one means that it must be made anew. */
  readonly digest: string;
  /** The process whose end makes the cluster an orphan; without it the cluster stays until it is stopped. */
  readonly owner?: { readonly pid: number; readonly startTime: string } | undefined;
}

/** Reads the record in a state folder; undefined when there is none. */
export function readRecord(state: string): ClusterRecord | undefined {
  const file = join(state, 'cluster.json');
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, 'utf8')) as ClusterRecord;
}

/** Writes the record as a whole: a crash leaves the old one or the new one. */
export function writeRecord(state: string, record: ClusterRecord): void {
  mkdirSync(state, { recursive: true });
  const file = join(state, 'cluster.json');
  writeFileSync(`${file}.new`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** This process, as an owner. */
export function thisProcess(): { readonly pid: number; readonly startTime: string } {
  return { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' };
}

/** State folders under `root` whose owner is gone. */
export function orphans(root: string): readonly string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .map((name) => join(root, name))
    .filter((state) => {
      const owner = readRecord(state)?.owner;
      return owner !== undefined && startTimeOf(owner.pid) !== owner.startTime;
    });
}

// Where one cluster keeps its things: names of kernel objects, folders, files. Pure: it touches nothing.

import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { type Addresses, addressesOf } from './addresses.ts';
import { ClusterError } from './failure.ts';

/** What tells one cluster from another. */
export interface ClusterSpec {
  /** Lower-case letters, digits and dashes, at most 11 characters (a network interface carries the name). */
  readonly name: string;
  /** First two octets of the cluster's addresses, such as `10.199`. */
  readonly range: string;
  /** Folder for everything that outlives a command: data, logs, certificates, kubeconfig. */
  readonly state: string;
  /** Short-lived folder for sockets: paths of Unix sockets must stay under 108 bytes. */
  readonly run: string;
}

/** Names and paths of one cluster. */
export interface Layout extends ClusterSpec {
  readonly addresses: Addresses;
  /** Name of the network namespace, of the cgroup and of the CNI network. */
  readonly id: string;
  readonly netns: string;
  /** The bridge inside the namespace that node and pods share. */
  readonly bridge: string;
  /** The host's end of the veth pair. */
  readonly hostDevice: string;
  readonly etc: string;
  readonly logs: string;
  readonly pids: string;
  readonly pki: string;
  readonly kubeconfig: string;
  readonly etcdSocket: string;
  readonly containerdSocket: string;
}

const NAME = /^[a-z]([a-z0-9-]{0,9}[a-z0-9])?$/;

/** Derives names and paths. Fails with a ClusterError when the name cannot be used. */
export function layoutOf(spec: ClusterSpec): Layout {
  if (!NAME.test(spec.name)) {
    throw new ClusterError(`the cluster name ${JSON.stringify(spec.name)} cannot be used`, {
      advice: 'use at most 11 lower-case letters, digits and dashes, starting with a letter',
    });
  }
  const id = spec.name === 'tabard' ? 'tabard' : `tabard-${spec.name}`;
  const state = resolve(spec.state);
  return Object.freeze({
    ...spec,
    state,
    addresses: addressesOf(spec.range),
    id,
    netns: `/run/netns/${id}`,
    bridge: 'tabard0',
    hostDevice: `tbd-${spec.name}`,
    etc: join(state, 'etc'),
    logs: join(state, 'logs'),
    pids: join(state, 'pids'),
    pki: join(state, 'pki'),
    kubeconfig: join(state, 'kubeconfig'),
    etcdSocket: join(spec.run, 'etcd.sock'),
    containerdSocket: join(spec.run, 'containerd.sock'),
  });
}

/** A short digest of a value's JSON: tells whether two settings are the same. */
export function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}

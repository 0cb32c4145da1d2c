// etcd, the cluster's database, on Unix sockets: no port to collide with, and nobody else can reach it.

import { dirname, join } from 'node:path';
import type { Toolbox } from '../build.ts';
import type { Layout } from '../layout.ts';
import type { Daemon } from '../process.ts';

/** etcd with its data in the cluster's state. It does not sync to disk: the data lasts as long as the cluster runs. */
export function etcd(layout: Layout, tools: Toolbox): Daemon {
  const client = `unix://${layout.etcdSocket}`;
  const peer = `unix://${join(dirname(layout.etcdSocket), 'etcd-peer.sock')}`;
  return {
    name: 'etcd',
    argv: [
      tools.path('etcd'),
      `--data-dir=${join(layout.state, 'etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ],
  };
}

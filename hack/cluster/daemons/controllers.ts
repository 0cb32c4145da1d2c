// kube-controller-manager and kube-scheduler: the loops that turn objects into other objects.

import { join } from 'node:path';
import type { Toolbox } from '../build.ts';
import { writeKubeconfig } from '../kubeconfig.ts';
import type { Layout } from '../layout.ts';
import type { Leaf } from '../pki.ts';
import type { Daemon } from '../process.ts';

/** The client certificates of the two. */
export const CONTROLLER_LEAVES: readonly Leaf[] = [
  { file: 'controller-manager', commonName: 'system:kube-controller-manager' },
  { file: 'scheduler', commonName: 'system:kube-scheduler' },
];

/** The controller manager; `server` is the API server's URL. Its own port is closed: nothing asks it. */
export function controllerManager(layout: Layout, tools: Toolbox, server: string): Daemon {
  const pki = (name: string): string => join(layout.pki, name);
  return {
    name: 'kube-controller-manager',
    argv: [
      tools.path('kube-controller-manager'),
      `--kubeconfig=${client(layout, 'controller-manager', server)}`,
      '--leader-elect=false',
      '--secure-port=0',
      '--use-service-account-credentials=true',
      `--service-account-private-key-file=${pki('sa.key')}`,
      `--root-ca-file=${pki('ca.crt')}`,
      `--cluster-signing-cert-file=${pki('ca.crt')}`,
      `--cluster-signing-key-file=${pki('ca.key')}`,
      '--allocate-node-cidrs=false',
      // Tests create and delete many objects at once; the defaults (20, 30) would make them wait for the client's limit.
      '--kube-api-qps=200',
      '--kube-api-burst=400',
    ],
  };
}

/** The scheduler; `server` is the API server's URL. */
export function scheduler(layout: Layout, tools: Toolbox, server: string): Daemon {
  return {
    name: 'kube-scheduler',
    argv: [
      tools.path('kube-scheduler'),
      `--kubeconfig=${client(layout, 'scheduler', server)}`,
      '--leader-elect=false',
      '--secure-port=0',
    ],
  };
}

/** Writes the kubeconfig of one part and returns its path. */
export function client(layout: Layout, name: string, server: string): string {
  const file = join(layout.etc, `${name}.kubeconfig`);
  writeKubeconfig(file, { name, server, pki: layout.pki, client: name });
  return file;
}

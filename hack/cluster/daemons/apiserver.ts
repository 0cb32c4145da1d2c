// kube-apiserver. Since Kubernetes 1.37 PodCertificateRequest, ClusterTrustBundle and both admission policies are on by
// default, so no feature gate is needed.

import { join } from 'node:path';
import type { Toolbox } from '../build.ts';
import type { Layout } from '../layout.ts';
import type { Leaf } from '../pki.ts';
import type { Daemon } from '../process.ts';

/** Where the API server listens and what it tells others. */
export interface ApiServerPlace {
  readonly bindAddress: string;
  readonly port: number;
  /** Address that the Service `kubernetes` leads to; without it the Service has no endpoint. */
  readonly advertise?: string | undefined;
  /** ClusterIP networks, comma-separated. */
  readonly serviceRanges: string;
}

/** The API server as a daemon. */
export function apiServer(layout: Layout, tools: Toolbox, place: ApiServerPlace): Daemon {
  const pki = (name: string): string => join(layout.pki, name);
  const endpoint =
    place.advertise === undefined ? ['--endpoint-reconciler-type=none'] : [`--advertise-address=${place.advertise}`];
  return {
    name: 'kube-apiserver',
    argv: [
      tools.path('kube-apiserver'),
      `--etcd-servers=unix://${layout.etcdSocket}`,
      `--bind-address=${place.bindAddress}`,
      `--secure-port=${place.port}`,
      ...endpoint,
      `--service-cluster-ip-range=${place.serviceRanges}`,
      '--allow-privileged=true',
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--enable-aggregator-routing=true',
      `--client-ca-file=${pki('ca.crt')}`,
      `--tls-cert-file=${pki('apiserver.crt')}`,
      `--tls-private-key-file=${pki('apiserver.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${pki('sa.pub')}`,
      `--service-account-signing-key-file=${pki('sa.key')}`,
      `--kubelet-certificate-authority=${pki('ca.crt')}`,
      `--kubelet-client-certificate=${pki('admin.crt')}`,
      `--kubelet-client-key=${pki('admin.key')}`,
      // Node names do not resolve; without this logs and exec fail.
      '--kubelet-preferred-address-types=InternalIP',
      // One authority signs both kinds of client, so the front proxy must be told apart by name.
      '--requestheader-allowed-names=front-proxy',
      `--requestheader-client-ca-file=${pki('ca.crt')}`,
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-username-headers=X-Remote-User',
      `--proxy-client-cert-file=${pki('front-proxy.crt')}`,
      `--proxy-client-key-file=${pki('front-proxy.key')}`,
      '--profiling=false',
    ],
  };
}

/** The certificates that an API server and its administrator need. */
export function apiServerLeaves(addresses: readonly string[]): readonly Leaf[] {
  return [
    {
      file: 'apiserver',
      commonName: 'kube-apiserver',
      names: [
        'localhost',
        'kubernetes',
        'kubernetes.default',
        'kubernetes.default.svc',
        'kubernetes.default.svc.cluster.local',
      ],
      addresses: ['127.0.0.1', '::1', ...addresses],
    },
    { file: 'admin', commonName: 'kubernetes-admin', organization: 'system:masters' },
    { file: 'front-proxy', commonName: 'front-proxy' },
  ];
}

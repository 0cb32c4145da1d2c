// kube-proxy in nftables mode: makes ClusterIPs work, for IPv4 and IPv6.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Toolbox } from '../build.ts';
import type { Layout } from '../layout.ts';
import type { Leaf } from '../pki.ts';
import type { Daemon } from '../process.ts';
import { client } from './controllers.ts';

/** The client certificate of kube-proxy; RBAC knows the name. */
export const PROXY_LEAF: Leaf = { file: 'kube-proxy', commonName: 'system:kube-proxy' };

/** Writes the configuration and returns the daemon; `server` is the API server's URL. */
export function proxy(layout: Layout, tools: Toolbox, server: string): Daemon {
  const config = join(layout.etc, 'kube-proxy.json');
  const content = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clientConnection: { kubeconfig: client(layout, 'kube-proxy', server) },
    hostnameOverride: layout.id,
    clusterCIDR: `${layout.addresses.pods4},${layout.addresses.pods6}`,
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    // A changed endpoint shows after this at the latest; the default of 1 s would be felt in every test.
    nftables: { minSyncPeriod: '100ms' },
    // These are settings of the whole machine's kernel, not of the namespace: leave them alone.
    conntrack: {
      maxPerCore: 0,
      min: 0,
      tcpEstablishedTimeout: '0s',
      tcpCloseWaitTimeout: '0s',
      udpTimeout: '0s',
      udpStreamTimeout: '0s',
    },
  };
  writeFileSync(config, JSON.stringify(content, null, 2));
  return { name: 'kube-proxy', argv: [tools.path('kube-proxy'), `--config=${config}`] };
}

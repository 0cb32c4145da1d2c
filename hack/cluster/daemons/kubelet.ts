// The kubelet: the node's agent. Settings favour quick answers over little load: this node is for tests.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Toolbox } from '../build.ts';
import type { Layout } from '../layout.ts';
import type { Leaf } from '../pki.ts';
import type { Daemon } from '../process.ts';
import { client } from './controllers.ts';

/** The kubelet's certificates: one to call the API server, one to serve logs, exec and port-forward. */
export function kubeletLeaves(layout: Layout): readonly Leaf[] {
  const identity = { commonName: `system:node:${layout.id}`, organization: 'system:nodes' };
  return [
    { file: 'kubelet', ...identity },
    { file: 'kubelet-serving', ...identity, addresses: [layout.addresses.node4, layout.addresses.node6] },
  ];
}

/** Writes the configuration and returns the daemon; `server` is the API server's URL. */
export function kubelet(layout: Layout, tools: Toolbox, server: string): Daemon {
  mkdirSync(join(layout.state, 'kubelet'), { recursive: true });
  const config = join(layout.etc, 'kubelet.json');
  writeFileSync(join(layout.etc, 'resolv.conf'), 'options timeout:1\n');
  writeFileSync(config, JSON.stringify(configOf(layout), null, 2));
  return {
    name: 'kubelet',
    argv: [
      tools.path('kubelet'),
      `--config=${config}`,
      `--kubeconfig=${client(layout, 'kubelet', server)}`,
      `--root-dir=${join(layout.state, 'kubelet')}`,
      `--cert-dir=${join(layout.state, 'kubelet', 'pki')}`,
      `--hostname-override=${layout.id}`,
      `--node-ip=${layout.addresses.node4},${layout.addresses.node6}`,
    ],
  };
}

function configOf(layout: Layout): object {
  const pki = (name: string): string => join(layout.pki, name);
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: layout.addresses.node4,
    healthzBindAddress: '127.0.0.1',
    tlsCertFile: pki('kubelet-serving.crt'),
    tlsPrivateKeyFile: pki('kubelet-serving.key'),
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki('ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    clusterDomain: 'cluster.local',
    clusterDNS: [layout.addresses.dns4],
    resolvConf: join(layout.etc, 'resolv.conf'),
    containerRuntimeEndpoint: `unix://${layout.containerdSocket}`,
    podLogsDir: join(layout.logs, 'pods'),
    volumePluginDir: join(layout.state, 'kubelet', 'volume-plugins'),
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${layout.id}`,
    failCgroupV1: false,
    enforceNodeAllocatable: [],
    // Without it the kubelet ends where it may not lower its oom_score_adj or read the kernel's log.
    featureGates: { KubeletInUserNamespace: true },
    failSwapOn: false,
    maxPods: 200,
    serializeImagePulls: false,
    // Whoever reads a log of a test wants its beginning, too.
    containerLogMaxSize: '64Mi',
    // A changed Secret reaches the pods' files about this late.
    syncFrequency: '2s',
    configMapAndSecretChangeDetectionStrategy: 'Watch',
    nodeStatusUpdateFrequency: '10s',
    shutdownGracePeriod: '0s',
    kubeAPIQPS: 200,
    kubeAPIBurst: 400,
    // Images are imported, not pulled: one that is collected would be gone for good.
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '50Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
      'nodefs.inodesFree': '1%',
    },
  };
}

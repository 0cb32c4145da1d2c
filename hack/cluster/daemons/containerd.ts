// containerd with runc and the CNI plugins: what runs the pods.

import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Toolbox } from '../build.ts';
import type { Layout } from '../layout.ts';
import type { Daemon } from '../process.ts';

/** `f_type` of overlayfs (statfs(2)). */
const OVERLAY_MAGIC = 0x794c7630;

/** Writes the configuration and returns the daemon. `pauseImage` holds each pod's namespaces. */
export function containerd(layout: Layout, tools: Toolbox, pauseImage: string): Daemon {
  mkdirSync(join(layout.etc, 'cni'), { recursive: true });
  mkdirSync(rootOf(layout), { recursive: true });
  const config = join(layout.etc, 'containerd.toml');
  writeFileSync(config, configOf(layout, tools, pauseImage));
  writeFileSync(join(layout.etc, 'cni', '10-bridge.conflist'), JSON.stringify(networkOf(layout), null, 2));
  // A socket of a crashed daemon would look like a running one.
  rmSync(layout.containerdSocket, { force: true });
  return {
    name: 'containerd',
    argv: [tools.path('containerd'), '--config', config],
    // containerd finds its shim by the PATH.
    env: { PATH: `${tools.folder('containerd')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin` },
  };
}

/** Name of the snapshotter: overlayfs cannot lie on overlayfs, which is what a home folder inside a container is. */
export function snapshotterFor(layout: Layout): 'native' | 'overlayfs' {
  return statfsSync(rootOf(layout)).type === OVERLAY_MAGIC ? 'native' : 'overlayfs';
}

function rootOf(layout: Layout): string {
  return join(layout.state, 'containerd');
}

function configOf(layout: Layout, tools: Toolbox, pauseImage: string): string {
  const root = rootOf(layout);
  return `version = 3
root = ${quote(root)}
state = ${quote(join(layout.run, 'containerd'))}
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.nri.v1.nri",
]

[grpc]
address = ${quote(layout.containerdSocket)}

[ttrpc]
address = ${quote(`${layout.containerdSocket}.ttrpc`)}

[plugins.'io.containerd.internal.v1.opt']
path = ${quote(join(root, 'opt'))}

[plugins.'io.containerd.cri.v1.images']
snapshotter = ${quote(snapshotterFor(layout))}

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = ${quote(pauseImage)}

[plugins.'io.containerd.cri.v1.runtime']
# Neither may be changed in a sandbox without CAP_SYS_RESOURCE, or where the kernel lacks it.
restrict_oom_score_adj = true
disable_apparmor = true
tolerate_missing_hugetlb_controller = true
netns_mounts_under_state_dir = true

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [${quote(tools.folder('cni'))}]
conf_dir = ${quote(join(layout.etc, 'cni'))}
`;
}

/** Pods hang on the node's bridge and get an address of each family; a pod may reach itself through its Service. */
function networkOf(layout: Layout): object {
  const { addresses } = layout;
  const range = (subnet: string, bounds: readonly [string, string], gateway: string): object[] => [
    { subnet, rangeStart: bounds[0], rangeEnd: bounds[1], gateway },
  ];
  return {
    cniVersion: '1.0.0',
    name: layout.id,
    plugins: [
      {
        type: 'bridge',
        bridge: layout.bridge,
        isDefaultGateway: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(layout.state, 'cni'),
          ranges: [
            range(addresses.pods4, addresses.podRange4, addresses.node4),
            range(addresses.pods6, addresses.podRange6, addresses.node6),
          ],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true }, backend: 'nftables', snat: true },
    ],
  };
}

function quote(text: string): string {
  return JSON.stringify(text);
}

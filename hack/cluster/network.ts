// The network namespace of a cluster. It has a bridge for node and pods and one veth pair to the host, over which the host
// may open connections to the node; nothing inside can reach the host or anything beyond.

import { existsSync } from 'node:fs';
import type { Layout } from './layout.ts';
import { run, tryRun } from './run.ts';

/** Makes the namespace with its devices, routes and fence. It must not exist yet. */
export async function makeNetwork(layout: Layout): Promise<void> {
  const { addresses, bridge, hostDevice, id } = layout;
  await run('ip', ['netns', 'add', id]);
  await run('ip', ['link', 'add', hostDevice, 'type', 'veth', 'peer', 'name', 'host0', 'netns', id]);
  await inside(layout, 'sh', ['-ec', sysctlScript()]);
  await inside(layout, 'ip', ['-batch', '-'], {
    input: [
      'link set lo up',
      // A fixed address: else the bridge takes that of a port, and neighbours would have to learn a new one.
      `link add ${bridge} address 02:16:16:00:00:01 type bridge`,
      `address add ${addresses.node4}/${addresses.podBits4} dev ${bridge}`,
      `address add ${addresses.node6}/${addresses.podBits6} dev ${bridge} nodad`,
      `link set ${bridge} up`,
      `address add ${addresses.nodeLink}/30 dev host0 scope link`,
      'link set host0 up',
      // ClusterIPs need some route to get as far as the rules that rewrite them; there is no default route.
      `route add ${addresses.services4} dev ${bridge}`,
      `route add ${addresses.services6} dev ${bridge}`,
    ].join('\n'),
  });
  await inside(layout, 'nft', ['-f', '-'], { input: fence() });
  await run('ip', ['address', 'add', `${addresses.hostLink}/30`, 'dev', hostDevice, 'scope', 'link']);
  await run('ip', ['link', 'set', hostDevice, 'up']);
}

/** Removes the namespace and the veth pair. Safe to repeat. */
export async function removeNetwork(layout: Layout): Promise<void> {
  if (existsSync(`/sys/class/net/${layout.hostDevice}`)) await tryRun('ip', ['link', 'delete', layout.hostDevice]);
  if (existsSync(layout.netns)) await run('ip', ['netns', 'delete', layout.id]);
}

/** Lets containers' traffic on the bridge pass the netfilter hooks, which ClusterIPs need; a module on some machines. */
export async function loadBridgeFilter(): Promise<void> {
  if (!existsSync('/proc/sys/net/bridge')) await tryRun('modprobe', ['br_netfilter']);
}

function inside(
  layout: Layout,
  command: string,
  args: readonly string[],
  options: { input?: string } = {},
): Promise<string> {
  return run('nsenter', [`--net=${layout.netns}`, '--', command, ...args], options);
}

function sysctlScript(): string {
  const values = {
    'ipv4/ip_forward': 1,
    'ipv6/conf/all/disable_ipv6': 0,
    'ipv6/conf/default/disable_ipv6': 0,
    'ipv6/conf/all/forwarding': 1,
    'ipv6/conf/default/accept_dad': 0,
    'bridge/bridge-nf-call-iptables': 1,
    'bridge/bridge-nf-call-ip6tables': 1,
  };
  return Object.entries(values)
    .map(([name, value]) => `echo ${value} > /proc/sys/net/${name}`)
    .join('\n');
}

/** The host may call the node; neither node nor pods may call the host. */
function fence(): string {
  return `table inet tabard_fence {
  chain forward {
    type filter hook forward priority -300; policy accept;
    iifname "host0" drop
    oifname "host0" reject
  }
  chain output {
    type filter hook output priority 0; policy accept;
    oifname "host0" ct state new reject
  }
}
`;
}

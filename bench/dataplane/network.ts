// The network of the benchmark: pods on one bridge, each in a network namespace of its own, without a route out. It is what pods of one
// node have between them, and Tabard's redirect works in it as it does there.
import { makeNetns, type Netns } from '../../test/support/capture/netns.ts';

/** Address of the node: the control API listens here. */
export const nodeAddress = '10.77.0.1';

/**
 * The same in every pod: ports for tens of thousands of short connections, none of which may be one that a proxy listens on, and a
 * connection tracking that lets go of them.
 */
const settings: Readonly<Record<string, string>> = {
  'ipv4/ip_local_port_range': '20000 65000',
  'ipv4/tcp_tw_reuse': '1',
  'netfilter/nf_conntrack_tcp_timeout_time_wait': '1',
};

/** A pod's namespace. */
export interface PodNetwork {
  readonly netns: Netns;
  readonly address: string;
}

/** A bridge and the pods on it. */
export class Network {
  readonly node: Netns;
  readonly #pods: Netns[] = [];

  constructor() {
    this.node = makeNetns('node');
    this.node.run(['ip', 'link', 'add', 'br0', 'type', 'bridge']);
    this.node.run(['ip', 'addr', 'add', `${nodeAddress}/16`, 'dev', 'br0']);
    this.node.run(['ip', 'link', 'set', 'br0', 'up']);
  }

  /** One more pod. */
  pod(purpose: string): PodNetwork {
    const netns = makeNetns(purpose);
    this.#pods.push(netns);
    const number = this.#pods.length;
    const address = `10.77.1.${number}`;
    const cable = ['veth', 'peer', 'name', 'eth0', 'netns', netns.name];
    this.node.run(['ip', 'link', 'add', `pod${number}`, 'type', ...cable]);
    this.node.run(['ip', 'link', 'set', `pod${number}`, 'master', 'br0', 'up']);
    netns.run(['ip', 'addr', 'add', `${address}/16`, 'dev', 'eth0']);
    netns.run(['ip', 'link', 'set', 'eth0', 'up']);
    return { netns, address };
  }

  /** Sets what every pod has; after the redirect, which brings connection tracking. */
  tune({ netns }: PodNetwork): void {
    for (const [name, value] of Object.entries(settings)) {
      netns.run(['sh', '-c', `test ! -e /proc/sys/net/${name} || echo '${value}' > /proc/sys/net/${name}`]);
    }
  }

  /** Deletes the namespaces; what runs in them has to be ended before. */
  async remove(): Promise<void> {
    for (const netns of [...this.#pods, this.node]) await netns.remove();
  }
}

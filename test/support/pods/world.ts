// Pods on one node, each in a network namespace of its own, and the control API beside them: real sidecars, as bundled for the image, behind
// the rules of the real redirect, over cables that can be pulled. There is no route out. Needs root.
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildBundles } from '../../../hack/build.ts';
import { makeNetns, type Netns } from '../capture/netns.ts';
import type { SelfOptions } from '../sidecar.ts';
import { until } from '../until.ts';
import type { Way } from '../ways.ts';
import type { ControlQuestion } from './control.ts';
import { Inside } from './inside.ts';
import { TestPod } from './pod.ts';

const NODE = '10.79.0.1';

/**
 * Small buffers of the kernel in every pod: what a reader does not read stands still after a megabyte, and not after thirty.
 * Ephemeral ports are none that a proxy listens on.
 */
const settings: Readonly<Record<string, string>> = {
  'ipv4/tcp_rmem': '4096 65536 131072',
  'ipv4/tcp_wmem': '4096 65536 131072',
  'ipv4/ip_local_port_range': '20000 65000',
};

/** The world of one test file. */
export class PodWorld {
  /** The sidecar of this checkout. */
  readonly today: string;
  readonly folder: string;
  readonly #redirect: string;
  readonly #node: Netns;
  readonly #control: Inside;
  readonly #told: { readonly port: number; readonly identity: string };
  readonly #pods: TestPod[] = [];
  readonly #networks: Netns[] = [];

  private constructor(parts: {
    folder: string;
    bundles: Readonly<Record<'sidecar' | 'redirect', string>>;
    node: Netns;
    control: Inside;
    told: { port: number; identity: string };
  }) {
    this.folder = parts.folder;
    this.today = parts.bundles.sidecar;
    this.#redirect = parts.bundles.redirect;
    this.#node = parts.node;
    this.#control = parts.control;
    this.#told = parts.told;
  }

  /** Builds the programs and starts the control API. */
  static async start(): Promise<PodWorld> {
    const folder = mkdtempSync(join(tmpdir(), 'tabard-pods-'));
    // The proxy's user has to get to its own folders in it.
    chmodSync(folder, 0o755);
    const built = await buildBundles({ programs: ['sidecar', 'workers', 'redirect'], folder });
    const bundle = (name: string): string => built.find(({ program }) => program === name)?.path ?? '';
    const node = makeNetns('node');
    node.run(['ip', 'link', 'add', 'br0', 'type', 'bridge']);
    node.run(['ip', 'addr', 'add', `${NODE}/16`, 'dev', 'br0']);
    node.run(['ip', 'link', 'set', 'br0', 'up']);
    const control = new Inside(node, 'application', { args: [join(import.meta.dirname, 'control.ts'), NODE] });
    const bundles = { sidecar: bundle('sidecar'), redirect: bundle('redirect') };
    try {
      await until(() => control.lines.length > 0, 'the control API listens', 120_000);
      const told = control.lines[0] as unknown as { port: number; identity: string };
      return new PodWorld({ folder, bundles, node, control, told });
    } catch (error) {
      await control.end();
      await node.remove();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** One more pod, with an application and without a sidecar. */
  pod(name: string): TestPod {
    mkdirSync(join(this.folder, name));
    return this.#make(name, `10.79.1.${this.#pods.length + 1}`);
  }

  /**
   * Takes a pod away as a power failure does: nobody is told, and what had been sent to it arrives nowhere. Returns one with its name and
   * address that knows nothing of the first.
   */
  async vanish(pod: TestPod): Promise<TestPod> {
    pod.unplug();
    await pod.end();
    return this.#make(pod.name, pod.address);
  }

  #make(name: string, address: string): TestPod {
    const netns = makeNetns('pod');
    this.#networks.push(netns);
    const plug = `pod${this.#networks.length}`;
    const cable = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.name];
    this.#node.run(['ip', 'link', 'add', plug, ...cable]);
    this.#node.run(['ip', 'link', 'set', plug, 'master', 'br0', 'up']);
    netns.run(['ip', 'addr', 'add', `${address}/16`, 'dev', 'eth0']);
    netns.run(['ip', 'link', 'set', 'eth0', 'up']);
    netns.run([process.execPath, '--disable-warning=ExperimentalWarning', this.#redirect]);
    for (const [key, value] of Object.entries(settings)) {
      netns.run(['sh', '-c', `echo '${value}' > /proc/sys/net/${key}`]);
    }
    const folder = join(this.folder, name);
    const pod = new TestPod({
      name,
      netns,
      address,
      folder,
      controlAddress: `${NODE}:${this.#told.port}`,
      controlIdentity: this.#told.identity,
      control: (question) => this.control(question),
      plug: (isIn) => void this.#node.run(['ip', 'link', 'set', plug, isIn ? 'up' : 'down']),
      unplug: () => void this.#node.run(['ip', 'link', 'del', plug]),
    });
    this.#pods.push(pod);
    pod.startApplication();
    return pod;
  }

  /** From now on no packet of one pod arrives at the other, and nobody is told. */
  drop(from: TestPod, to: TestPod): void {
    // A table and a chain that are there are not made again.
    const rules = [
      'add table bridge dead',
      'add chain bridge dead forward { type filter hook forward priority 0; }',
      `add rule bridge dead forward ip saddr ${from.address} ip daddr ${to.address} drop`,
    ];
    this.#node.run(['nft', '-f', '-'], { input: `${rules.join('\n')}\n` });
  }

  /** Undoes every `drop`. */
  heal(): void {
    this.#node.run(['nft', 'delete', 'table', 'bridge', 'dead']);
  }

  control<T>(question: ControlQuestion): Promise<T> {
    return this.#control.ask<T>(question);
  }

  /** Tells a pod's service its policy. */
  async tell({ name }: TestPod, transport: Way['transport'], self: SelfOptions = {}): Promise<void> {
    const connections = { handshakeTimeoutMs: 30_000, transport, ...self.connections };
    const clusterRanges = ['10.79.0.0/16'];
    await this.control({ do: 'self', service: name, self: { clusterRanges, ...self, connections } });
  }

  /** Makes an address a destination with these pods behind it. */
  async publish(address: string, port: number, pods: readonly TestPod[]): Promise<void> {
    const endpoints = pods.map((pod) => ({
      address: pod.address,
      port,
      transport: 'mutual' as const,
      identity: pod.identity,
    }));
    const serverName = `${pods[0]?.name ?? 'none'}.shop.svc.cluster.local`;
    await this.control({
      do: 'destination',
      key: `${address}:${port}`,
      destination: { known: true, serverName, endpoints },
    });
  }

  /** Ends everything. */
  async end(): Promise<void> {
    await Promise.all([...this.#pods.map((pod) => pod.end()), this.#control.end()]);
    for (const netns of [...this.#networks, this.#node]) await netns.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

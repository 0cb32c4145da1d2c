// Everything that runs: the network, the control API, and of every contestant two pods with capture, back end and proxies.
import type { ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildBundles } from '../../hack/build.ts';
import { ClusterError } from '../../hack/cluster/failure.ts';
import type { Progress } from '../../hack/cluster/progress.ts';
import { type ProxyTools, proxyTools } from '../../hack/interop/proxies.ts';
import { PROXY_UID } from '../../lib/api/contract.ts';
import { applicationPort, type Contestant, type Place } from './contestant.ts';
import type { ControlOrder } from './control.ts';
import { Network, nodeAddress, type PodNetwork } from './network.ts';
import { Pair, type PairPod } from './pair.ts';
import { end, Lines, start } from './program.ts';
import { policyOf } from './tabard.ts';

/** The benchmark's machines. */
export class World {
  readonly pairs: readonly Pair[];
  readonly #folder: string;
  readonly #network: Network | undefined;
  readonly #children: readonly ChildProcess[];

  private constructor(parts: {
    pairs: readonly Pair[];
    folder: string;
    network: Network | undefined;
    children: readonly ChildProcess[];
  }) {
    this.pairs = parts.pairs;
    this.#folder = parts.folder;
    this.#network = parts.network;
    this.#children = parts.children;
  }

  /** Installs, builds and makes everything but the proxies, which a pair starts. */
  static async make(
    contestants: readonly Contestant[],
    progress: Progress,
    nodeOptions: readonly string[] = [],
  ): Promise<World> {
    if (!existsSync('/proc/self/schedstat')) {
      throw new ClusterError('this kernel keeps no accounts of threads (/proc/PID/schedstat, CONFIG_SCHED_INFO)');
    }
    const tools = await proxyTools(progress);
    const folder = mkdtempSync(join(tmpdir(), 'tabard-dataplane-'));
    const children: ChildProcess[] = [];
    let network: Network | undefined;
    try {
      const bundles = await buildBundles({ programs: ['sidecar', 'workers', 'redirect'], folder });
      const bundle = (program: string): string => bundles.find((each) => each.program === program)?.path ?? '';
      network = new Network();
      const parts = {
        tools,
        nodeOptions,
        folder,
        network,
        children,
        sidecar: bundle('sidecar'),
        redirect: bundle('redirect'),
      };
      return await progress.step(`${contestants.length} pairs of pods, a control API`, () =>
        World.#pods(parts, contestants),
      );
    } catch (error) {
      await new World({ pairs: [], folder, network, children }).remove();
      throw error;
    }
  }

  static async #pods(parts: Parts, contestants: readonly Contestant[]): Promise<World> {
    const { network, children, tools, folder } = parts;
    const made = contestants.map((contestant, index) => ({
      contestant,
      client: makePod(parts, contestant, `p${index}-client`),
      server: makePod(parts, contestant, `p${index}-server`),
    }));
    for (const { server } of made) {
      const args = ['serve', `${server.network.address}:${applicationPort}`];
      children.push(
        start(server.network.netns, 'application', { command: tools.load, args }, join(folder, 'load.log')),
      );
    }
    const pods = made.flatMap(({ contestant, client, server }) =>
      [client, server].map(({ name, network: { address }, tls }) => {
        const governed = contestant.policy === undefined ? {} : { policy: policyOf(contestant.policy) };
        return { name: `${name}-0`, service: name, address, tls, ...governed };
      }),
    );
    const control = await startControl(network, children, { host: nodeAddress, pods });
    const pairs = made.map(
      ({ contestant, client, server }) =>
        new Pair(contestant, {
          client: pairPod(parts, { own: client, server, peer: server, role: 'client', control }),
          server: pairPod(parts, { own: server, server, peer: client, role: 'server', control }),
        }),
    );
    return new World({ pairs, folder, network, children });
  }

  /** Ends everything. */
  async remove(): Promise<void> {
    await Promise.all(this.pairs.map((pair) => pair.stop()));
    await Promise.all(this.#children.map(end));
    await this.#network?.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface Parts {
  readonly tools: ProxyTools;
  readonly nodeOptions: readonly string[];
  readonly folder: string;
  readonly network: Network;
  readonly children: ChildProcess[];
  readonly sidecar: string;
  readonly redirect: string;
}

interface MadePod {
  readonly name: string;
  readonly network: PodNetwork;
  readonly tls: string;
  readonly scratch: string;
}

/** A pod whose traffic is captured by the program of the redirect container, for every contestant alike. */
function makePod({ folder, network, redirect }: Parts, contestant: Contestant, name: string): MadePod {
  const made = network.pod(name);
  const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
  if (contestant.proxy !== undefined) made.netns.run([...node, redirect]);
  network.tune(made);
  const scratch = join(folder, name, 'scratch');
  mkdirSync(scratch, { recursive: true });
  chownSync(scratch, PROXY_UID, PROXY_UID);
  return { name, network: made, tls: join(folder, name, 'tls'), scratch };
}

function pairPod(
  { tools, nodeOptions, sidecar }: Parts,
  of: { own: MadePod; server: MadePod; peer: MadePod; role: Place['role']; control: string },
): PairPod {
  const { own, server, peer, role, control } = of;
  const place: Place = {
    role,
    address: own.network.address,
    server: server.network.address,
    service: own.name,
    peerService: peer.name,
    podName: `${own.name}-0`,
    tls: own.tls,
    scratch: own.scratch,
    tools,
    sidecar,
    nodeOptions,
    control,
  };
  return { netns: own.network.netns, place };
}

async function startControl(network: Network, children: ChildProcess[], order: ControlOrder): Promise<string> {
  const program = join(import.meta.dirname, 'control.ts');
  const args = ['--disable-warning=ExperimentalWarning', program, JSON.stringify(order)];
  const child = start(network.node, 'application', { command: process.execPath, args });
  children.push(child);
  return `${order.host}:${await new Lines(child).next()}`;
}

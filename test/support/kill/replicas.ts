// Replicas of the operator as a Deployment keeps them, each a process behind a gate of its own: one that ends is started again, as the same
// pod or as a new one, and is in an EndpointSlice of the operator's Service while it listens, so that replicas find each other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControlPlane } from '../../../hack/cluster/api.ts';
import { names } from '../../../lib/api/contract.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { type OperatorLine, type OperatorProcess, startOperatorProcess } from '../operator.ts';
import type { ApiCall } from './call.ts';
import { ApiGate, type Fate, replicaAddress } from './gate.ts';

/** What the replicas run on, and who decides about their calls. */
export interface ReplicasDeps {
  readonly plane: ControlPlane;
  readonly client: KubeClient;
  readonly namespace: string;
  readonly env: Readonly<Record<string, string>>;
  /** Another file than the sources: a bundle, as the image has it. */
  readonly program?: string;
  readonly points?: { fate(call: ApiCall): Fate; done(call: ApiCall, status: number): void };
}

/** After so many deaths of a leader the next one does not come back under its name: the other replica must take over. */
const nodeLostEvery = 6;

/** A place of the Deployment: there is always one process for it. */
class Replica {
  readonly #deps: ReplicasDeps;
  readonly #label: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'tabard-replica-'));
  readonly #over = Promise.withResolvers<void>();
  /** Every process so far, the newest last. */
  readonly #lives: OperatorProcess[] = [];
  #gate: ApiGate | undefined;
  #port = 0;
  #deathsLeading = 0;
  #isStopping = false;
  #isRenamed = false;
  /** Ends that nobody asked for, by exit code. */
  readonly ownEnds: number[] = [];

  constructor(deps: ReplicasDeps, label: string) {
    this.#deps = deps;
    this.#label = label;
  }

  /** How many processes it has had. */
  get lives(): number {
    return this.#lives.length;
  }

  /** All lines of all its processes. */
  get lines(): readonly OperatorLine[] {
    return this.#lives.flatMap(({ lines }) => lines);
  }

  get process(): OperatorProcess | undefined {
    return this.#lives.at(-1);
  }

  get isLeading(): boolean {
    const { process } = this;
    return process?.exitCode === undefined && process?.lines.some(({ msg }) => msg === 'leading') === true;
  }

  /** The port of its control API; 0 while it has none. */
  get controlPort(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    const { plane, points } = this.#deps;
    this.#gate = await ApiGate.start({
      plane,
      fate: (call) => points?.fate(call) ?? 'pass',
      done: (call, status) => points?.done(call, status),
      die: () => this.kill(),
    });
    writeFileSync(join(this.#folder, 'kubeconfig'), this.#gate.kubeconfig);
    void this.#keep();
  }

  /** SIGKILL, now. */
  kill(): void {
    if (this.isLeading) {
      this.#deathsLeading += 1;
      this.#isRenamed = this.#deathsLeading % nodeLostEvery === 0;
    }
    void this.process?.end('SIGKILL');
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    void this.process?.end('SIGKILL');
    await this.#over.promise;
    await this.#gate?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #keep(): Promise<void> {
    let name = `${names.operator}-${this.#label}`;
    while (!this.#isStopping) {
      if (this.#isRenamed) name = `${names.operator}-${this.#label}-${this.#lives.length}`;
      this.#isRenamed = false;
      const { namespace, env, program } = this.#deps;
      this.#gate?.open();
      const kubeconfig = join(this.#folder, 'kubeconfig');
      const running = startOperatorProcess({
        name,
        namespace,
        kubeconfig,
        env,
        ...(program === undefined ? {} : { program }),
      });
      this.#lives.push(running);
      void this.#publish(running);
      const code = await running.exited;
      this.#gate?.shut();
      this.#port = 0;
      if (code >= 0) this.ownEnds.push(code);
    }
    this.#over.resolve();
  }

  async #publish(running: OperatorProcess): Promise<void> {
    while (running.exitCode === undefined) {
      const port = running.lines.find(({ msg }) => msg === 'control API listening')?.['port'];
      if (typeof port === 'number') {
        this.#port = port;
        await this.#slice(port).catch(() => undefined);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #slice(port: number): Promise<void> {
    const { client, namespace } = this.#deps;
    const labels = { 'kubernetes.io/service-name': names.operator };
    const slice = {
      metadata: { name: `${names.operator}-${this.#label}`, namespace, labels },
      addressType: 'IPv4',
      ports: [{ name: 'control', port, protocol: 'TCP' }],
      endpoints: [{ addresses: [replicaAddress], conditions: { ready: true } }],
    };
    await client.apply(resources.endpointslices, slice, { fieldManager: 'test', force: true });
  }
}

/** Two replicas. */
export class OperatorReplicas {
  readonly all: readonly Replica[];

  private constructor(all: readonly Replica[]) {
    this.all = all;
  }

  static async start(deps: ReplicasDeps): Promise<OperatorReplicas> {
    const { namespace, client } = deps;
    const ports = [{ name: 'control', port: 16_010 }];
    const service = { metadata: { name: names.operator, namespace }, spec: { ports } };
    await client.apply(resources.services, service, { fieldManager: 'test' });
    const all = ['a', 'b'].map((label) => new Replica(deps, label));
    for (const replica of all) await replica.start();
    return new OperatorReplicas(all);
  }

  /** Ports of the control API that answer now. */
  controlPorts(): readonly number[] {
    return this.all.flatMap(({ controlPort }) => (controlPort > 0 ? [controlPort] : []));
  }

  /** How often a replica began to lead, by the name of its pod. */
  get leaders(): readonly string[] {
    return this.all.flatMap(({ lines }) =>
      lines.flatMap((line) => (line.msg === 'leading' ? [String(line['identity'])] : [])),
    );
  }

  /** Ends of processes that nobody asked for. */
  get ownEnds(): number {
    return this.all.reduce((sum, replica) => sum + replica.ownEnds.length, 0);
  }

  /** All lines of all of them. */
  get lines(): readonly OperatorLine[] {
    return this.all.flatMap(({ lines }) => lines);
  }

  /** Lines that a person should look at. */
  get errors(): readonly OperatorLine[] {
    return this.all.flatMap(({ lines }) => lines.filter(({ level }) => level === 'error' || level === 'fatal'));
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((replica) => replica.stop()));
  }
}

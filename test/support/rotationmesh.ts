// A mesh without nodes, for tests of rotation in real time: a real API server, the operator as the chart runs it, and pods that are
// a process each with the real sidecar. What a kubelet would do is done here: Secrets are projected into folders as it does, and a
// pod's status says that it runs. Pods have addresses of 127.0.0.0/8; nothing leaves loopback.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type ControlPlane, startControlPlane } from '../../hack/cluster/api.ts';
import { leashed } from '../../hack/leash.ts';
import { systemClock } from '../../lib/clock.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { Reflector } from '../../lib/kube/reflector.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Connection, connect as connectKube } from '../../lib/kube/rest.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { openHelm } from './helm.ts';
import { OperatorReplicas } from './kill/replicas.ts';
import { type OperatorProcess, startOperatorProcess } from './operator.ts';
import { runningPod } from './runningpod.ts';

/** What a pod's process is told at its start. */
export interface MeshPodSettings {
  readonly podName: string;
  readonly podUid: string;
  readonly podIp: string;
  readonly service: string;
  readonly folder: string;
  readonly applicationPort: number;
  readonly controlPort: number;
  readonly controlIdentity: string;
}

/** What it is told later: where its application's connections go. */
export interface MeshPodTold {
  readonly target: { readonly address: string; readonly port: number };
}

/** A pod. Connections to `outbound` go through its sidecar to its target. */
export interface MeshPod {
  readonly name: string;
  readonly ip: string;
  readonly inbound: number;
  readonly outbound: number;
  /** Lines that its sidecar logged. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  target(pod: MeshPod): void;
  /** Told, in milliseconds, how long its process was not heard of; it speaks five times a second. */
  onSilence(listener: (ms: number) => void): void;
}

/** Waits for a condition, looked at ten times a second; throws after `ms`. */
export async function eventually<T>(look: () => T | Promise<T>, holds: (seen: T) => boolean, ms: number): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return seen;
    if (Date.now() > end) throw new Error(`not so after ${ms} ms; last seen: ${JSON.stringify(seen)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

const system = 'tabard-system';
const namespace = 'shop';
const ranges = { TABARD_CLUSTER_RANGES: '127.0.0.0/8' } as const;

/** The API server with Tabard's kinds on it, and the two namespaces. */
export async function startPlane(authorityLifetime: string, leafLifetime: string): Promise<ControlPlane> {
  const plane = await startControlPlane({ controllerManager: true });
  const helm = await openHelm();
  const values = [`testing.minimumLifetime=${leafLifetime}`, `testing.minimumAuthorityLifetime=${authorityLifetime}`];
  const items = (await helm.render(...values)).filter(({ kind }) => kind === 'CustomResourceDefinition');
  helm.close();
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await plane.kubectl(['apply', '--server-side', '-f', '-'], { input });
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  for (const name of [system, namespace]) await plane.kubectl(['create', 'namespace', name]);
  const hasAccount = () => plane.kubectl(['get', 'serviceaccount', '-n', namespace, '-o', 'name']);
  await eventually(hasAccount, (text) => text.includes('default'), 60_000);
  return plane;
}

/** The mesh. `end` ends everything. */
export class RotationMesh {
  readonly plane: ControlPlane;
  readonly connection: Connection;
  operator: OperatorProcess | undefined;
  replicas: OperatorReplicas | undefined;
  readonly #secrets = new ObjectStore<Secret>();
  readonly #ends: (() => unknown)[] = [];
  readonly #stop = new AbortController();
  readonly #operatorEnv: Readonly<Record<string, string>>;
  #pods = 0;
  #calls = 0;

  private constructor(plane: ControlPlane, operatorEnv: Readonly<Record<string, string>>) {
    this.plane = plane;
    this.#operatorEnv = operatorEnv;
    const metrics = kubeMetrics(new Metrics());
    this.connection = connectKube({
      kubeconfig: plane.kubeconfig,
      userAgent: 'tabard-test/0',
      clock: systemClock,
      metrics,
    });
    const { client } = this.connection;
    const logger = createLogger({ name: 'test', level: 'silent' });
    const watch = { client, clock: systemClock, logger, metrics, resource: resources.secrets, store: this.#secrets };
    const watching = new Reflector<Secret>({ ...watch, selection: { namespace } }).run(this.#stop.signal);
    this.#ends.push(async () => {
      this.#stop.abort(new Error('the test is over'));
      await watching.catch(() => undefined);
      this.connection.close();
    });
  }

  /** Everything but pods; asleep, also without an operator. */
  static async start(
    plane: ControlPlane,
    operatorEnv: Readonly<Record<string, string>>,
    { isAsleep = false }: { readonly isAsleep?: boolean } = {},
  ): Promise<RotationMesh> {
    const mesh = new RotationMesh(plane, operatorEnv);
    if (!isAsleep) await mesh.startOperator('operator-1');
    return mesh;
  }

  /** What a pod's target answers to one request through the sidecars; what went wrong, otherwise. */
  async ask({ outbound }: MeshPod): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port: outbound });
      socket.setTimeout(5_000, () => socket.destroy(new Error('no answer')));
      socket.on('error', (error) => resolve(error.message));
      socket.on('close', () => resolve('closed'));
      socket.on('data', (chunk: Buffer) => {
        resolve(chunk.toString('latin1'));
        socket.destroy();
      });
      socket.write('hello');
    });
  }

  /** An operator in place of the one before, which must have ended. */
  async startOperator(name: string): Promise<OperatorProcess> {
    const operator = startOperatorProcess({
      name,
      namespace: system,
      kubeconfig: this.plane.kubeconfig,
      env: { ...ranges, ...this.#operatorEnv },
    });
    this.operator = operator;
    this.#ends.push(async () => {
      if (operator.exitCode === undefined) await operator.end('SIGKILL');
    });
    return operator;
  }

  /** Two operators in place of one, of this bundle, each started again whenever it ends. */
  async startReplicas(program: string): Promise<OperatorReplicas> {
    const { plane, connection } = this;
    const env = { ...ranges, ...this.#operatorEnv };
    const replicas = await OperatorReplicas.start({
      plane,
      client: connection.client,
      namespace: system,
      env,
      program,
    });
    this.replicas = replicas;
    this.#ends.push(() => replicas.stop());
    return replicas;
  }

  /** The port of the control API of an operator, of another one each time if there are several; 0 while none has one. */
  get controlPort(): number {
    if (this.replicas !== undefined) {
      const ports = this.replicas.controlPorts();
      this.#calls += 1;
      return ports[this.#calls % ports.length] ?? 0;
    }
    const line = this.operator?.lines.find(({ msg }) => msg === 'control API listening');
    return typeof line?.['port'] === 'number' ? line['port'] : 0;
  }

  /** Applies any object. */
  async apply(object: object): Promise<void> {
    await this.plane.kubectl(['apply', '--server-side', '-f', '-'], { input: JSON.stringify(object) });
  }

  /** A policy for all pods. */
  async policy(certificate: object): Promise<void> {
    const metadata = { name: 'all', namespace };
    await this.apply({ apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSPolicy', metadata, spec: { certificate } });
  }

  /** A running pod of a service of its own name, ready to carry connections. Its application sends back what it gets. */
  async pod(service: string): Promise<MeshPod> {
    const settings = await this.declarePod(service);
    return this.runPod(settings);
  }

  /** The pod object alone, as of a node that was switched off: `runPod` brings it to life. */
  async declarePod(service: string): Promise<MeshPodSettings> {
    this.#pods += 1;
    const name = `${service}-0`;
    const podIp = `127.0.77.${this.#pods}`;
    const pod = await runningPod(this.connection.client, { namespace, name, service, podIp });
    const folder = mkdtempSync(join(tmpdir(), 'tabard-pod-'));
    this.#ends.push(() => rmSync(folder, { recursive: true, force: true }));
    return {
      podName: name,
      podUid: pod.metadata.uid,
      podIp,
      service,
      folder,
      applicationPort: await this.#application(),
      controlPort: await this.#wayToControl(podIp),
      controlIdentity: `spiffe://cluster.local/ns/${system}/svc/tabard-operator`,
    };
  }

  /** Mounts the pod's Secret as a kubelet does, now and whenever it changes, and starts its process. */
  async runPod(settings: MeshPodSettings): Promise<MeshPod> {
    const { folder, service, podName, podIp } = settings;
    const key = `${namespace}/tabard-${service}`;
    mkdirSync(join(folder, 'tls'), { recursive: true });
    mkdirSync(join(folder, 'state'), { recursive: true });
    await eventually(
      () => this.#secrets.get(key) !== undefined,
      (there) => there,
      60_000,
    );
    const leave = this.#secrets.subscribe((_, after) => {
      if (after?.metadata.name === `tabard-${service}`) project(after, join(folder, 'tls'));
    });
    const entry = resolve(import.meta.dirname, 'meshpod.ts');
    const child = spawn(
      ...leashed(process.execPath, ['--disable-warning=ExperimentalWarning', entry, JSON.stringify(settings)]),
      {
        stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      },
    );
    this.#ends.push(async () => {
      leave();
      await endChild(child);
    });
    const lines = logOf(child);
    const state = { inbound: 0, outbound: 0, missing: ['process'] as readonly string[] };
    let heard = performance.now();
    const silence = new Set<(ms: number) => void>();
    child.on('message', (told) => {
      const now = performance.now();
      for (const listener of silence) listener(now - heard);
      heard = now;
      Object.assign(state, told);
    });
    await eventually(
      () => state.missing,
      (missing) => missing.length === 0,
      180_000,
    );
    return {
      name: podName,
      ip: podIp,
      inbound: state.inbound,
      outbound: state.outbound,
      lines,
      onSilence: (listener) => void silence.add(listener),
      target: (other) => void child.send({ target: { address: other.ip, port: other.inbound } } satisfies MeshPodTold),
    };
  }

  /** Ends everything, the newest first. */
  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
    this.#ends.length = 0;
  }

  async #application(): Promise<number> {
    return this.#listen((socket) => void socket.pipe(socket));
  }

  /** The control API knows a pod by the address that it calls from. */
  async #wayToControl(localAddress: string): Promise<number> {
    return this.#listen((near) => {
      const far = connect({ host: '127.0.0.1', port: this.controlPort, localAddress });
      for (const [from, onto] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('error', () => onto.destroy());
        from.on('close', () => onto.destroy());
        from.pipe(onto);
      }
    });
  }

  async #listen(serve: (socket: Socket) => void): Promise<number> {
    const open = new Set<Socket>();
    const server: Server = createServer((socket) => {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => open.delete(socket));
      serve(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#ends.push(() => {
      server.close();
      for (const socket of open) socket.destroy();
    });
    return (server.address() as AddressInfo).port;
  }
}

function logOf(child: ChildProcess): Readonly<Record<string, unknown>>[] {
  const lines: Readonly<Record<string, unknown>>[] = [];
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = `${rest}${text}`.split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts)
      if (part.startsWith('{')) lines.push(JSON.parse(part) as Readonly<Record<string, unknown>>);
  });
  return lines;
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** As a kubelet's atomic writer does: a new folder, and one rename that makes it the present one. */
function project({ metadata, data = {} }: Secret, folder: string): void {
  const version = `..${metadata.resourceVersion}`;
  mkdirSync(join(folder, version), { recursive: true });
  for (const [name, value] of Object.entries(data)) {
    writeFileSync(join(folder, version, name), Buffer.from(value, 'base64'));
  }
  const link = join(folder, '..data_tmp');
  rmSync(link, { force: true });
  symlinkSync(version, link);
  renameSync(link, join(folder, '..data'));
  for (const name of Object.keys(data)) {
    try {
      symlinkSync(join('..data', name), join(folder, name));
    } catch {
      // It is there since the first time.
    }
  }
}

// An acme issuer with everything that it needs to be true: an API server in memory, the control API, and a sidecar process of service
// shop/web that is told what to answer and says when it does. A test adds the ACME server.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { leashed } from '../../hack/leash.ts';
import type { SelfSnapshot } from '../../lib/api/control.ts';
import type { AcmeIssuerSpec, TLSIssuer } from '../../lib/api/tlsissuer.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { Reflector } from '../../lib/kube/reflector.ts';
import { resources } from '../../lib/kube/resources.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import { generateKey } from '../../lib/pki/keys.ts';
import { Audit } from '../../operator/audit/audit.ts';
import { ChallengeBoard } from '../../operator/issuers/acme/board.ts';
import { SecretDesk } from '../../operator/issuers/acme/desk.ts';
import { createAcmeIssuer } from '../../operator/issuers/acme/issuer.ts';
import type { IssuerState, LeafOrder, RunningIssuer, SignedLeaf } from '../../operator/issuers/issuer.ts';
import type { RenewalAdvice } from '../../operator/issuers/renewal.ts';
import type { Revoking } from '../../operator/issuers/revoke.ts';
import { ControlBench } from './controlbench.ts';
import { type KubeDeps, kubeDeps } from './kubedeps.ts';
import { pod } from './meshbench.ts';
import { type TestLeaf, testLeaf } from './pki.ts';

/** Tabard's own namespace on the bench. */
export const system = 'tabard-system';

/** An issuer at work. */
export interface RunningAcme {
  readonly issuer: RunningIssuer & RenewalAdvice & Revoking;
  /** Resolves with the state once the issuer is ready, or has said why not. */
  settled(): Promise<IssuerState>;
  /** Orders a certificate for shop/web with a new key. */
  order(dnsNames: readonly string[], more?: Partial<LeafOrder>): Promise<SignedLeaf>;
  stop(): Promise<void>;
}

/** The bench. */
export class AcmeBench {
  readonly deps: KubeDeps = kubeDeps();
  readonly control: ControlBench;
  readonly issuers = new ObjectStore<TLSIssuer>();
  readonly #audit: Audit;
  readonly #board: ChallengeBoard;
  readonly #secrets: ObjectStore<Secret>;
  readonly #stop = new AbortController();
  readonly #ends: (() => unknown)[] = [];

  private constructor(control: ControlBench, board: ChallengeBoard, secrets: ObjectStore<Secret>, deps: KubeDeps) {
    this.control = control;
    this.#board = board;
    this.#secrets = secrets;
    this.deps = deps;
    this.#audit = new Audit(deps.logger, deps.registry);
    this.issuers.replace([]);
  }

  static async start(): Promise<AcmeBench> {
    const deps = kubeDeps();
    const secrets = new ObjectStore<Secret>();
    const board = new ChallengeBoard(secrets, system, systemClock);
    const control = await ControlBench.start({ challenges: board });
    const bench = new AcmeBench(control, board, secrets, deps);
    const { client, logger, metrics } = deps;
    const selection = { namespace: system };
    const reflector = new Reflector<Secret>({
      client,
      logger,
      metrics,
      clock: systemClock,
      resource: resources.secrets,
      store: secrets,
      selection,
    });
    const running = reflector.run(bench.#stop.signal).catch(() => undefined);
    bench.#ends.push(() => running);
    await secrets.synced(bench.#stop.signal);
    control.bench.apply(pod({ name: 'web-1', service: 'web', ips: ['127.0.0.1'] }));
    return bench;
  }

  /** What is told to sidecars of shop/web now. */
  get challenges(): SelfSnapshot['challenges'] {
    return this.#board.of({ namespace: 'shop', service: 'web' });
  }

  /** The challenges, once there are any. */
  async challengesUp(): Promise<NonNullable<SelfSnapshot['challenges']>> {
    for (;;) {
      const { challenges } = this;
      if (challenges !== undefined && challenges.length > 0) return challenges;
      await systemClock.sleep(2, this.#stop.signal);
    }
  }

  /** Tokens that the sidecar said it answers. */
  reported(): readonly string[] {
    return this.control.reports.ofPod('uid-shop-web-1')?.report.challenges ?? [];
  }

  /** Names of the Secrets of Tabard's own namespace. */
  get secrets(): readonly string[] {
    return this.#secrets.list().map(({ metadata }) => metadata.name);
  }

  /** Makes a Secret of Tabard's own namespace. */
  async secret(name: string, values: Readonly<Record<string, string>>): Promise<void> {
    const data = Object.fromEntries(
      Object.entries(values).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    );
    await this.deps.client.create(resources.secrets, { metadata: { name, namespace: system }, type: 'Opaque', data });
  }

  /** Starts an issuer of that name. */
  async acme(
    name: string,
    spec: Omit<AcmeIssuerSpec, 'accountKeySecretRef'> & Partial<AcmeIssuerSpec>,
  ): Promise<RunningAcme> {
    const { client, logger } = this.deps;
    const acme = { accountKeySecretRef: { name: `account-${name}` }, ...spec };
    const object: TLSIssuer = {
      apiVersion: 'tabard.dev/v1alpha1',
      kind: 'TLSIssuer',
      metadata: { name, uid: name, resourceVersion: randomUUID(), creationTimestamp: '2026-01-01T00:00:00Z' },
      spec: { acme },
    };
    this.issuers.set(object);
    let tell: () => void = () => undefined;
    const challenges = new SecretDesk({
      client,
      clock: systemClock,
      namespace: system,
      ownSecrets: this.#secrets,
      reports: this.control.reports,
    });
    const issuer = createAcmeIssuer(object, {
      client,
      logger,
      challenges,
      clock: systemClock,
      namespace: system,
      issuers: this.issuers,
      audit: this.#audit,
      userAgent: 'tabard-test',
      changed: () => tell(),
    });
    const stop = new AbortController();
    const { promise, resolve: settled } = Promise.withResolvers<void>();
    tell = settled;
    const running = issuer.run(stop.signal);
    const end = async (): Promise<void> => {
      stop.abort();
      await running;
    };
    this.#ends.push(end);
    return {
      issuer,
      settled: async () => {
        await promise;
        return issuer.state(new Date());
      },
      order: async (dnsNames, more = {}) => {
        const keys = await generateKey('ECDSA-P256');
        const identity = { trustDomain: 'cluster.local', namespace: 'shop', service: 'web' };
        const order = { ...keys, identity, dnsNames, lifetimeMs: 86_400_000, now: new Date(), ...more };
        return issuer.sign(order, AbortSignal.any([stop.signal, AbortSignal.timeout(120_000)]));
      },
      stop: end,
    };
  }

  /** Changes the annotations of an issuer's object, as `kubectl annotate` does. */
  annotate(name: string, annotations: Readonly<Record<string, string>>): void {
    const object = this.issuers.get(name);
    if (object !== undefined)
      this.issuers.set({
        ...object,
        metadata: { ...object.metadata, annotations, resourceVersion: randomUUID() },
      });
  }

  /** Starts the sidecar process of pod web-1. */
  async sidecar(applicationPort: number): Promise<SidecarProcess> {
    const controlPort = this.control.server.port;
    const leaf = await testLeaf(this.control.authority, { service: 'web' });
    const sidecar = await startSidecarProcess(
      { applicationPort, controlPort, podUid: 'uid-shop-web-1' },
      mounted(leaf),
    );
    this.#ends.push(() => sidecar.end());
    return sidecar;
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(1).reverse()) await end();
    this.#stop.abort();
    await this.control.stop();
    for (const end of this.#ends) await end();
  }
}

/** A sidecar that listens. */
export interface SidecarProcess {
  readonly inboundPort: number;
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  readonly files: MountedFiles;
  end(): Promise<void>;
}

/** Starts the sidecar process of pod shop/web-1 with these files in its certificate folder. */
export async function startSidecarProcess(
  of: { readonly applicationPort: number; readonly controlPort: number; readonly podUid: string },
  mountedFiles: Readonly<Record<string, string>>,
): Promise<SidecarProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'tabard-acme-'));
  const files = new MountedFiles(join(folder, 'tls'));
  files.write(mountedFiles);
  const program = resolve(import.meta.dirname, 'sidecarprocess.ts');
  const identity = 'spiffe://cluster.local/ns/tabard-system/svc/tabard-operator';
  const args = [String(of.applicationPort), String(of.controlPort), identity, folder, of.podUid];
  const child = spawn(...leashed(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...args]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines: Readonly<Record<string, unknown>>[] = [];
  const { promise, resolve: listening } = Promise.withResolvers<number>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const value = JSON.parse(line) as Readonly<Record<string, unknown>>;
    lines.push(value);
    if (typeof value['inboundPort'] === 'number') listening(value['inboundPort']);
  });
  const inboundPort = await Promise.race([
    promise,
    exited.then(([code]) => Promise.reject(new Error(`the sidecar ended with ${String(code)}`))),
  ]);
  const end = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  return { inboundPort, lines, files, end };
}

/** A folder that changes as the kubelet changes a projected volume: a new generation, then the link to it in one step. */
export class MountedFiles {
  readonly #folder: string;
  #generation = 0;
  #held: Readonly<Record<string, string>> = {};

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Replaces files; those not named stay, those of value `''` go. */
  write(files: Readonly<Record<string, string>>): void {
    this.#generation += 1;
    this.#held = Object.fromEntries(Object.entries({ ...this.#held, ...files }).filter(([, text]) => text !== ''));
    const data = join(this.#folder, `..${this.#generation}`);
    mkdirSync(data, { recursive: true });
    for (const [name, text] of Object.entries(this.#held)) writeFileSync(join(data, name), text);
    symlinkSync(`..${this.#generation}`, join(this.#folder, '..next'));
    renameSync(join(this.#folder, '..next'), join(this.#folder, '..data'));
  }
}

function mounted(leaf: TestLeaf): Readonly<Record<string, string>> {
  return { 'tls.crt': leaf.certificate, 'tls.key': leaf.key, 'ca.crt': leaf.bundle };
}

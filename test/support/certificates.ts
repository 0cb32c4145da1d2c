// The certificate controllers on an API server in memory with a clock in the hand of the test: what is seeded comes by real
// watches, what is written is found in `kube`. Signing is real.
import { X509Certificate } from 'node:crypto';
import type { StatusReport } from '../../lib/api/control.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { TLSPolicy, TLSPolicySpec } from '../../lib/api/tlspolicy.ts';
import type { Selection } from '../../lib/kube/client.ts';
import type { EventFacts, EventSubject } from '../../lib/kube/events.ts';
import type { KubeObject, Pod, Secret, Service } from '../../lib/kube/object.ts';
import { Reflector } from '../../lib/kube/reflector.ts';
import { type Resource, resources } from '../../lib/kube/resources.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import { Audit } from '../../operator/audit/audit.ts';
import { Authorities } from '../../operator/authority/authority.ts';
import { authorityParts } from '../../operator/authority/parts.ts';
import type { Waits } from '../../operator/authority/rotationview.ts';
import { Cluster, clusterIndexes } from '../../operator/certificates/cluster.ts';
import { CertificateController } from '../../operator/certificates/controller.ts';
import { EdgeOutcomes } from '../../operator/certificates/edge/outcomes.ts';
import { Notices } from '../../operator/certificates/notices.ts';
import { Outcomes } from '../../operator/certificates/outcomes.ts';
import type { PlaintextSight } from '../../operator/certificates/plaintext.ts';
import { PolicyController } from '../../operator/certificates/policies.ts';
import { UngovernedCallers } from '../../operator/certificates/ungoverned.ts';
import type { CallerSight } from '../../operator/control/callerbook.ts';
import { Issuers } from '../../operator/issuers/issuers.ts';
import { type IssuerFactory, IssuerRegistry } from '../../operator/issuers/registry.ts';
import { createAuthorityIssuer, SelfSignedIssuer } from '../../operator/issuers/selfsigned.ts';
import { PodCertificates } from '../../operator/podcertificates/issued.ts';
import { MeshTrust, type TrustBundle } from '../../operator/trust/mesh.ts';
import { settle, TestClock } from './clock.ts';
import { kubeDeps } from './kubedeps.ts';
import { DAY_MS } from './pki.ts';

/** Tabard's own namespace on the bench. */
const system = 'tabard-system';

/** How a bench differs from the usual one. */
export interface CertificateBenchOptions {
  /** Of the CA; ten years by default, so that nothing rotates. */
  readonly caLifetimeMs?: number;
  readonly waits?: Partial<Waits>;
  readonly shortestMs?: number;
}

/** One operator replica that leads. `start` it, change the cluster through `kube`, wait with `until`, and `stop` it. */
export class CertificateBench {
  readonly deps = kubeDeps();
  readonly kube = this.deps.client;
  readonly clock: TestClock = this.deps.clock;
  readonly events: string[] = [];
  /** What sidecars reported, by pod uid, and who came with plaintext. */
  readonly reports = new Map<string, StatusReport>();
  readonly plaintext: PlaintextSight[] = [];
  /** Who was let in by sidecars of `web`. */
  readonly callers: CallerSight[] = [];
  readonly outcomes = new Outcomes();
  readonly podCertificates = new PodCertificates();
  readonly authorities = new Authorities(system, 'cluster.local');
  readonly authority = this.authorities.of('cluster');
  readonly #options: CertificateBenchOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  #trust: MeshTrust | undefined;
  readonly #revoked = new Set<string>();
  readonly #touched = new Set<(keys: Iterable<string>) => void>();
  readonly #listeners = new Set<(service: { namespace: string; service: string }) => void>();

  constructor(options: CertificateBenchOptions = {}) {
    this.#options = options;
  }

  /** Makes the CA and starts the controllers. */
  async start(): Promise<this> {
    const stores = {
      pods: new ObjectStore<Pod>(clusterIndexes.pods),
      services: new ObjectStore<Service>(clusterIndexes.services),
      policies: new ObjectStore<TLSPolicy>(clusterIndexes.policies),
      secrets: new ObjectStore<Secret>(),
      issuers: new ObjectStore<TLSIssuer>(),
      ownSecrets: new ObjectStore<Secret>(),
    };
    this.#reflect(resources.pods, stores.pods, { labelSelector: 'tabard.dev/injected in (true,certificate)' });
    this.#reflect(resources.services, stores.services);
    this.#reflect(resources.tlspolicies, stores.policies);
    this.#reflect(resources.tlsissuers, stores.issuers);
    this.#reflect(resources.secrets, stores.secrets, { labelSelector: 'app.kubernetes.io/managed-by=tabard' });
    this.#reflect(resources.secrets, stores.ownSecrets, { namespace: system });
    const { logger, registry: metrics, metrics: kubeMetrics } = this.deps;
    const { kube: client, clock, outcomes, authority } = this;
    const events = { record: (subject: EventSubject, facts: EventFacts) => this.#record(subject, facts) };
    const cluster = new Cluster(stores);
    const trust = new MeshTrust({ authority, issuers: stores.issuers, logger });
    trust.follow();
    this.#trust = trust;
    const ofAuthority: IssuerFactory = ({ metadata: { name } }, changed) =>
      createAuthorityIssuer(this.authorities.of(name), changed);
    const factories = { selfSigned: ofAuthority, ca: ofAuthority };
    const running = new IssuerRegistry({ issuers: stores.issuers, factories, logger });
    const issuers = new Issuers({ objects: stores.issuers, cluster: new SelfSignedIssuer(authority), running, trust });
    const common = {
      client,
      clock,
      logger,
      metrics,
      kubeMetrics,
      events,
      stores,
      cluster,
      outcomes,
      audit: new Audit(logger, metrics),
      shortestMs: this.#options.shortestMs ?? 10_000,
    };
    const names = { trustDomain: 'cluster.local', clusterDomain: 'cluster.local' };
    this.authorities.follow(stores.secrets);
    const notices = new Notices(events);
    const reports = {
      ofPod: (uid: string) => {
        const report = this.reports.get(uid);
        return report === undefined ? undefined : { report };
      },
      callers: ({ service }: { service: string }) => (service === 'web' ? this.callers : []),
      plaintextClients: ({ service }: { service: string }) => this.plaintext.filter((each) => each.service === service),
      subscribe: (listener: (service: { namespace: string; service: string }) => void) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
    const keeping = authorityParts({
      ...common,
      ...names,
      authorities: this.authorities,
      trust,
      reports,
      running,
      namespace: system,
      defaultIssuer: { lifetimeMs: this.#options.caLifetimeMs ?? 3_650 * DAY_MS },
      ...(this.#options.waits === undefined ? {} : { waits: this.#options.waits }),
    });
    this.#run(running.run(this.#stop.signal));
    this.#run(keeping.issuers(this.#stop.signal));
    await this.until(
      () => authority.current(),
      (current) => current !== undefined,
    );
    const changes = [authority, trust, running].map((source) => (again: () => void) => source.subscribe(again));
    const revocations = {
      byIdentity: (identity: string) => (this.#revoked.has(identity) ? 'revoked' : undefined),
      bySerial: (serial: string) => (this.#revoked.has(serial) ? 'revoked' : undefined),
      touched: (listener: (keys: Iterable<string>) => void) => {
        this.#touched.add(listener);
        return () => this.#touched.delete(listener);
      },
    };
    const certificates = new CertificateController({ ...common, ...names, issuers, changes, notices, revocations });
    this.#run(certificates.run(this.#stop.signal));
    this.#run(
      new PolicyController({
        ...common,
        certificates: this.podCertificates,
        reports,
        issuers,
        edges: new EdgeOutcomes(),
      }).run(this.#stop.signal),
    );
    this.#run(new UngovernedCallers({ ...common, reports }).run(this.#stop.signal));
    await settle();
    return this;
  }

  /** Revokes an identity or a serial; returns the function that lifts it. */
  revoke({ identity, serial = '' }: { readonly identity?: string; readonly serial?: string }): () => void {
    const what = identity ?? serial;
    const tell = (): void => {
      const keys = this.kube.all(resources.pods).map(({ metadata }) => {
        return `${metadata.namespace}/${metadata.annotations?.['tabard.dev/service']}`;
      });
      for (const listener of this.#touched) listener(new Set(keys));
    };
    this.#revoked.add(what);
    tell();
    return () => {
      this.#revoked.delete(what);
      tell();
    };
  }

  /** What sidecars are told to trust now. */
  get bundle(): TrustBundle | undefined {
    return this.#trust?.current();
  }

  /** Moves time on at once: whoever slept through it wakes when it is over, as after a machine's sleep. */
  async leap(ms: number): Promise<void> {
    this.clock.set(new Date(this.clock.now().getTime() + ms).toISOString());
    await this.clock.advance(0);
  }

  /** A sidecar reports. */
  report(report: StatusReport, service = 'web'): void {
    this.reports.set(report.podUid, report);
    for (const listener of this.#listeners) listener({ namespace: 'shop', service });
  }

  /** Stops everything and waits for it. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.clock.advance(10_000);
    await Promise.allSettled(this.#running);
  }

  /** An injected pod of a service, `app: <service>`, owned by a Deployment of that name through a ReplicaSet. */
  pod(
    name: string,
    service = 'web',
    change: { readonly labels?: Record<string, string>; readonly phase?: string } = {},
  ): Pod {
    const set = `${service}-set`;
    const controller = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      name: service,
      uid: `deployment-${service}`,
      controller: true,
    };
    this.kube.seed(resources.replicasets, {
      metadata: { name: set, namespace: 'shop', uid: `set-${service}`, ownerReferences: [controller] },
    });
    return this.kube.seed(resources.pods, {
      metadata: {
        name,
        namespace: 'shop',
        uid: `pod-${name}`,
        labels: { app: service, 'tabard.dev/injected': 'true', ...change.labels },
        annotations: { 'tabard.dev/service': service },
        ownerReferences: [
          { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: set, uid: `set-${service}`, controller: true },
        ],
      },
      spec: { containers: [] },
      status: { phase: change.phase ?? 'Running' },
    });
  }

  /** A Service that selects `app: <name>` unless told otherwise. */
  service(name: string, selector: Record<string, string> = { app: name }, clusterIP = '10.0.0.1'): Service {
    return this.kube.seed(resources.services, { metadata: { name, namespace: 'shop' }, spec: { selector, clusterIP } });
  }

  policy(name: string, spec: TLSPolicySpec = {}, created = '2026-01-01T00:00:00Z'): TLSPolicy {
    const before = this.kube.all(resources.tlspolicies).find(({ metadata }) => metadata.name === name);
    const metadata = { name, namespace: 'shop', creationTimestamp: created };
    return this.kube.seed(resources.tlspolicies, { metadata, spec, ...(before?.status && { status: before.status }) });
  }

  /** The Secret of a service of `shop`. */
  secret(service = 'web'): Secret | undefined {
    return this.kube.all(resources.secrets).find(({ metadata }) => metadata.name === `tabard-${service}`);
  }

  /** Serial of the certificate in it, by its annotation. */
  serial(service = 'web'): string | undefined {
    return this.secret(service)?.metadata.annotations?.['tabard.dev/serial'];
  }

  /** Waits for the first certificate of a service; its serial. */
  issued(service = 'web'): Promise<string | undefined> {
    return this.until(
      () => this.serial(service),
      (serial) => serial !== undefined,
    );
  }

  /** The certificate in a service's Secret. */
  leaf(service = 'web'): X509Certificate {
    return new X509Certificate(Buffer.from(this.secret(service)?.data?.['tls.crt'] ?? '', 'base64'));
  }

  /** Its DNS names. */
  dnsNames(service = 'web'): readonly string[] {
    const names = (this.leaf(service).subjectAltName ?? '').split(', ');
    return names.filter((name) => name.startsWith('DNS:')).map((name) => name.slice(4));
  }

  /** From now on: every call to the API server, as `verb resource name`. */
  calls(): readonly string[] {
    const seen: string[] = [];
    this.kube.onCall = ({ verb, resource, ref }) => void seen.push(`${verb} ${resource} ${ref.name ?? ''}`.trim());
    return seen;
  }

  status(policy: string): TLSPolicy['status'] {
    return this.kube.all(resources.tlspolicies).find(({ metadata }) => metadata.name === policy)?.status;
  }

  /** `True CertificatesValid`, say. */
  condition(policy: string, type: string): string {
    const found = this.status(policy)?.conditions?.find((condition) => condition.type === type);
    return `${found?.status} ${found?.reason}`;
  }

  /** Moves time on. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }

  /**
   * Lets work go on, with the clock moving a little, until something holds; fails with what it saw after ten seconds. After a
   * second the clock moves faster: a leap of it may have timed out work that was under way, and its retry has to come due.
   */
  async until<T>(see: () => T, holds: (seen: T) => boolean): Promise<T> {
    const begun = Date.now();
    for (;;) {
      const waited = Date.now() - begun;
      const seen = see();
      if (holds(seen)) return seen;
      if (waited > 10_000) throw new Error(`it did not come to hold; last seen: ${JSON.stringify(seen)}`);
      // Key pairs are made on other threads, which the test's clock knows nothing of.
      await new Promise((resolve) => setTimeout(resolve, 1));
      await this.clock.advance(waited < 1_000 ? 20 : 1_000);
    }
  }

  /** Waits until nothing more happens: several rounds in which no call was made. */
  async quiet(): Promise<void> {
    let calls = 0;
    const before = this.kube.onCall;
    this.kube.onCall = (call) => {
      calls += 1;
      return before(call);
    };
    for (let still = 0; still < 4; ) {
      const seen = calls;
      await new Promise((resolve) => setTimeout(resolve, 3));
      await this.clock.advance(100);
      still = seen === calls ? still + 1 : 0;
    }
    this.kube.onCall = before;
  }

  #reflect<T extends KubeObject>(resource: Resource<T>, store: ObjectStore<T>, selection: Selection = {}): void {
    const { client, clock, logger, metrics } = this.deps;
    this.#run(new Reflector({ client, clock, logger, metrics, resource, store, selection }).run(this.#stop.signal));
  }

  #run(part: Promise<void>): void {
    this.#running.push(part);
  }

  #record({ kind, name }: EventSubject, { type, reason }: EventFacts): void {
    this.events.push(`${type} ${reason} ${kind}/${name}`);
  }
}

// The keeper of CAs on an API server in memory: one replica with its own stores, on a cluster that it may share with another. Who
// must follow a rotation is set by the test.
import type { TLSIssuer, TLSIssuerSpec } from '../../lib/api/tlsissuer.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { Audit } from '../../operator/audit/audit.ts';
import { Authorities } from '../../operator/authority/authority.ts';
import { AuthorityKeeper } from '../../operator/authority/keeper.ts';
import { authorityMetrics } from '../../operator/authority/metrics.ts';
import type { Leaf, Peer } from '../../operator/authority/rotationview.ts';
import { CaOffers } from '../../operator/issuers/ca/source.ts';
import { MemoryKube } from './kube.ts';
import { StoodClock } from './meshbench.ts';

/** Tabard's own namespace in these tests. */
export const system = 'tabard-system';

/** How a replica differs. */
export interface ReplicaOptions {
  readonly defaultIssuer?: { readonly lifetimeMs: number } | undefined;
  /** What the replica speaks through; the cluster itself by default. */
  readonly client?: KubeClient;
}

/** One replica. */
export class KeeperReplica {
  readonly secrets = new ObjectStore<Secret>();
  readonly ownSecrets = new ObjectStore<Secret>();
  readonly issuers = new ObjectStore<TLSIssuer>();
  readonly authorities = new Authorities(system, 'cluster.local');
  readonly authority = this.authorities.of('cluster');
  /** `Warning cluster AuthorityBroken`, say. */
  readonly events: string[] = [];
  readonly metrics = new Metrics();
  readonly keeper: AuthorityKeeper;
  peers: readonly Peer[] = [];
  leaves: readonly Leaf[] = [];
  readonly #kube: MemoryKube;
  readonly #signal = new AbortController().signal;

  constructor(kube: MemoryKube, clock: StoodClock, options: ReplicaOptions = {}) {
    const { client = kube, defaultIssuer } = options;
    const { ownSecrets, issuers } = this;
    this.#kube = kube;
    this.authorities.follow(this.secrets);
    const logger = createLogger({ name: 'operator', level: 'silent' });
    this.keeper = new AuthorityKeeper({
      client,
      clock,
      logger,
      events: { record: (subject, facts) => this.events.push(`${facts.type} ${subject.name} ${facts.reason}`) },
      audit: new Audit(logger, this.metrics),
      metrics: authorityMetrics(this.metrics),
      issuers: this.issuers,
      secrets: this.secrets,
      authorities: this.authorities,
      peers: { of: () => this.peers, leaves: () => this.leaves },
      offers: new CaOffers({ ownSecrets, issuers, namespace: system, trustDomain: 'cluster.local' }),
      running: { get: () => undefined },
      namespace: system,
      trustDomain: 'cluster.local',
      defaultIssuer,
    });
  }

  /** What the watches would bring. */
  see(): void {
    const all = this.#kube.all(resources.secrets);
    this.secrets.replace(all.filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/managed-by'] === 'tabard'));
    this.ownSecrets.replace(all.filter(({ metadata }) => metadata.namespace === system));
    this.issuers.replace(this.#kube.all(resources.tlsissuers));
  }

  async reconcile(name = 'cluster'): Promise<void> {
    this.see();
    await this.keeper.reconcile(name, this.#signal);
    this.see();
  }
}

/** A cluster in memory with a clock, and the objects that these tests look at. */
export class KeeperBench {
  readonly kube = new MemoryKube();
  readonly clock = new StoodClock();

  replica(options: ReplicaOptions = {}): KeeperReplica {
    return new KeeperReplica(this.kube, this.clock, options);
  }

  /** A TLSIssuer, or another spec and other annotations for one that is there. */
  issuer(name: string, spec: TLSIssuerSpec, annotations: Readonly<Record<string, string>> = {}): void {
    const before = this.kube.all(resources.tlsissuers).find(({ metadata }) => metadata.name === name);
    const status = before?.status === undefined ? {} : { status: before.status };
    this.kube.seed(resources.tlsissuers, { metadata: { name, annotations }, spec, ...status });
  }

  secret(name: string): Secret | undefined {
    return this.kube.all(resources.secrets).find(({ metadata }) => metadata.name === name);
  }

  status(name = 'cluster'): TLSIssuer['status'] {
    return this.kube.all(resources.tlsissuers).find(({ metadata }) => metadata.name === name)?.status;
  }

  /** `True CanSign`, say. */
  condition(type: string, name = 'cluster'): string {
    const found = this.status(name)?.conditions?.find((condition) => condition.type === type);
    return `${found?.status} ${found?.reason}`;
  }
}

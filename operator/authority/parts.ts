// Connects the keeper of CAs to the caches and runs it: what operator/leading.ts starts on the leader.
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller } from '../../lib/kube/controller.ts';
import type { EventRecorder } from '../../lib/kube/events.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { Part } from '../../lib/runtime/lifecycle.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Metrics } from '../../lib/runtime/metrics.ts';
import type { AuditTrail } from '../audit/audit.ts';
import type { Caches } from '../caches.ts';
import { CaOffers } from '../issuers/ca/source.ts';
import type { Issuer } from '../issuers/issuer.ts';
import type { TrustSource } from '../trust/mesh.ts';
import type { Authorities } from './authority.ts';
import { authorityFeeds } from './feeds.ts';
import { AuthorityKeeper, type KeeperDeps } from './keeper.ts';
import { authorityMetrics } from './metrics.ts';
import { Peers, type PeersDeps } from './peers.ts';
import type { Waits } from './rotationview.ts';
import { SignedSerials } from './serials.ts';

/** What the parts work with and on. */
export interface AuthorityPartsDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly kubeMetrics: KubeMetrics;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly audit: AuditTrail;
  readonly stores: Pick<Caches, 'pods' | 'secrets' | 'ownSecrets' | 'issuers'>;
  readonly authorities: Authorities;
  readonly trust: TrustSource;
  readonly reports: PeersDeps['reports'];
  /** Issuers at work, of every kind; told when one may have another state. */
  readonly running: {
    get(name: string): Issuer | undefined;
    subscribe(listener: (name: string) => void): () => void;
  };
  readonly namespace: string;
  readonly trustDomain: string;
  readonly defaultIssuer: KeeperDeps['defaultIssuer'];
  /** Which CA signed certificates that lie in no Secret is noted here. */
  readonly serials?: SignedSerials;
  /** Where CAs that are kept elsewhere than in Secrets are put. */
  readonly offers?: CaOffers;
  readonly waits?: Partial<Waits>;
  /** See RotatorDeps. */
  readonly leftAt?: KeeperDeps['leftAt'];
  /** Certificates that pods have of their own. */
  readonly podCertificates?: NonNullable<PeersDeps['podCertificates']>;
  /** Further roots that issuers name. */
  readonly roots?: {
    rootFaults(issuer: string): readonly string[];
    subscribeRoots(listener: () => void): () => void;
  };
}

/** Issuers that are looked at at once: one that waits for the API server holds up no other. */
const workers = 4;

function allOf(issuers: Pick<Caches['issuers'], 'list'>, changed: (issuer: string) => void): void {
  for (const { metadata } of issuers.list()) changed(metadata.name);
}

/** The controller of all TLSIssuers, to be run once this replica leads. */
export function authorityParts(deps: AuthorityPartsDeps): Readonly<Record<'issuers', Part>> {
  const { clock, logger, stores, running, trust, reports, namespace, trustDomain } = deps;
  const { serials = new SignedSerials(), offers = new CaOffers({ ...stores, namespace, trustDomain }) } = deps;
  const { podCertificates } = deps;
  const ownCertificates = podCertificates === undefined ? {} : { podCertificates };
  const peers = new Peers({ ...stores, reports, trust, serials, clock, ...ownCertificates });
  const keeper = new AuthorityKeeper({
    ...deps,
    ...stores,
    metrics: authorityMetrics(deps.metrics),
    peers,
    offers,
    rootFaults: (issuer) => deps.roots?.rootFaults(issuer) ?? [],
  });
  const feeds = authorityFeeds({
    issuers: stores.issuers,
    secrets: stores.secrets,
    namespace,
    clock,
    peers,
    changes: [
      (changed) => offers.subscribe(changed),
      (changed) => running.subscribe(changed),
      (changed) => deps.roots?.subscribeRoots(() => allOf(stores.issuers, changed)) ?? (() => undefined),
    ],
    isRotating: (name) => keeper.isRotating(name),
  });
  const controller = new Controller({
    name: 'issuers',
    feeds,
    reconcile: (name, signal) => keeper.reconcile(name, signal),
    clock,
    logger,
    metrics: deps.kubeMetrics,
    workers,
  });
  return { issuers: (signal) => controller.run(signal) };
}

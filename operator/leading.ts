// What only the leader does: keep the CA and the issuers, the certificates, and the status of policies.
import type { Clock } from '../lib/clock.ts';
import type { KubeClient } from '../lib/kube/client.ts';
import { Controller } from '../lib/kube/controller.ts';
import type { EventRecorder } from '../lib/kube/events.ts';
import type { KubeMetrics } from '../lib/kube/metrics.ts';
import type { Part } from '../lib/runtime/lifecycle.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { Metrics } from '../lib/runtime/metrics.ts';
import { Audit } from './audit/audit.ts';
import type { ClusterAuthority } from './authority/authority.ts';
import { AuthorityKeeper } from './authority/keeper.ts';
import type { Caches } from './caches.ts';
import type { Cluster } from './certificates/cluster.ts';
import { CertificateController } from './certificates/controller.ts';
import type { ReportsView } from './certificates/governed.ts';
import { Notices } from './certificates/notices.ts';
import { Outcomes } from './certificates/outcomes.ts';
import { PolicyController } from './certificates/policies.ts';
import type { OperatorConfig } from './config.ts';
import { deliveryParts } from './delivery/parts.ts';
import { Issuers } from './issuers/issuers.ts';
import { IssuerRegistry } from './issuers/registry.ts';
import { SelfSignedIssuer } from './issuers/selfsigned.ts';
import type { TrustSource } from './trust/mesh.ts';

export interface LeadingDeps {
  readonly config: OperatorConfig;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly kubeMetrics: KubeMetrics;
  readonly events: EventRecorder;
  readonly stores: Caches;
  readonly cluster: Cluster;
  readonly authority: ClusterAuthority;
  readonly trust: TrustSource;
  readonly reports: ReportsView;
}

/** The leader's controllers by name, to be run once this replica leads. */
export function leaderParts(deps: LeadingDeps): Readonly<Record<string, Part>> {
  const { config, client, clock, logger, metrics, kubeMetrics, events, stores, cluster, authority, trust, reports } =
    deps;
  const { namespace, trustDomain, clusterDomain, defaultIssuer, minimumLifetimeMs: shortestMs } = config;
  const outcomes = new Outcomes();
  const audit = new Audit(logger, metrics);
  const shared = { client, clock, logger, kubeMetrics, stores, cluster, outcomes, audit, shortestMs };
  const registry = new IssuerRegistry({ issuers: stores.issuers, factories: {}, logger });
  const issuersByName = new Issuers({
    objects: stores.issuers,
    cluster: new SelfSignedIssuer(authority),
    running: registry,
    trust,
  });
  const keeper = new AuthorityKeeper({
    ...shared,
    ...stores,
    events,
    authority,
    namespace,
    trustDomain,
    defaultIssuer,
  });
  const issuers = new Controller({
    name: 'issuers',
    feeds: keeper.feeds(),
    reconcile: (name, signal) => keeper.reconcile(name, signal),
    clock,
    logger,
    metrics: kubeMetrics,
  });
  const certificates = new CertificateController({
    ...shared,
    metrics,
    issuers: issuersByName,
    changes: [
      (again) => authority.subscribe(again),
      (again) => trust.subscribe(again),
      (again) => registry.subscribe(again),
    ],
    notices: new Notices(events),
    trustDomain,
    clusterDomain,
  });
  const policies = new PolicyController({ ...shared, events, reports });
  return {
    'issuers at work': (signal) => registry.run(signal),
    issuers: (signal) => issuers.run(signal),
    certificates: (signal) => certificates.run(signal),
    policies: (signal) => policies.run(signal),
    ...deliveryParts({ client, clock, logger, kubeMetrics, events, stores, trust }),
  };
}

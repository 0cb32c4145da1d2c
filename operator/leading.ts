// What only the leader does: keep the CA and the issuers, the certificates, and the status of policies.
import { names, VERSION } from '../lib/api/contract.ts';
import type { Clock } from '../lib/clock.ts';
import type { KubeClient } from '../lib/kube/client.ts';
import type { EventRecorder } from '../lib/kube/events.ts';
import { onSpecChange } from '../lib/kube/feed.ts';
import type { KubeMetrics } from '../lib/kube/metrics.ts';
import type { Part } from '../lib/runtime/lifecycle.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { Metrics } from '../lib/runtime/metrics.ts';
import { Audit } from './audit/audit.ts';
import type { Authorities } from './authority/authority.ts';
import { authorityParts } from './authority/parts.ts';
import { Peers } from './authority/peers.ts';
import type { Waits } from './authority/rotationview.ts';
import { SignedSerials } from './authority/serials.ts';
import type { Caches } from './caches.ts';
import type { Cluster } from './certificates/cluster.ts';
import { CertificateController } from './certificates/controller.ts';
import { EdgeController } from './certificates/edge/controller.ts';
import { EdgeOutcomes } from './certificates/edge/outcomes.ts';
import { Notices } from './certificates/notices.ts';
import { Outcomes } from './certificates/outcomes.ts';
import { Owners } from './certificates/owners.ts';
import { PolicyController } from './certificates/policies.ts';
import { UngovernedCallers } from './certificates/ungoverned.ts';
import type { OperatorConfig } from './config.ts';
import type { Reports } from './control/report.ts';
import { deliveryParts } from './delivery/parts.ts';
import { SinkOutcomes } from './delivery/sinks/outcomes.ts';
import { acmeFactory } from './issuers/acme/factory.ts';
import { CaOffers } from './issuers/ca/source.ts';
import { Issuers } from './issuers/issuers.ts';
import { type IssuerFactory, IssuerRegistry } from './issuers/registry.ts';
import { remoteFactories } from './issuers/remote.ts';
import { createAuthorityIssuer, SelfSignedIssuer } from './issuers/selfsigned.ts';
import { JwksKeeper } from './jwks/keeper.ts';
import { JwksStandings } from './jwks/standings.ts';
import type { PodCertificates } from './podcertificates/issued.ts';
import { SignerNotices } from './podcertificates/notices.ts';
import { PodCertificateSigner } from './podcertificates/signer.ts';
import type { RevocationBook } from './revocation/book.ts';
import { RevocationController } from './revocation/controller.ts';
import { CrlAuthorities } from './revocation/crl/authorities.ts';
import { CrlKeeper } from './revocation/crl/keeper.ts';
import { distributionPoints } from './revocation/crl/points.ts';
import { listAuthorities } from './revocation/imports/authorities.ts';
import { CrlImporter } from './revocation/imports/importer.ts';
import { UpstreamRevoker } from './revocation/upstream/controller.ts';
import { RuleStatusController } from './rules/controller.ts';
import type { MeshTrust } from './trust/mesh.ts';
import { recordFederation } from './trust/trail.ts';

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
  readonly authorities: Authorities;
  readonly trust: MeshTrust;
  readonly reports: Reports;
  readonly podCertificates: PodCertificates;
  readonly revocations: RevocationBook;
  /** When a leader before this one was last heard of: what it wrote last may not be on record. */
  readonly leftAt?: () => Date | undefined;
  /** Waiting times of rotations, where they are not the usual ones. */
  readonly waits?: Partial<Waits>;
}

/** The leader's controllers by name, to be run once this replica leads. */
export function leaderParts(deps: LeadingDeps): Readonly<Record<string, Part>> {
  const { config, client, clock, logger, metrics, kubeMetrics, events, stores, cluster, authorities, trust, reports } =
    deps;
  const { namespace, trustDomain, clusterDomain, defaultIssuer, minimumLifetimeMs: shortestMs } = config;
  const outcomes = new Outcomes();
  const audit = new Audit(logger, metrics);
  const { leftAt } = deps;
  const shared = { client, clock, logger, kubeMetrics, stores, cluster, outcomes, audit, shortestMs, leftAt };
  const authority = authorities.of(names.defaultIssuer);
  const pointOf = distributionPoints(stores.issuers, { namespace, clusterDomain });
  const ofAuthority: IssuerFactory = ({ metadata: { name } }, changed) =>
    createAuthorityIssuer(authorities.of(name), changed, pointOf(name));
  const serials = new SignedSerials();
  deps.podCertificates.subscribe(
    ({ serial, issuer, keyId }) => keyId !== undefined && serials.note(serial, issuer, keyId),
  );
  const peers = new Peers({ ...stores, reports, trust, serials, podCertificates: deps.podCertificates, clock });
  const remote = remoteFactories({ config, client, clock, logger, kubeMetrics, stores, peers });
  const acme = acmeFactory({ ...shared, ...stores, reports, namespace });
  const factories = { selfSigned: ofAuthority, ca: ofAuthority, acme, ...remote };
  const registry = new IssuerRegistry({ issuers: stores.issuers, factories, logger });
  const issuersByName = new Issuers({
    objects: stores.issuers,
    cluster: new SelfSignedIssuer(authority, pointOf(names.defaultIssuer)),
    running: registry,
    trust,
  });
  const offers = new CaOffers({ ...stores, namespace, trustDomain });
  const keeping = authorityParts({
    ...shared,
    offers,
    metrics,
    events,
    authorities,
    trust,
    reports,
    running: registry,
    serials,
    podCertificates: deps.podCertificates,
    roots: trust,
    namespace,
    trustDomain,
    defaultIssuer,
    waits: { filesMs: config.fileDeliveryMs, ...deps.waits },
  });
  const issuerChanges = [
    (again: () => void) => authority.subscribe(again),
    (again: () => void) => trust.subscribe(again),
    (again: () => void) => registry.subscribe(again),
    (again: () => void) => onSpecChange(stores.baselines, again),
  ];
  const certificates = new CertificateController({
    ...shared,
    metrics,
    issuers: issuersByName,
    changes: issuerChanges,
    notices: new Notices(events),
    revocations: deps.revocations,
    trustDomain,
    clusterDomain,
  });
  const podCertificates = new PodCertificateSigner({
    ...shared,
    issuers: issuersByName,
    certificates: deps.podCertificates,
    notices: new SignerNotices(events, metrics),
    trustDomain,
    clusterDomain,
    revokedWhy: (identity) => {
      const by = deps.revocations.byIdentity(identity);
      return by === undefined ? undefined : `${identity} is revoked by TLSRevocation "${by}"`;
    },
    changes: issuerChanges,
  });
  const edges = new EdgeOutcomes();
  const sinkOutcomes = new SinkOutcomes();
  const edge = new EdgeController({
    ...shared,
    metrics,
    issuers: issuersByName,
    changes: issuerChanges,
    reports,
    owners: new Owners(client, clock),
    outcomes: edges,
    events,
    revocations: deps.revocations,
    trustDomain,
    clusterDomain,
  });
  const revocations = new RevocationController({
    ...shared,
    ...stores,
    events,
    reports,
    book: deps.revocations,
    trustDomain,
  });
  const upstream = new UpstreamRevoker({
    ...shared,
    ...stores,
    events,
    book: deps.revocations,
    podCertificates: deps.podCertificates,
    signers: issuersByName,
  });
  const crls = new CrlKeeper({
    ...shared,
    book: deps.revocations,
    authorities: new CrlAuthorities(stores.secrets, namespace, trustDomain),
    secrets: stores.secrets,
    configMaps: stores.ownConfigMaps,
    namespace,
  });
  const importer = new CrlImporter({
    ...shared,
    events,
    issuers: stores.issuers,
    configMaps: stores.ownConfigMaps,
    namespace,
    authoritiesOf: (issuer) => listAuthorities(issuer, { secrets: stores.secrets, authorities }),
  });
  const tokenKeys = new JwksStandings();
  const jwks = new JwksKeeper({
    ...shared,
    policies: stores.policies,
    configMaps: stores.ownConfigMaps,
    namespace,
    standings: tokenKeys,
    reports,
    userAgent: `${names.operator}/${VERSION}`,
    hosts: config.jwksHosts,
  });
  const policies = new PolicyController({
    ...shared,
    certificates: deps.podCertificates,
    events,
    reports,
    issuers: issuersByName,
    edges,
    sinkOutcomes,
    tokenKeys,
    rules: stores,
  });
  const ungoverned = new UngovernedCallers({ ...shared, reports });
  const rules = new RuleStatusController({ ...shared, events });
  return {
    'issuers at work': (signal) => registry.run(signal),
    ...keeping,
    certificates: (signal) => certificates.run(signal),
    'pod certificates': (signal) => podCertificates.run(signal),
    'trail of federation': (signal) => recordFederation(trust, audit, signal),
    'edge certificates': (signal) => edge.run(signal),
    policies: (signal) => policies.run(signal),
    'callers of services without a policy': (signal) => ungoverned.run(signal),
    'token keys': (signal) => jwks.run(signal),
    'baselines and roles': (signal) => rules.run(signal),
    revocations: (signal) => revocations.run(signal),
    'upstream revocations': (signal) => upstream.run(signal),
    'revocation lists': (signal) => crls.run(signal),
    'imported revocation lists': (signal) => importer.run(signal),
    ...deliveryParts({ ...shared, config, metrics, events, trust, offers, sinkOutcomes }),
  };
}

// Constructs the operator and connects its parts; the only place that does. Every replica keeps the caches and serves the
// control API; the one that holds the lease also writes. Stop order: watches, controllers, lease, events, servers.
import { GROUP, names, spiffeId, VERSION } from '../lib/api/contract.ts';
import { systemClock } from '../lib/clock.ts';
import { startAdmin } from '../lib/http/admin.ts';
import { EventRecorder } from '../lib/kube/events.ts';
import { LeaderElector } from '../lib/kube/leader.ts';
import { kubeMetrics as declareKubeMetrics } from '../lib/kube/metrics.ts';
import { resources } from '../lib/kube/resources.ts';
import { connect } from '../lib/kube/rest.ts';
import { Lifecycle } from '../lib/runtime/lifecycle.ts';
import { createLogger } from '../lib/runtime/logger.ts';
import { Metrics } from '../lib/runtime/metrics.ts';
import { aborted, orAborted } from '../lib/runtime/signals.ts';
import { Authorities } from './authority/authority.ts';
import { createCaches } from './caches.ts';
import { Cluster } from './certificates/cluster.ts';
import type { OperatorConfig } from './config.ts';
import { ReportStore } from './control/report.ts';
import { type ControlServer, startControlServer } from './control/server.ts';
import { ChallengeBoard } from './issuers/acme/board.ts';
import { leaderParts } from './leading.ts';
import { PodCertificates } from './podcertificates/issued.ts';
import { ClusterRanges } from './ranges.ts';
import { RevocationBook } from './revocation/book.ts';
import { startCrlServer } from './revocation/crl/server.ts';
import { ImportedLists } from './revocation/imports/store.ts';
import { observeRevocations } from './revocation/metrics.ts';
import { ServingCertificate } from './serving.ts';
import { MeshTrust } from './trust/mesh.ts';
import { retiredRoots } from './trust/retired.ts';
import { meshComplete, meshFrom } from './view.ts';

/** Clients of the control API are sent to the other replica over this long before a replica ends. */
const drainMs = 10_000;

/** Everything, constructed and connected, nothing running. */
function construct(config: OperatorConfig) {
  const clock = systemClock;
  const logger = createLogger({ name: 'operator', level: config.logLevel });
  const metrics = new Metrics();
  metrics.collectProcess();
  const kubeMetrics = declareKubeMetrics(metrics);
  const { namespace, podName, trustDomain, clusterDomain, kubeconfig } = config;
  const connection = connect({
    userAgent: `${names.operator}/${VERSION}`,
    clock,
    metrics: kubeMetrics,
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
  });
  const kube = { client: connection.client, clock, logger, metrics: kubeMetrics };
  const caches = createCaches({ ...kube, namespace });
  const { stores } = caches;
  const authorities = new Authorities(namespace, trustDomain);
  authorities.follow(stores.secrets);
  const authority = authorities.of(names.defaultIssuer);
  const trust = new MeshTrust({
    authority,
    issuers: stores.issuers,
    logger,
    roots: { configMaps: stores.ownConfigMaps, namespace, trustDomain, clock },
  });
  trust.follow();
  const mine = { clock, logger, namespace, trustDomain, clusterDomain };
  const events = new EventRecorder({ ...kube, controller: `${GROUP}/operator`, instance: podName });
  const reports = new ReportStore(clock);
  const cluster = new Cluster(stores);
  const podCertificates = new PodCertificates();
  podCertificates.follow(stores.podCertificateRequests, stores.pods);
  const lists = new ImportedLists(stores.ownConfigMaps, stores.issuers);
  const revocations = new RevocationBook({
    ...stores,
    reports,
    clock,
    lists,
    ownIdentity: spiffeId(trustDomain, namespace, names.operator),
    silentMs: () => caches.silentMs(resources.tlsrevocations),
  });
  revocations.follow();
  lists.follow();
  const lease = { namespace, name: names.operator, identity: podName, leaseMs: config.leaseMs };
  const elector = new LeaderElector({ ...kube, ...lease });
  observeRevocations(metrics, { book: revocations, configMaps: stores.ownConfigMaps });
  return {
    config,
    clock,
    logger,
    metrics,
    connection,
    caches,
    stores,
    events,
    reports,
    trust,
    elector,
    leading: leaderParts({
      ...kube,
      config,
      metrics,
      kubeMetrics,
      events,
      stores,
      cluster,
      authorities,
      trust,
      reports,
      podCertificates,
      revocations,
      leftAt: () => elector.leftAt,
    }),
    revocations,
    mesh: meshFrom({ ...mine, stores }),
    ranges: new ClusterRanges({ ...stores, clock, configured: config.clusterRanges }),
    serving: new ServingCertificate({ ...mine, authority, trust }),
  };
}

type Operator = ReturnType<typeof construct>;

/** Runs the operator until it is told to stop; the exit code. Rejects when it cannot start at all. */
export async function runOperator(config: OperatorConfig): Promise<0 | 1> {
  const operator = construct(config);
  const { logger, connection, caches, elector, leading, events, ranges, serving } = operator;
  const life = new Lifecycle({ logger });
  const watches = life.stage('watches');
  const controllers = life.stage('controllers');
  const lease = life.stage('lease');
  const eventing = life.stage('events');
  const servers = life.stage('servers');

  let control: ControlServer | undefined;
  const notReady = (): readonly string[] => [
    ...(life.stopping.aborted ? ['stopping'] : []),
    ...caches.notReady(),
    ...(control === undefined ? ['control API: not listening yet'] : []),
  ];
  servers.run('admin', (signal) => serveAdmin(operator, notReady, signal));
  servers.run('revocation lists', (signal) => serveLists(operator, signal));
  servers.run('serving certificate', (signal) => serving.run(signal));
  servers.run('control API', (signal) => serveControl(operator, signal, (server) => (control = server)));
  eventing.run('events', (signal) => events.run(signal));
  caches.start(watches);
  watches.run('ranges', (signal) => ranges.run(signal));
  watches.run('revocations', (signal) => operator.revocations.run(signal));
  lease.run('leader lease', (signal) => elector.run(signal));
  for (const [name, part] of Object.entries(leading)) {
    controllers.run(name, async (signal) => {
      await orAborted(elector.acquired, signal);
      await part(signal);
    });
  }
  const leave = life.onSignals(process);
  const code = await life.finished();
  leave();
  connection.close();
  return code;
}

async function serveAdmin(
  { config, metrics, logger }: Operator,
  notReady: () => readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const admin = await startAdmin({ notReady, metrics }, config.adminPort);
  logger.info({ port: admin.port }, 'admin server listening');
  await aborted(signal);
  await admin.close();
}

async function serveLists({ config, clock, logger, stores }: Operator, signal: AbortSignal): Promise<void> {
  const { namespace, crlPort } = config;
  const server = await startCrlServer({ configMaps: stores.ownConfigMaps, namespace, clock }, { port: crlPort });
  logger.info({ port: server.port }, 'revocation lists are served');
  await aborted(signal);
  await server.close();
}

/** The control API begins once the mesh is complete: before, it would say that nobody is in it. */
async function serveControl(
  { config, clock, logger, metrics, stores, mesh, reports, revocations, ranges, serving, trust }: Operator,
  signal: AbortSignal,
  listening: (server: ControlServer) => void,
): Promise<void> {
  await meshComplete(mesh, stores, signal);
  await Promise.all([stores.ownConfigMaps, stores.issuers].map((store) => store.synced(signal)));
  await revocations.complete(signal);
  await trust.complete(signal);
  await orAborted(serving.first, signal);
  const server = await startControlServer({
    mesh,
    reports,
    revocations: {
      current: () => revocations.current(),
      find: (subject) => revocations.find(subject),
      subscribe: (listener) => revocations.subscribe((listChanged) => listChanged && listener()),
    },
    clock,
    logger,
    metrics,
    certificates: serving.source,
    trustDomain: config.trustDomain,
    retired: () => retiredRoots(stores.issuers.list()),
    federated: () => trust.federated(),
    clusterRanges: () => ranges.current(),
    challenges: new ChallengeBoard(stores.ownSecrets, config.namespace, clock),
    listen: { port: config.controlPort },
    replicas: { service: `${config.namespace}/${names.operator}`, portName: 'control' },
  });
  listening(server);
  const leaves = [ranges.subscribe(() => server.selfChanged()), trust.subscribeRoots(() => server.selfChanged())];
  await aborted(signal);
  for (const leave of leaves) leave();
  await server.stop({ drainMs });
}

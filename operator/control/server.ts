// The control API (design section 4, docs/control-api.md): HTTP/2 over mTLS, snapshots pushed to sidecars, their reports taken in.
// Puts its parts together, starts and stops them; the rules are in the parts.
import type { SelfSnapshot } from '../../lib/api/control.ts';
import type { RevocationSnapshot, RevocationSubject } from '../../lib/api/revocations.ts';
import type { Clock } from '../../lib/clock.ts';
import { identityOf } from '../../lib/pki/identity.ts';
import type { CertificateSource } from '../../lib/runtime/credentials.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Metrics } from '../../lib/runtime/metrics.ts';
import type { ChallengeBoard } from '../issuers/acme/board.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { PodBook } from './book.ts';
import type { SessionDeps } from './deps.ts';
import { Fleet } from './fleet.ts';
import { Front } from './front.ts';
import { type ControlLimits, controlLimits } from './limits.ts';
import { Members } from './members.ts';
import { controlMetrics, observeControl } from './metrics.ts';
import { Refusals } from './refusals.ts';
import { informReplicas } from './replicas.ts';
import type { ReportStore } from './report.ts';
import { type SelfSources, selfContent } from './self.ts';
import { ControlSession } from './session.ts';
import { Topics } from './topics.ts';

export interface ControlServerDeps {
  readonly mesh: Mesh;
  /** The operator's own certificate; its trust bundle is what clients are verified with and what sidecars are told to trust. */
  readonly certificates: CertificateSource;
  readonly reports: ReportStore;
  /** Who is revoked; nobody, where it is not given. */
  readonly revocations?: RevocationFeed;
  /** What sidecars answer to ACME CAs; nothing, where it is not given. */
  readonly challenges?: Pick<ChallengeBoard, 'of' | 'subscribe'>;
  readonly trustDomain: string;
  /** CAs that left the bundle in good order; none, where it is not given. */
  retired?(): readonly string[];
  /** Other trust domains whose members may be clients of pods; none, where it is not given. */
  federated?(): NonNullable<SelfSnapshot['federated']>;
  /** CIDRs of the cluster's pods and Services, as known now. */
  clusterRanges(): readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Port 0 takes any free one. Without a host: all addresses of both families. */
  readonly listen: { readonly host?: string; readonly port: number };
  readonly limits?: Partial<ControlLimits>;
  /** The Service of the control API by key (`namespace/name`) and port name, by which replicas find each other. */
  readonly replicas?: { readonly service: string; readonly portName: string };
}

/** Who is revoked, as the control API tells and judges it (operator/revocation/book.ts). */
export interface RevocationFeed {
  current(): Omit<RevocationSnapshot, 'version'>;
  /** What of a holder is revoked; undefined when nothing is. */
  find(subject: RevocationSubject): string | undefined;
  /** Told, synchronously, of each change of `current`. Returns the function that ends it. */
  subscribe(listener: () => void): () => void;
}

const noRevocations: RevocationFeed = {
  current: () => ({ number: 0, entries: [], lists: [] }),
  find: () => undefined,
  subscribe: () => () => undefined,
};

/** Who is revoked is told so before its connection ends, so that it cuts its own side, too. Milliseconds. */
const lastWordMs = 250;

/** A running control API. */
export interface ControlServer {
  readonly port: number;
  /** What every pod is told of itself is something else now: the cluster's ranges, other trust domains. */
  selfChanged(): void;
  /** Takes no more clients, sends the present ones to another replica evenly over `drainMs`, then closes what is left. */
  stop(options: { readonly drainMs: number }): Promise<void>;
}

/**
 * Starts the control API. Call it once the mesh has seen the first complete lists, else clients would be told that nothing is
 * in the mesh. Throws AppError `pki_invalid` while there is no certificate; rejects when the port cannot be had.
 */
export async function startControlServer(deps: ControlServerDeps): Promise<ControlServer> {
  const { mesh, clock, metrics, reports } = deps;
  const logger = deps.logger.child({ part: 'control' });
  const ending = new AbortController();
  const { signal } = ending;
  const parts = assemble(deps, logger, signal);
  const { front, fleet, topics, book } = parts;
  const leaveRevocations = followRevocations(deps, parts, signal);
  const leaveChallenges = deps.challenges?.subscribe(({ namespace, service }) =>
    topics.selfChanged((pod) => pod.namespace === namespace && pod.service === service),
  );
  const leaveMesh = mesh.subscribe((touched) => {
    fleet.touched(touched);
    for (const uid of touched.pods) if (mesh.pod(uid) === undefined) reports.forget(uid);
  });
  observeControl(metrics, { mesh, topics, sessions: () => fleet.size, streams: () => book.streams() });
  const port = await front.listen(deps.listen);
  const running = Promise.all([fleet.run(clock, signal), passOn(deps, logger, signal)]);
  logger.info({ port }, 'control API listening');
  return {
    port,
    selfChanged: () => topics.selfChanged(),
    stop: async ({ drainMs }) => {
      front.close();
      logger.info({ clients: fleet.size, drainMs }, 'control API stopping');
      await fleet.drain(drainMs, clock, signal);
      leaveMesh();
      leaveRevocations();
      leaveChallenges?.();
      ending.abort();
      front.cut();
      await running;
    },
  };
}

/** A change is told to everyone; then those of whom it is are sent away. */
function followRevocations(
  { revocations = noRevocations, clock }: ControlServerDeps,
  { front, fleet, topics }: Parts,
  signal: AbortSignal,
): () => void {
  // Chains and times are as they were: judging those again would keep a large fleet waiting for nothing.
  const judgeAll = (): void => fleet.judgeAgain(({ client }) => front.judgeRevocation(client));
  return revocations.subscribe(() => {
    front.forgetSessions();
    topics.revocationsChanged();
    clock.sleep(lastWordMs, signal).then(judgeAll, () => undefined);
  });
}

/** Tells the other replicas of the reports that come in here. */
async function passOn(deps: ControlServerDeps, logger: Logger, signal: AbortSignal): Promise<void> {
  const { mesh, certificates, reports, clock, replicas } = deps;
  if (replicas === undefined) return;
  const addresses = () => mesh.readyEndpoints(replicas.service, replicas.portName);
  await informReplicas({ certificates, reports, clock, logger, addresses }, signal);
}

interface Parts {
  readonly front: Front;
  readonly fleet: Fleet;
  readonly topics: Topics;
  readonly book: PodBook<ControlSession>;
}

/** The parts, knowing each other. `topics` is asked of only after a client came in or trust changed, so never before it is there. */
function assemble(deps: ControlServerDeps, logger: Logger, signal: AbortSignal): Parts {
  const { mesh, clock, reports, trustDomain, revocations = noRevocations } = deps;
  const limits = { ...controlLimits, ...deps.limits };
  const metrics = controlMetrics(deps.metrics);
  const refusals = new Refusals({ logger, counter: metrics.refusals, clock });
  const fleet = new Fleet();
  const book = new PodBook<ControlSession>(limits);
  const front = new Front({
    certificates: deps.certificates,
    trustDomain,
    revoked: (subject) => revocations.find(subject),
    limits,
    refusals,
    clock,
    admitted: (socket, of) => fleet.add(new ControlSession(socket, of, sessionDeps)),
    trustChanged: () => {
      topics.selfChanged();
      fleet.judgeAgain(({ client }) => front.judge(client.certificate));
    },
  });
  const sources: SelfSources = {
    mesh,
    trustDomain,
    trustBundle: () => front.trustBundle,
    retired: () => deps.retired?.() ?? [],
    federated: () => deps.federated?.() ?? [],
    clusterRanges: () => deps.clusterRanges(),
    challenges: (pod) => deps.challenges?.of(pod) ?? [],
  };
  const topics = new Topics({
    mesh,
    selfOf: (pod) => selfContent(sources, pod),
    revocations: () => revocations.current(),
    clock,
    logger,
    signal,
  });
  const members = new Members({ mesh, clock, waitMs: limits.podWaitMs, signal });
  const closed = (session: ControlSession): void => fleet.delete(session);
  const isReplica = (identity: string): boolean => {
    const own = deps.certificates.current();
    return own !== undefined && identityOf(own.leaf) === identity;
  };
  const shared = { mesh, topics, members, book, reports, refusals, metrics, isReplica };
  const sessionDeps: SessionDeps = { ...shared, limits, clock, logger, signal, closed };
  return { front, fleet, topics, book };
}

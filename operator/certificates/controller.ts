// Keeps every service's certificate as it should be: gather -> plan -> execute, one service at a time each, paced over all.
// What a look came to goes to `outcomes`, from which status and metrics are made. Runs on the leader alone.
import type { Clock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube, KubeError } from '../../lib/kube/errors.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Metrics } from '../../lib/runtime/metrics.ts';
import type { AuditTrail } from '../audit/audit.ts';
import { Unrecorded } from '../audit/unrecorded.ts';
import { Passwords } from '../delivery/passwords.ts';
import { PasswordWatch } from '../delivery/passwordwatch.ts';
import type { Issuers } from '../issuers/issuers.ts';
import { OpenOrders } from '../issuers/orders.ts';
import { Advice } from './advice.ts';
import type { Cluster } from './cluster.ts';
import { type Executed, Executor } from './execute.ts';
import { type CertificateStores, certificateFeeds, everything } from './feeds.ts';
import { type Gathered, Gatherer, type RevocationLookup, secretKeyOf } from './gather.ts';
import { type CertificateMetrics, type CertificateTimes, certificateMetrics } from './metrics.ts';
import type { Notices } from './notices.ts';
import { failureOf, type Outcomes } from './outcomes.ts';
import { Owners } from './owners.ts';
import { Pacer } from './pacer.ts';
import { type Action, type Plan, planFor } from './plan.ts';
import { RecentSecrets } from './recent.ts';
import { wantedKey } from './snapshot.ts';
import { deletedRecord, failedRecord, issuedRecord, refusedRecord } from './trail.ts';

/** What the controller works with and on. */
export interface CertificateDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly metrics: Metrics;
  readonly stores: CertificateStores;
  readonly cluster: Cluster;
  readonly issuers: Issuers;
  /** Subscriptions to what may change every certificate: the CA, the mesh's bundle, the issuers. Each returns its end. */
  readonly changes: readonly ((again: () => void) => () => void)[];
  /** Who is revoked, and the keys of services for which that changes. */
  readonly revocations?: RevocationLookup & { touched(listener: (keys: Iterable<string>) => void): () => void };
  readonly outcomes: Outcomes;
  readonly notices: Notices;
  readonly audit: AuditTrail;
  /** When a leader before this one was last heard of; undefined = nothing is made good of the trail of others. */
  readonly leftAt?: (() => Date | undefined) | undefined;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  /** Lowest lifetime of a leaf, milliseconds. */
  readonly shortestMs: number;
}

/** Services that are looked at at once; signing itself is paced apart from it. */
const workers = 32;

/** The controller of all certificates. `run` once. */
export class CertificateController {
  readonly #deps: CertificateDeps;
  readonly #recent: RecentSecrets;
  readonly #orders: OpenOrders;
  readonly #passwordWatch: PasswordWatch;
  readonly #advice: Advice;
  readonly #gatherer: Gatherer;
  readonly #executor: Executor;
  readonly #pacer: Pacer;
  readonly #controller: Controller;
  readonly #metrics: CertificateMetrics;
  readonly #unrecorded: Unrecorded;

  constructor(deps: CertificateDeps) {
    this.#deps = deps;
    const { client, clock, logger, stores, cluster } = deps;
    this.#recent = new RecentSecrets(stores.secrets, clock);
    this.#advice = new Advice(clock, logger);
    this.#unrecorded = new Unrecorded(deps.audit);
    this.#passwordWatch = new PasswordWatch({
      ...deps,
      changed: (namespace, name) => {
        passwords.forget(namespace, name);
        for (const key of cluster.servicesIn(namespace)) this.#controller.enqueue(key);
      },
    });
    const passwords = new Passwords(client, clock, this.#passwordWatch);
    this.#orders = new OpenOrders({ ...deps, changed: (key) => this.#controller.enqueue(key) });
    this.#gatherer = new Gatherer({
      ...deps,
      orders: this.#orders,
      advice: this.#advice,
      secrets: this.#recent,
      owners: new Owners(client, clock),
      passwords,
    });
    this.#executor = new Executor({ ...deps, orders: this.#orders });
    this.#pacer = new Pacer(clock, (key) => this.#controller.enqueue(key));
    this.#metrics = certificateMetrics(
      deps.metrics,
      () => this.#times(),
      () => this.#pacer.waiting,
    );
    this.#controller = new Controller({
      name: 'certificates',
      feeds: certificateFeeds(stores, cluster, (secret) => this.#gatherer.knows(secret)),
      reconcile: (key, signal) => this.#reconcile(key, signal),
      clock,
      logger,
      metrics: deps.kubeMetrics,
      workers,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { changes, stores, cluster, leftAt } = this.#deps;
    await stores.secrets.synced(signal);
    const left = leftAt?.();
    if (left !== undefined) this.#unrecorded.takeOver(stores.secrets.list(), left);
    const again = (): void => {
      for (const key of everything(stores, cluster)) this.#controller.enqueue(key);
    };
    const ends = [this.#recent.follow(), ...changes.map((subscribe) => subscribe(again))];
    const leave = this.#deps.revocations?.touched((keys) => {
      for (const key of keys) this.#controller.enqueue(key);
    });
    if (leave !== undefined) ends.push(leave);
    try {
      await Promise.all([this.#controller.run(signal), this.#passwordWatch.run(signal)]);
    } finally {
      for (const end of ends) end();
      await this.#orders.close();
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    let waits = false;
    try {
      const gathered = await this.#gatherer.gather(key, this.#deps.outcomes.failure(key), signal);
      this.#unrecorded.look(key, gathered.secret);
      const plan = planFor(gathered.snapshot);
      this.#note(key, gathered, plan);
      const { action } = plan;
      if (action.kind !== 'issue' && plan.keepsOrder !== true) this.#orders.drop(key);
      if (action.kind === 'keep') return this.#later(key, plan);
      waits = action.kind === 'issue' && !this.#pacer.ask(key, expiresMs(gathered));
      if (waits) return undefined;
      return await this.#execute(action, gathered, signal);
    } finally {
      if (!waits) this.#pacer.done(key);
    }
  }

  async #execute(
    action: Exclude<Action, { kind: 'keep' }>,
    gathered: Gathered,
    signal: AbortSignal,
  ): Promise<ReconcileResult> {
    const { key } = gathered.snapshot;
    const startedMs = this.#deps.clock.now().getTime();
    try {
      const executed = await this.#executor.execute(action, gathered, signal);
      this.#done(action, gathered, executed, startedMs);
    } catch (error) {
      signal.throwIfAborted();
      this.#recent.drop(secretKeyOf(key));
      if (isKube(error, 'Unavailable')) this.#unrecorded.doubt(key, startedMs);
      // Two writers met: the queue's own short back-off brings the newer state.
      if (isKube(error, 'Conflict')) throw error;
      this.#failed(action, gathered, error);
    }
    // Another look, at what is there now: it says when to come back.
    return { after: 0 };
  }

  #done(action: Action, gathered: Gathered, executed: Executed, startedMs: number): void {
    const { outcomes, logger, notices, audit, clock } = this.#deps;
    const { key } = gathered.snapshot;
    if (executed.kind === 'foreign') this.#gatherer.noteForeign(key);
    if (executed.kind === 'written' || executed.kind === 'overtaken')
      this.#recent.note(secretKeyOf(key), executed.secret);
    if (executed.kind === 'written' && executed.made !== undefined)
      this.#gatherer.noteWritten(executed.secret, executed.made, executed.made.trustBundle);
    if (executed.kind !== 'written' && executed.kind !== 'deleted') return;
    outcomes.succeeded(key);
    const ms = clock.now().getTime() - startedMs;
    if (action.kind !== 'issue' || executed.kind !== 'written' || executed.leaf === undefined) {
      logger.info(
        { service: key, action: action.kind, reason: 'reason' in action ? action.reason : '', ms },
        'certificate secret changed',
      );
      if (action.kind === 'delete') audit.record(deletedRecord(gathered, action.reason, action.message));
      return;
    }
    this.#unrecorded.settle(key);
    const { serial, notAfter } = executed.leaf;
    this.#metrics.issued.inc({ reason: action.reason });
    this.#metrics.issueSeconds.observe(ms / 1_000);
    logger.info(
      { service: key, reason: action.reason, why: action.message, serial, notAfter: notAfter.toISOString(), ms },
      'certificate issued',
    );
    audit.record(issuedRecord(gathered, action, executed.leaf));
    notices.issued(gathered, action.reason, executed.leaf);
  }

  #failed(action: Action, gathered: Gathered, error: unknown): void {
    const { outcomes, logger, notices, audit, clock } = this.#deps;
    const { snapshot } = gathered;
    const { key } = snapshot;
    const wanted = action.kind === 'issue' ? wantedKey(action.wanted) : action.kind;
    const failure = outcomes.failed(key, failureOf(error, wanted, clock.now()));
    const code = error instanceof KubeError ? error.kind : error instanceof AppError ? error.code : 'unknown';
    this.#metrics.failures.inc({ code });
    logger.warn({ service: key, action: action.kind, failures: failure.count, err: error }, 'certificate not written');
    audit.record(failedRecord(gathered, failure, code));
    notices.failed(gathered, failure);
  }

  #note(key: string, gathered: Gathered, { blocked, renewAt }: Plan): void {
    const { outcomes, notices, audit } = this.#deps;
    const { current, pods, failure } = gathered.snapshot;
    const before = outcomes.get(key)?.blocked;
    const isNews =
      blocked?.reason === 'OrderPending' ? before?.message !== blocked.message : before?.reason !== blocked?.reason;
    if (blocked !== undefined && isNews) {
      notices.blocked(gathered, blocked);
      // Somebody has still to decide.
      if (blocked.reason !== 'OrderPending') audit.record(refusedRecord(gathered, blocked));
    }
    const isThere = pods > 0 || current.kind !== 'absent';
    outcomes.note(key, isThere ? { current, blocked, renewAt, failure } : undefined);
  }

  #later(key: string, { nextCheck }: Plan): ReconcileResult {
    const times = [nextCheck?.getTime(), this.#advice.dueMs(key)].filter((at) => at !== undefined);
    if (times.length === 0) return undefined;
    return { after: Math.max(1, Math.min(...times) - this.#deps.clock.now().getTime()) };
  }

  *#times(): Iterable<CertificateTimes> {
    for (const [key, { current, renewAt }] of this.#deps.outcomes.entries()) {
      const [namespace = '', service = ''] = key.split('/');
      if (current.kind !== 'held' || renewAt === undefined) continue;
      yield { namespace, service, notAfter: current.facts.notAfter, renewAt };
    }
  }
}

/** The order of issuing: the soonest to expire first, and before those what pods wait for and what is refused everywhere. */
function expiresMs({ snapshot: { current, now, revoked } }: Gathered): number {
  if (revoked !== undefined) return 0;
  return current.kind === 'held' && current.facts.notAfter > now ? current.facts.notAfter.getTime() : 0;
}

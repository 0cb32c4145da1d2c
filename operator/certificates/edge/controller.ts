// Keeps the edge certificate of every service whose policy asks for one: gather -> plan -> order -> write. Few at a time: each order
// has a CA come to look. Runs on the leader alone.
import { fieldManagers } from '../../../lib/api/contract.ts';
import type { OwnerReference, TLSPolicy } from '../../../lib/api/tlspolicy.ts';
import type { Clock } from '../../../lib/clock.ts';
import { AppError } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../../lib/kube/controller.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import { type EventFacts, type EventRecorder, subjectOf } from '../../../lib/kube/events.ts';
import type { KubeMetrics } from '../../../lib/kube/metrics.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { generateKey, privateKeyPem } from '../../../lib/pki/keys.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import type { Metrics } from '../../../lib/runtime/metrics.ts';
import { type AuditTrail, askedByObject, certificateDigest } from '../../audit/audit.ts';
import { issuedNotes, Unrecorded } from '../../audit/unrecorded.ts';
import type { Reports } from '../../control/report.ts';
import { AcmeError } from '../../issuers/acme/problem.ts';
import type { LeafOrder, SignedLeaf } from '../../issuers/issuer.ts';
import type { Issuers } from '../../issuers/issuers.ts';
import { OpenOrders } from '../../issuers/orders.ts';
import { Advice } from '../advice.ts';
import type { Cluster } from '../cluster.ts';
import { type CertificateStores, edgeFeeds } from '../feeds.ts';
import type { RevocationLookup } from '../gather.ts';
import { failureOf } from '../outcomes.ts';
import type { Owners } from '../owners.ts';
import { RecentSecrets } from '../recent.ts';
import { EdgeGatherer, edgeSecretKey, type GatheredEdge } from './gather.ts';
import { observeEdges } from './metrics.ts';
import type { EdgeOutcomes } from './outcomes.ts';
import { type EdgeAction, type EdgePlan, planEdge } from './plan.ts';
import { edgeSecretInput } from './secret.ts';
import { type EdgeSnapshot, type WantedEdge, wantedEdgeKey } from './snapshot.ts';

/** What the controller works with and on. */
export interface EdgeDeps {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'apply' | 'delete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly metrics: Metrics;
  readonly stores: CertificateStores;
  readonly cluster: Cluster;
  readonly issuers: Issuers;
  readonly reports: Pick<Reports, 'ofService'>;
  readonly owners: Pick<Owners, 'of'>;
  readonly outcomes: EdgeOutcomes;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly audit: AuditTrail;
  /** Subscriptions to what may change every certificate. Each returns its end. */
  readonly changes: readonly ((again: () => void) => () => void)[];
  /** Who is revoked; nobody, where it is not given. */
  readonly revocations?: RevocationLookup & { touched(listener: () => void): () => void };
  readonly trustDomain: string;
  readonly clusterDomain: string;
}

/** Services that are looked at at once; how many orders a CA is given at once is its issuer's business. */
const workers = 4;

type Issue = Extract<EdgeAction, { kind: 'issue' }>;

/** The controller of all edge certificates. `run` once. */
export class EdgeController {
  readonly #deps: EdgeDeps;
  readonly #recent: RecentSecrets;
  readonly #advice: Advice;
  readonly #gatherer: EdgeGatherer;
  readonly #orders: OpenOrders;
  readonly #controller: Controller;
  readonly #unrecorded: Unrecorded;

  constructor(deps: EdgeDeps) {
    this.#deps = deps;
    const { clock, logger, stores, cluster, kubeMetrics: metrics } = deps;
    this.#recent = new RecentSecrets(stores.secrets, clock);
    this.#advice = new Advice(clock, logger);
    this.#unrecorded = new Unrecorded(deps.audit);
    this.#orders = new OpenOrders({ ...deps, changed: (key) => this.#controller.enqueue(key) });
    this.#gatherer = new EdgeGatherer({ ...deps, orders: this.#orders, recent: this.#recent, advice: this.#advice });
    observeEdges(deps.metrics, deps.outcomes);
    this.#controller = new Controller({
      name: 'edge certificates',
      feeds: edgeFeeds(stores, cluster),
      reconcile: (key, signal) => this.#reconcile(key, signal),
      clock,
      logger,
      metrics,
      workers,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { changes, cluster, outcomes, revocations } = this.#deps;
    const again = (): void => {
      for (const key of cluster.services()) this.#controller.enqueue(key);
    };
    const ends = [this.#recent.follow(), ...changes.map((subscribe) => subscribe(again))];
    const leave = revocations?.touched(() => {
      for (const [key] of outcomes.entries()) this.#controller.enqueue(key);
    });
    if (leave !== undefined) ends.push(leave);
    try {
      await this.#controller.run(signal);
    } finally {
      for (const end of ends) end();
      await this.#orders.close();
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const gathered = await this.#gatherer.gather(key, signal);
    this.#unrecorded.look(key, gathered.secret);
    const plan = planEdge(gathered.snapshot);
    const startedMs = this.#deps.clock.now().getTime();
    this.#note(key, gathered, plan);
    const { action } = plan;
    if (action.kind !== 'issue' && plan.keepsOrder !== true) this.#orders.drop(key);
    if (action.kind === 'keep') return this.#later(key, plan);
    try {
      if (action.kind === 'delete') await this.#delete(gathered, action.message, signal);
      else if (!(await this.#issue(action, gathered, signal))) return { after: 0 };
      this.#deps.outcomes.succeeded(key);
    } catch (error) {
      signal.throwIfAborted();
      this.#recent.drop(edgeSecretKey(key));
      if (isKube(error, 'Unavailable')) this.#unrecorded.doubt(key, startedMs);
      if (isKube(error, 'Conflict')) throw error;
      this.#failed(action, gathered, error);
    }
    return { after: 0 };
  }

  /** False while the CA takes its time. */
  async #issue(action: Issue, gathered: GatheredEdge, signal: AbortSignal): Promise<boolean> {
    const { clock, owners, logger } = this.#deps;
    const { key } = gathered.snapshot;
    const { wanted, reason, message } = action;
    const startedMs = clock.now().getTime();
    const owning = await owners.of(gathered.pods, signal);
    const ordered = await this.#ordered(wanted, gathered, signal);
    if (ordered === undefined) return false;
    const { leaf, privateKey } = ordered;
    const keyPem = privateKeyPem(privateKey);
    const notes = issuedNotes(reason, clock.now());
    await this.#write({ leaf, keyPem, owning, wanted, notes }, gathered, signal);
    this.#unrecorded.settle(key);
    const { serial, notAfter } = leaf;
    const ms = clock.now().getTime() - startedMs;
    logger.info(
      { service: key, reason, why: message, serial, notAfter: notAfter.toISOString(), ms },
      'edge certificate issued',
    );
    this.#issued(gathered, action, leaf);
    return true;
  }

  #ordered(wanted: WantedEdge, { snapshot }: GatheredEdge, signal: AbortSignal): ReturnType<OpenOrders['leaf']> {
    const { trustDomain, clock } = this.#deps;
    const { key, current } = snapshot;
    const [namespace = '', service = ''] = key.split('/');
    const make = async (): Promise<LeafOrder> => ({
      ...(await generateKey(wanted.key)),
      identity: { trustDomain, namespace, service },
      dnsNames: wanted.dnsNames,
      // The CA decides; most profiles have one lifetime alone.
      lifetimeMs: 0,
      now: clock.now(),
      ...(current.kind === 'held' ? { replaces: current.chain } : {}),
    });
    return this.#orders.leaf(key, { issuer: wanted.issuer, wanted: wantedEdgeKey(wanted), make }, signal);
  }

  async #write(
    {
      leaf,
      keyPem,
      owning,
      wanted,
      notes,
    }: {
      readonly leaf: SignedLeaf;
      readonly keyPem: string;
      readonly owning: readonly OwnerReference[];
      readonly wanted: WantedEdge;
      readonly notes: Readonly<Record<string, string>>;
    },
    { secret, snapshot }: GatheredEdge,
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#deps;
    const [namespace = '', service = ''] = snapshot.key.split('/');
    const before = snapshot.current.kind === 'held' ? snapshot.current.owners : [];
    const owners = [...new Map([...before, ...owning].map((owner) => [owner.uid, owner])).values()];
    const input = edgeSecretInput({ namespace, service, issuer: wanted.issuer, leaf, keyPem, owners, notes });
    const options = { signal, fieldManager: fieldManagers.operator };
    if (secret === undefined) {
      this.#recent.note(edgeSecretKey(snapshot.key), await client.create(resources.secrets, input, options));
      return;
    }
    const { uid, resourceVersion } = secret.metadata;
    const exact = { ...input, metadata: { ...input.metadata, uid, resourceVersion } };
    this.#recent.note(
      edgeSecretKey(snapshot.key),
      await client.apply(resources.secrets, exact, { ...options, force: true }),
    );
  }

  async #delete({ secret, snapshot }: GatheredEdge, message: string, signal: AbortSignal): Promise<void> {
    const { client, logger } = this.#deps;
    if (secret === undefined) return;
    const { name, namespace = '', uid, resourceVersion } = secret.metadata;
    await client.delete(resources.secrets, { name, namespace }, { signal, uid, resourceVersion });
    this.#recent.drop(edgeSecretKey(snapshot.key));
    logger.info({ service: snapshot.key, why: message }, 'edge certificate deleted');
  }

  #issued({ policy, snapshot }: GatheredEdge, { wanted, reason, message }: Issue, leaf: SignedLeaf): void {
    const { audit } = this.#deps;
    const { current } = snapshot;
    const sha256 = certificateDigest(leaf.chain);
    audit.record({
      action: current.kind === 'held' ? 'CertificateRenewed' : 'CertificateIssued',
      askedBy: policy === undefined ? [] : [askedByObject(policy)],
      reason,
      serial: leaf.serial,
      ...(current.kind === 'held' ? { replaces: current.facts.serial } : {}),
      ...(sha256 === undefined ? {} : { sha256 }),
      keyKind: wanted.key,
      notAfter: leaf.notAfter,
      issuer: wanted.issuer,
      note: `edge certificate of ${snapshot.key} for ${wanted.dnsNames.join(', ')}: ${message}`,
    });
    const until = leaf.notAfter.toISOString();
    const note = `edge certificate of service ${serviceIn(snapshot)} issued (${reason}): serial ${leaf.serial}, valid until ${until}`;
    this.#tell(policy, { type: 'Normal', reason: 'EdgeIssued', action: 'IssueEdgeCertificate', note });
  }

  #failed(action: Exclude<EdgeAction, { kind: 'keep' }>, { snapshot, policy }: GatheredEdge, error: unknown): void {
    const { outcomes, logger, clock, audit } = this.#deps;
    const { key } = snapshot;
    const wanted = action.kind === 'issue' ? wantedEdgeKey(action.wanted) : action.kind;
    const failure = outcomes.failed(key, failureOf(error, wanted, clock.now()));
    const reason = error instanceof AcmeError ? error.reason : error instanceof AppError ? error.code : 'unknown';
    logger.warn({ service: key, reason, failures: failure.count, err: error }, 'edge certificate not had');
    const note = `edge certificate of ${key}, try ${failure.count}: ${failure.message}`;
    audit.record({
      action: 'CertificateFailed',
      askedBy: policy === undefined ? [] : [askedByObject(policy)],
      reason,
      note,
    });
    // A public CA is asked seldom: the first failure is worth saying.
    if (failure.count === 1) {
      this.#tell(policy, { type: 'Warning', reason: 'EdgeFailed', action: 'IssueEdgeCertificate', note });
    }
  }

  #note(key: string, { snapshot, policy }: GatheredEdge, { blocked, renewAt }: EdgePlan): void {
    const { outcomes } = this.#deps;
    const { current, wanted, failure } = snapshot;
    const before = outcomes.get(key)?.blocked?.reason;
    // What is only on its way is no event.
    if (blocked !== undefined && blocked.reason !== before && blocked.reason !== 'NoSidecar') {
      const note = `edge certificate of service ${serviceIn(snapshot)}: ${blocked.message}`;
      this.#tell(policy, { type: 'Warning', reason: blocked.reason, action: 'IssueEdgeCertificate', note });
    }
    outcomes.note(key, wanted === undefined ? undefined : { current, blocked, renewAt, failure });
  }

  #tell(policy: TLSPolicy | undefined, facts: EventFacts): void {
    if (policy !== undefined) this.#deps.events.record(subjectOf(policy), facts);
  }

  #later(key: string, { nextCheck }: EdgePlan): ReconcileResult {
    const nowMs = this.#deps.clock.now().getTime();
    const times = [nextCheck?.getTime(), this.#advice.dueMs(key)].filter((at) => at !== undefined);
    return times.length === 0 ? undefined : { after: Math.max(1, Math.min(...times) - nowMs) };
  }
}

function serviceIn({ key }: EdgeSnapshot): string {
  return key.split('/')[1] ?? '';
}

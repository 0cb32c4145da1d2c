// Keeps the status of every TLSPolicy true: gathers what it governs, builds the status, applies it if it differs. Changes that
// come close together are written as one: a large status costs the API server as much as dozens of certificates. Runs on the leader alone.

import type { Condition } from '../../lib/api/conditions.ts';
import { fieldManagers } from '../../lib/api/contract.ts';
import { sameJson } from '../../lib/api/equal.ts';
import type { TLSBaseline, TLSRole } from '../../lib/api/tlsbaseline.ts';
import type { TLSPolicy, TLSPolicyStatus } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import { type Feed, onSpecChange } from '../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import { type KubeObject, keyOf } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { SinkOutcomes } from '../delivery/sinks/outcomes.ts';
import type { Issuers } from '../issuers/issuers.ts';
import type { JwksStandings } from '../jwks/standings.ts';
import { sourcesOf } from '../jwks/store.ts';
import type { PodCertificates } from '../podcertificates/issued.ts';
import type { Cluster, ClusterStores } from './cluster.ts';
import type { EdgeOutcomes } from './edge/outcomes.ts';
import { type ReportsView, statusInput } from './governed.ts';
import type { Outcomes } from './outcomes.ts';
import { policyStatus } from './status.ts';

/** What the controller works with and on. */
export interface PolicyDeps {
  readonly client: Pick<KubeClient, 'applyStatus'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly stores: ClusterStores;
  readonly cluster: Cluster;
  readonly outcomes: Outcomes;
  readonly edges: Pick<EdgeOutcomes, 'get' | 'subscribe'>;
  /** How certificates stand with the stores outside of the cluster. */
  readonly sinkOutcomes?: Pick<SinkOutcomes, 'get' | 'subscribe'>;
  /** How the keys of token issuers stand. */
  readonly tokenKeys?: Pick<JwksStandings, 'get' | 'subscribe'>;
  readonly reports: ReportsView;
  /** Certificates that pods have of their own. */
  readonly certificates: Pick<PodCertificates, 'ofPod' | 'subscribe'>;
  readonly issuers: Pick<Issuers, 'state'>;
  /** Lowest lifetime of a leaf, milliseconds. */
  readonly shortestMs: number;
  /** What else decides what holds of a policy. */
  readonly rules?: { readonly baselines: Store<TLSBaseline>; readonly roles: Store<TLSRole> };
}

/** A status is written when nothing has changed for so long; longer by so much per service, since a large status costs more to write. */
const quietMs = 200;
const quietPerServiceMs = 5;
/** While changes go on and on, a status is behind by so many times that time at most. */
const longestTimes = 10;
/** Longest time between two looks, for what only time changes. */
const againMs = 600_000;

/** The controller of all policies' statuses. `run` once. */
export class PolicyController {
  readonly #deps: PolicyDeps;
  readonly #controller: Controller;
  /** How long to wait for further changes of a policy, by key. */
  readonly #quietMs = new Map<string, number>();
  /** First and last change since its status was last looked at, by key. */
  readonly #restless = new Map<string, { readonly firstMs: number; readonly lastMs: number }>();
  #startedMs = 0;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    const { clock, logger, kubeMetrics: metrics, stores } = deps;
    this.#controller = new Controller({
      name: 'policies',
      feeds: [newPolicies(stores.policies)],
      reconcile: (key, signal) => this.#reconcile(key, signal),
      clock,
      logger,
      metrics,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { stores, outcomes, edges, sinkOutcomes, reports, certificates, clock, rules, tokenKeys } = this.#deps;
    this.#startedMs = clock.now().getTime();
    await stores.pods.synced(signal);
    const touched = (object: KubeObject | undefined): void => this.#touch(object?.metadata.namespace);
    const ends = [
      stores.pods.subscribe((before, after) => touched(after ?? before)),
      stores.policies.subscribe((before, after) => this.#policyChanged(before, after)),
      outcomes.subscribe((key) => this.#touch(key.split('/')[0])),
      edges.subscribe((key) => this.#touch(key.split('/')[0])),
      sinkOutcomes?.subscribe((key) => this.#touch(key.split('/')[0])),
      reports.subscribe(({ namespace }) => this.#touch(namespace)),
      certificates.subscribe(({ namespace }) => this.#touch(namespace)),
      tokenKeys?.subscribe((source) => this.#touchAsking(source)),
      rules === undefined ? undefined : onSpecChange(rules.baselines, () => this.#touchAll()),
      rules === undefined ? undefined : onSpecChange(rules.roles, () => this.#touchAll()),
    ];
    try {
      await this.#controller.run(signal);
    } finally {
      for (const end of ends) end?.();
    }
  }

  /** A change of a spec concerns the namespace's other policies, which may now lose or win pods; any other itself alone. */
  #policyChanged(before: TLSPolicy | undefined, after: TLSPolicy | undefined): void {
    if (before?.metadata.generation !== after?.metadata.generation) this.#touch((after ?? before)?.metadata.namespace);
    else if (after !== undefined) this.#later(keyOf(after.metadata));
  }

  /** Policies whose token issuers have their keys there. */
  #touchAsking(source: string): void {
    for (const policy of this.#deps.stores.policies.list()) {
      if (sourcesOf(policy).has(source)) this.#later(keyOf(policy.metadata));
    }
  }

  #touchAll(): void {
    for (const { metadata } of this.#deps.stores.policies.list()) this.#later(keyOf(metadata));
  }

  #touch(namespace: string | undefined): void {
    for (const policy of this.#deps.stores.policies.byIndex('namespace', namespace ?? '')) {
      this.#later(keyOf(policy.metadata));
    }
  }

  #later(key: string): void {
    const nowMs = this.#deps.clock.now().getTime();
    this.#restless.set(key, { firstMs: this.#restless.get(key)?.firstMs ?? nowMs, lastMs: nowMs });
    this.#controller.enqueue(key, this.#quietMs.get(key) ?? quietMs);
  }

  /** How much longer to wait for further changes. */
  #waitMs(key: string, now: Date): number {
    const restless = this.#restless.get(key);
    if (restless === undefined) return 0;
    const quiet = this.#quietMs.get(key) ?? quietMs;
    return Math.min(restless.lastMs + quiet, restless.firstMs + quiet * longestTimes) - now.getTime();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { stores, client, clock } = this.#deps;
    const policy = stores.policies.get(key);
    if (policy === undefined || policy.metadata.deletionTimestamp !== undefined) {
      this.#quietMs.delete(key);
      this.#restless.delete(key);
      return undefined;
    }
    const now = clock.now();
    const waitMs = policy.status === undefined ? 0 : this.#waitMs(key, now);
    if (waitMs > 0) return { after: waitMs };
    this.#restless.delete(key);
    const input = statusInput(this.#deps, policy, now, now.getTime() - this.#startedMs);
    this.#quietMs.set(key, quietMs + input.services.length * quietPerServiceMs);
    const status = policyStatus(input);
    if (!sameJson(status, policy.status)) {
      const { name, namespace = '' } = policy.metadata;
      try {
        const options = { signal, fieldManager: fieldManagers.operator, force: true };
        await client.applyStatus(resources.tlspolicies, { metadata: { name, namespace }, status }, options);
      } catch (error) {
        if (isKube(error, 'NotFound')) return undefined;
        throw error;
      }
      this.#report(policy, status);
    }
    const changes = (status.services ?? []).flatMap(({ notAfter, ready }) => (ready ? Date.parse(notAfter ?? '') : []));
    const next = Math.min(...changes.map((at) => at - now.getTime()), againMs);
    return { after: Math.max(1_000, next) };
  }

  /** Events for conditions that turned for the worse; that they are well again is seen in the status. */
  #report(policy: TLSPolicy, status: TLSPolicyStatus): void {
    for (const type of ['Accepted', 'Conflicted'] as const) {
      const condition = find(status, type);
      const before = find(policy.status, type);
      const bad = condition?.status === (type === 'Conflicted' ? 'True' : 'False');
      if (condition === undefined || !bad || before?.message === condition.message) continue;
      const facts = {
        type: 'Warning',
        reason: condition.reason,
        action: 'CheckPolicy',
        note: condition.message,
      } as const;
      this.#deps.events.record(subjectOf(policy), facts);
    }
  }
}

/** New policies are looked at without delay; all else that happens to one is gathered with what happens beside it. */
function newPolicies(store: Store<TLSPolicy>): Feed {
  return {
    subscribe: (add) =>
      store.subscribe((before, after) => {
        if (before === undefined && after !== undefined) add(keyOf(after.metadata));
      }),
    keys: () => store.list().map(({ metadata }) => keyOf(metadata)),
    synced: (signal) => store.synced(signal),
  };
}

function find(status: TLSPolicyStatus | undefined, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

// Keeps the status of every TLSPolicy true: gathers what it governs, builds the status, applies it if it differs. Changes
// within a fifth of a second are written as one. Runs on the leader alone.

import type { Condition } from '../../lib/api/conditions.ts';
import { fieldManagers } from '../../lib/api/contract.ts';
import type { StatusReport } from '../../lib/api/control.ts';
import { sameJson } from '../../lib/api/equal.ts';
import type { TLSPolicy, TLSPolicyStatus } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import { feed } from '../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import { type KubeObject, keyOf, type Pod } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import { policyFaults } from '../../lib/policy/effective.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Cluster, ClusterStores } from './cluster.ts';
import type { Outcomes } from './outcomes.ts';
import type { PlaintextSight } from './plaintext.ts';
import { type GovernedService, policyStatus } from './status.ts';

/** What sidecars reported (operator/control): the members that a status is made from. */
export interface ReportsView {
  ofPod(podUid: string): { readonly report: StatusReport } | undefined;
  plaintextClients(service: { readonly namespace: string; readonly service: string }): readonly PlaintextSight[];
  subscribe(listener: (service: { readonly namespace: string; readonly service: string }) => void): () => void;
}

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
  readonly reports: ReportsView;
  /** Lowest lifetime of a leaf, milliseconds. */
  readonly shortestMs: number;
}

/** Changes within this time are written together. */
const gatherMs = 200;
/** How long the sidecars must have been watched before their silence says that nobody comes without TLS. */
export const watchMs = 3_600_000;
/** Longest time between two looks, for what only time changes. */
const againMs = 600_000;

/** The controller of all policies' statuses. `run` once. */
export class PolicyController {
  readonly #deps: PolicyDeps;
  readonly #controller: Controller;
  #startedMs = 0;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    const { clock, logger, kubeMetrics: metrics, stores } = deps;
    this.#controller = new Controller({
      name: 'policies',
      feeds: [feed(stores.policies)],
      reconcile: (key, signal) => this.#reconcile(key, signal),
      clock,
      logger,
      metrics,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { stores, outcomes, reports, clock } = this.#deps;
    this.#startedMs = clock.now().getTime();
    await stores.pods.synced(signal);
    const touched = (object: KubeObject | undefined): void => this.#touch(object?.metadata.namespace);
    const ends = [
      stores.pods.subscribe((before, after) => touched(after ?? before)),
      // The namespace's other policies: what one governs another may now lose or win.
      stores.policies.subscribe((before, after) => {
        if (before?.metadata.generation !== after?.metadata.generation) touched(after ?? before);
      }),
      outcomes.subscribe((key) => this.#touch(key.split('/')[0])),
      reports.subscribe(({ namespace }) => this.#touch(namespace)),
    ];
    try {
      await this.#controller.run(signal);
    } finally {
      for (const end of ends) end();
    }
  }

  #touch(namespace: string | undefined): void {
    for (const policy of this.#deps.stores.policies.byIndex('namespace', namespace ?? '')) {
      this.#controller.enqueue(keyOf(policy.metadata), gatherMs);
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { stores, client, clock } = this.#deps;
    const policy = stores.policies.get(key);
    if (policy === undefined || policy.metadata.deletionTimestamp !== undefined) return undefined;
    const now = clock.now();
    const status = this.#status(policy, now);
    if (!sameJson(status, policy.status)) {
      const { name, namespace = '' } = policy.metadata;
      const input = { metadata: { name, namespace }, status };
      try {
        const options = { signal, fieldManager: fieldManagers.operator, force: true };
        await client.applyStatus(resources.tlspolicies, input, options);
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

  #status(policy: TLSPolicy, now: Date): TLSPolicyStatus {
    const { cluster, reports, shortestMs } = this.#deps;
    const namespace = policy.metadata.namespace ?? '';
    const services: GovernedService[] = [];
    const overruled = new Map<string, number>();
    const governed: Pod[] = [];
    for (const key of cluster.servicesIn(namespace)) {
      const { live } = cluster.podsOf(key);
      const ours = live.filter((pod) => this.#governs(policy, pod, overruled));
      if (ours.length > 0) services.push(this.#service(policy, key, live, ours.length));
      governed.push(...ours);
    }
    const clients = services.flatMap(({ name }) => reports.plaintextClients({ namespace, service: name }));
    return policyStatus({
      policy,
      now,
      faults: policyFaults(policy, shortestMs),
      services,
      overruledBy: [...overruled].map(([name, pods]) => ({ name, pods })).sort((a, b) => a.name.localeCompare(b.name)),
      clients,
      watched: this.#watched(governed, now),
    });
  }

  /** Whether the policy governs a pod; where an older one does in its place, that is counted. */
  #governs(policy: TLSPolicy, { metadata }: Pod, overruled: Map<string, number>): boolean {
    const selected = this.#deps.cluster.selected(metadata.namespace ?? '', metadata.labels ?? {});
    const winner = selected.policy?.metadata;
    if (winner?.uid === policy.metadata.uid) return true;
    const lost = selected.overruled.some((each) => each.metadata.uid === policy.metadata.uid);
    if (lost && winner !== undefined) overruled.set(winner.name, (overruled.get(winner.name) ?? 0) + 1);
    return false;
  }

  #service(policy: TLSPolicy, key: string, live: readonly Pod[], pods: number): GovernedService {
    const { cluster, outcomes } = this.#deps;
    const decides = cluster.policyOf(live)?.metadata;
    const decidedBy = decides?.uid === policy.metadata.uid ? undefined : decides?.name;
    return { name: key.split('/')[1] ?? '', pods, outcome: outcomes.get(key), decidedBy };
  }

  #watched(pods: readonly Pod[], now: Date): boolean {
    if (now.getTime() - this.#startedMs < watchMs) return false;
    return pods.every(({ metadata }) => this.#deps.reports.ofPod(metadata.uid) !== undefined);
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

function find(status: TLSPolicyStatus | undefined, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

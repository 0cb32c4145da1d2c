// Keeps the status of every TLSBaseline and TLSRole true. A change of any policy, baseline or role may concern each of them; changes that
// come together are written together. Runs on the leader alone.
import { fieldManagers } from '../../lib/api/contract.ts';
import { sameJson } from '../../lib/api/equal.ts';
import type { TLSBaseline, TLSRole } from '../../lib/api/tlsbaseline.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import { feed, onSpecChange } from '../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import { type Resource, resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import type { Surroundings } from '../../lib/policy/faults.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { baselineStatus, roleStatus } from './standing.ts';

export interface RuleStatusDeps {
  readonly client: Pick<KubeClient, 'applyStatus'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly stores: {
    readonly policies: Store<TLSPolicy>;
    readonly baselines: Store<TLSBaseline>;
    readonly roles: Store<TLSRole>;
  };
}

/** Changes within this time are looked at together: a look at a baseline is one at every policy. */
const gatherMs = 1_000;

const keyed = {
  baseline: ({ metadata }: TLSBaseline): string => `baseline/${metadata.name}`,
  role: ({ metadata }: TLSRole): string => `role/${metadata.name}`,
} as const;

/** The controller of these statuses. `run` once. */
export class RuleStatusController {
  readonly #deps: RuleStatusDeps;
  readonly #controller: Controller;

  constructor(deps: RuleStatusDeps) {
    this.#deps = deps;
    const { clock, logger, kubeMetrics: metrics, stores } = deps;
    this.#controller = new Controller({
      name: 'baselines and roles',
      feeds: [
        feed(stores.baselines, (baseline) => [keyed.baseline(baseline)]),
        feed(stores.roles, (role) => [keyed.role(role)]),
      ],
      reconcile: (key, signal) => this.#reconcile(key, signal),
      clock,
      logger,
      metrics,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { policies, baselines, roles } = this.#deps.stores;
    await policies.synced(signal);
    const again = (): void => {
      for (const each of baselines.list()) this.#controller.enqueue(keyed.baseline(each), gatherMs);
      for (const each of roles.list()) this.#controller.enqueue(keyed.role(each), gatherMs);
    };
    const ends = [onSpecChange(policies, again), onSpecChange(baselines, again), onSpecChange(roles, again)];
    try {
      await this.#controller.run(signal);
    } finally {
      for (const end of ends) end();
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { stores, clock } = this.#deps;
    const around: Surroundings = {
      policies: stores.policies.list(),
      baselines: stores.baselines.list(),
      roles: stores.roles.list(),
    };
    const [kind, name = ''] = key.split('/');
    const now = clock.now();
    if (kind === 'baseline') {
      const baseline = stores.baselines.get(name);
      if (baseline !== undefined) await this.#write(baseline, baselineStatus(baseline, around, now), signal);
    } else {
      const role = stores.roles.get(name);
      if (role !== undefined) await this.#write(role, roleStatus(role, around, now), signal);
    }
    return undefined;
  }

  async #write<T extends TLSBaseline | TLSRole>(
    object: T,
    status: NonNullable<T['status']>,
    signal: AbortSignal,
  ): Promise<void> {
    if (sameJson(status, object.status)) return;
    const { name } = object.metadata;
    const resource: Resource = object.kind === 'TLSBaseline' ? resources.tlsbaselines : resources.tlsroles;
    const options = { signal, fieldManager: fieldManagers.operator, force: true };
    try {
      await this.#deps.client.applyStatus(resource, { metadata: { name }, status }, options);
    } catch (error) {
      if (isKube(error, 'NotFound')) return;
      throw error;
    }
    const said = status.conditions?.find(({ type }) => type === 'Accepted');
    const before = object.status?.conditions?.find(({ type }) => type === 'Accepted');
    if (said?.status !== 'False' || said.message === before?.message) return;
    const facts = { type: 'Warning', reason: said.reason, action: 'CheckPolicy', note: said.message } as const;
    this.#deps.events.record(subjectOf(object), facts);
  }
}

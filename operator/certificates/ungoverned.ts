// Keeps what is seen of callers of services that no TLSPolicy governs, so that a first policy can be suggested by it: what the status of a policy holds for
// others lies here in a ConfigMap for each service, which goes with its workload. Runs on the leader alone.

import { fieldManagers } from '../../lib/api/contract.ts';
import { sameJson } from '../../lib/api/equal.ts';
import { callersData, callersIn, callersLabel, callersMapName, type SeenCallers } from '../../lib/api/seencallers.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { callersOf } from './callers.ts';
import { type Cluster, type ClusterStores, hasSidecar } from './cluster.ts';
import type { ReportsView } from './governed.ts';
import { Owners } from './owners.ts';
import { requestsOf } from './requests.ts';

/** What the keeper works with and on. */
export interface UngovernedDeps {
  readonly client: Pick<KubeClient, 'get' | 'list' | 'apply'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly stores: Pick<ClusterStores, 'pods'>;
  readonly cluster: Cluster;
  readonly reports: ReportsView;
}

/** Reports that come close together are written as one. */
const gatherMs = 5_000;

/** Writes the ConfigMaps. `run` once. */
export class UngovernedCallers {
  readonly #deps: UngovernedDeps;
  readonly #owners: Owners;
  readonly #controller: Controller;
  /** What was written or read last, by service; forgotten with its pods. */
  readonly #known = new Map<string, SeenCallers>();

  constructor(deps: UngovernedDeps) {
    this.#deps = deps;
    const { client, clock, logger, kubeMetrics: metrics } = deps;
    this.#owners = new Owners(client, clock);
    this.#controller = new Controller({
      name: 'ungoverned',
      feeds: [],
      reconcile: (key, signal) => this.#reconcile(key, signal),
      clock,
      logger,
      metrics,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { stores, reports } = this.#deps;
    await stores.pods.synced(signal);
    const end = reports.subscribe(({ namespace, service }) =>
      this.#controller.enqueue(`${namespace}/${service}`, gatherMs),
    );
    try {
      await this.#controller.run(signal);
    } finally {
      end();
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock, cluster, reports } = this.#deps;
    const [namespace = '', service = ''] = key.split('/');
    const live = cluster.podsOf(key).live.filter(hasSidecar);
    if (live.length === 0 || cluster.policyOf(live) !== undefined) {
      this.#known.delete(key);
      return undefined;
    }
    const callers = (reports.callers?.({ namespace, service }) ?? []).map((each) => ({ ...each, service }));
    const requests = (reports.requests?.({ namespace, service }) ?? []).map((each) => ({ ...each, service }));
    if (callers.length === 0 && requests.length === 0) return undefined;
    const before = this.#known.get(key) ?? (await this.#read(namespace, service, signal));
    const now = clock.now();
    const seen = { ...callersOf(before, callers, now), ...requestsOf(before, requests, now) };
    if (sameJson(callersIn(callersData(seen)), callersIn(callersData(before)))) {
      this.#known.set(key, seen);
      return undefined;
    }
    const ownerReferences = await this.#owners.of(live, signal);
    const metadata = { name: callersMapName(service), namespace, labels: { [callersLabel]: service }, ownerReferences };
    const options = { signal, fieldManager: fieldManagers.operator, force: true };
    await client.apply(resources.configmaps, { metadata, data: callersData(seen) }, options);
    this.#known.set(key, seen);
    return undefined;
  }

  async #read(namespace: string, service: string, signal: AbortSignal): Promise<SeenCallers> {
    try {
      const ref = { namespace, name: callersMapName(service) };
      return callersIn((await this.#deps.client.get(resources.configmaps, ref, { signal })).data);
    } catch (error) {
      if (isKube(error, 'NotFound')) return {};
      throw error;
    }
  }
}

// The trust bundle as ConfigMap `tabard-trust` in every namespace that asks for it by label `tabard.dev/trust-bundle: enabled`,
// for clients and servers without a sidecar. Removed when the label goes. One that Tabard did not make is never touched.
import { delivered, labels, MANAGED_BY, secretKeys } from '../../lib/api/contract.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import type { EventRecorder } from '../../lib/kube/events.ts';
import { type Feed, feed } from '../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { ConfigMap, KubeInput, KubeObject } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { TrustSource } from '../trust/mesh.ts';
import { publish, tellOfBundle } from './publish.ts';

/** What the controller works with and on. */
export interface TrustMapsDeps {
  readonly client: Pick<KubeClient, 'create' | 'apply' | 'delete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly events: Pick<EventRecorder, 'record'>;
  /** Metadata of namespaces with the label. */
  readonly trustNamespaces: Store<KubeObject>;
  /** ConfigMaps with app.kubernetes.io/managed-by=tabard, of all namespaces. */
  readonly trustMaps: Store<ConfigMap>;
  readonly trust: TrustSource;
}

/** Reconciles by the name of a namespace. `run` once, on the leader alone. */
export class TrustMaps {
  readonly #deps: TrustMapsDeps;
  readonly #controller: Controller;

  constructor(deps: TrustMapsDeps) {
    this.#deps = deps;
    const { clock, logger, kubeMetrics: metrics, trustNamespaces, trustMaps } = deps;
    const named: Feed = feed(trustMaps, ({ metadata }) =>
      metadata.name === delivered.trustMap ? [metadata.namespace ?? ''] : [],
    );
    this.#controller = new Controller({
      name: 'trust-configmaps',
      feeds: [feed(trustNamespaces), named],
      reconcile: (namespace, signal) => this.#reconcile(namespace, signal),
      clock,
      logger,
      metrics,
      workers: 4,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { trust, trustNamespaces } = this.#deps;
    const leave = trust.subscribe(() => {
      for (const { metadata } of trustNamespaces.list()) this.#controller.enqueue(metadata.name);
    });
    try {
      await this.#controller.run(signal);
    } finally {
      leave();
    }
  }

  async #reconcile(namespace: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, trust, trustNamespaces, trustMaps } = this.#deps;
    const asking = trustNamespaces.get(namespace);
    const bundle = trust.current()?.pem;
    const asked = asking !== undefined && asking.metadata.deletionTimestamp === undefined;
    // Not known yet: what is there stays.
    if (asked && bundle === undefined) return undefined;
    const outcome = await publish(
      client,
      {
        resource: resources.configmaps,
        wanted: asked ? trustMap(namespace, bundle ?? '') : undefined,
        current: trustMaps.get(`${namespace}/${delivered.trustMap}`),
        content: contentOf,
      },
      signal,
    );
    const name = `${namespace}/${delivered.trustMap}`;
    return tellOfBundle(outcome, { kind: 'ConfigMap', name, asking }, this.#deps);
  }
}

function trustMap(namespace: string, bundle: string): KubeInput {
  return {
    metadata: { name: delivered.trustMap, namespace, labels: { [labels.managedBy]: MANAGED_BY } },
    data: { [secretKeys.trustBundle]: bundle },
  };
}

/** Further keys that somebody added are none of ours. */
function contentOf(object: ConfigMap | KubeInput): unknown {
  return (object as Pick<ConfigMap, 'data'>).data?.[secretKeys.trustBundle];
}

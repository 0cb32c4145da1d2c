// The leader's parts of delivery, by name: what of a certificate or of the trust bundle goes elsewhere than into the Secret
// beside the pods.
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { EventRecorder } from '../../lib/kube/events.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { Part } from '../../lib/runtime/lifecycle.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Caches } from '../caches.ts';
import type { TrustSource } from '../trust/mesh.ts';
import { TrustBundles } from './trustbundles.ts';
import { TrustMaps } from './trustmaps.ts';

/** What delivery works with. */
export interface DeliveryDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly events: EventRecorder;
  readonly stores: Pick<Caches, 'trustNamespaces' | 'trustMaps' | 'clusterTrustBundles' | 'issuers'>;
  readonly trust: TrustSource;
}

/** Constructs them; nothing runs yet. */
export function deliveryParts(deps: DeliveryDeps): Readonly<Record<string, Part>> {
  const { stores, ...rest } = deps;
  const maps = new TrustMaps({ ...rest, ...stores });
  const bundles = new TrustBundles({ ...rest, ...stores });
  return {
    'trust configmaps': (signal) => maps.run(signal),
    'cluster trust bundles': (signal) => bundles.run(signal),
  };
}

// The leader's parts of delivery, by name: what of a certificate or of the trust bundle goes elsewhere than into the Secret
// beside the pods.
import { names, VERSION } from '../../lib/api/contract.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { EventRecorder } from '../../lib/kube/events.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { Part } from '../../lib/runtime/lifecycle.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Metrics } from '../../lib/runtime/metrics.ts';
import type { AuditTrail } from '../audit/audit.ts';
import type { Caches } from '../caches.ts';
import type { Cluster } from '../certificates/cluster.ts';
import type { OperatorConfig } from '../config.ts';
import type { TrustSource } from '../trust/mesh.ts';
import { AwsAuthorities, type AwsAuthoritiesDeps } from './aws/authorities.ts';
import { Sinks } from './sinks/controller.ts';
import type { SinkOutcomes } from './sinks/outcomes.ts';
import { TrustBundles } from './trustbundles.ts';
import { TrustMaps } from './trustmaps.ts';

/** What delivery works with. */
export interface DeliveryDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly metrics: Metrics;
  readonly events: EventRecorder;
  readonly stores: Caches;
  readonly cluster: Cluster;
  readonly trust: TrustSource;
  readonly audit: AuditTrail;
  readonly sinkOutcomes: SinkOutcomes;
  /** Where CAs that are kept in AWS are offered to their issuers. */
  readonly offers: AwsAuthoritiesDeps['offers'];
  readonly config: Pick<OperatorConfig, 'namespace' | 'trustDomain' | 'tokensFolder'>;
}

/** Constructs them; nothing runs yet. */
export function deliveryParts(deps: DeliveryDeps): Readonly<Record<string, Part>> {
  const { stores, config, ...rest } = deps;
  const all = { ...rest, ...stores, ...config, userAgent: `${names.operator}/${VERSION}` };
  const maps = new TrustMaps(all);
  const bundles = new TrustBundles(all);
  const sinks = new Sinks(all);
  const authorities = new AwsAuthorities(all);
  return {
    'trust configmaps': (signal) => maps.run(signal),
    'cluster trust bundles': (signal) => bundles.run(signal),
    sinks: (signal) => sinks.run(signal),
    'authorities in AWS': (signal) => authorities.run(signal),
  };
}

// From changes in the caches to the services whose certificate they may concern. A change that cannot matter to a
// certificate (a pod's status, our own writes to a policy's status) asks for nothing.
import { certificateSecretName } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import { type Feed, selectiveFeed } from '../../lib/kube/feed.ts';
import type { KubeObject, Pod, Secret, Service } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { type Cluster, type ClusterStores, isFinished, serviceKeyOf } from './cluster.ts';
import { edgeKeyOf } from './edge/secret.ts';

/** The caches that certificates follow. */
export interface CertificateStores extends ClusterStores {
  /** Label app.kubernetes.io/managed-by=tabard. */
  readonly secrets: Store<Secret>;
  readonly issuers: Store<TLSIssuer>;
}

/** The feeds of `<namespace>/<service>` keys. A Secret that `isKnown` is one that was written here and looked at since. */
export function certificateFeeds(
  stores: CertificateStores,
  cluster: Cluster,
  isKnown: (secret: Secret) => boolean,
): readonly Feed[] {
  const inNamespace = ({ metadata }: KubeObject): Iterable<string> => cluster.servicesIn(metadata.namespace ?? '');
  return [
    selectiveFeed(stores.pods, podMatters, (pod) => [serviceKeyOf(pod) ?? []].flat()),
    selectiveFeed(stores.secrets, ({ metadata }) => metadata.resourceVersion, secretKeys, isKnown),
    selectiveFeed(stores.services, serviceMatters, inNamespace),
    selectiveFeed(stores.policies, specMatters, inNamespace),
    selectiveFeed(stores.issuers, specMatters, () => everything(stores, cluster)),
  ];
}

/** The feeds of `<namespace>/<service>` keys for edge certificates. */
export function edgeFeeds(stores: CertificateStores, cluster: Cluster): readonly Feed[] {
  const inNamespace = ({ metadata }: KubeObject): Iterable<string> => cluster.servicesIn(metadata.namespace ?? '');
  return [
    selectiveFeed(stores.pods, podMatters, (pod) => [serviceKeyOf(pod) ?? []].flat()),
    selectiveFeed(
      stores.secrets,
      ({ metadata }) => metadata.resourceVersion,
      (secret) => [edgeKeyOf(secret) ?? []].flat(),
    ),
    selectiveFeed(stores.policies, specMatters, inNamespace),
    selectiveFeed(stores.issuers, specMatters, () => cluster.services()),
  ];
}

/** Keys of all services that have pods or a Secret. */
export function* everything({ secrets }: CertificateStores, cluster: Cluster): Iterable<string> {
  yield* cluster.services();
  for (const secret of secrets.list()) yield* secretKeys(secret);
}

function podMatters(pod: Pod): unknown {
  const { metadata } = pod;
  return [
    serviceKeyOf(pod),
    metadata.labels,
    metadata.ownerReferences,
    metadata.deletionTimestamp === undefined,
    isFinished(pod),
  ];
}

function serviceMatters({ spec }: Service): unknown {
  return [spec?.selector, spec?.type, spec?.clusterIP === 'None'];
}

function specMatters({ metadata }: TLSPolicy | TLSIssuer): unknown {
  return [metadata.uid, metadata.generation];
}

/** By name alone: a Secret that has just lost our labels concerns its service most of all. */
function secretKeys({ metadata }: Secret): readonly string[] {
  const prefix = certificateSecretName('');
  return metadata.name.startsWith(prefix) ? [`${metadata.namespace ?? ''}/${metadata.name.slice(prefix.length)}`] : [];
}

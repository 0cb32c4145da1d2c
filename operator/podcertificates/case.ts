// Everything that the answer to one request follows from, from the caches; the API server is asked only for a pod that no cache shows.

import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { keyOf, type Node, type Pod, type PodCertificateRequest } from '../../lib/kube/object.ts';
import { metadataOf, resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import { dnsNamesOf, formatIdentity, type Identity } from '../../lib/pki/identity.ts';
import { type CertificateSettings, certificateSettings } from '../../lib/policy/effective.ts';
import { type Cluster, serviceKeyOf } from '../certificates/cluster.ts';
import type { Issuers } from '../issuers/issuers.ts';
import { type Decision, decide } from './decide.ts';

/** Where it is read from. */
export interface CaseSources {
  readonly client: Pick<KubeClient, 'get'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly stores: { readonly pods: Store<Pod>; readonly nodes: Store<Node> };
  readonly cluster: Cluster;
  readonly issuers: Issuers;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  /** Lowest lifetime of a leaf, milliseconds. */
  readonly shortestMs: number;
  /** Why nothing is issued to an identity; undefined = it may have certificates. */
  readonly revokedWhy: (identity: string) => string | undefined;
}

/** A request with all that its answer follows from. */
export interface Case {
  readonly request: PodCertificateRequest;
  readonly pod: Pod | 'absent' | 'outside';
  readonly identity: Identity;
  readonly settings: CertificateSettings;
  readonly dnsNames: readonly string[];
  readonly decision: Decision;
}

/**
 * A request's case; `unseen`: the caches do not have yet what the request speaks of. A denial is final, so none may rest on a cache that is
 * behind the one that the request was seen in.
 */
export async function look(
  sources: CaseSources,
  request: PodCertificateRequest,
  signal: AbortSignal,
): Promise<Case | 'unseen'> {
  const { cluster, issuers, clock, trustDomain, clusterDomain, shortestMs, revokedWhy } = sources;
  const namespace = request.metadata.namespace ?? '';
  const pod = await podOf(sources, request, signal);
  if (pod === 'unseen') return pod;
  const isThere = typeof pod !== 'string';
  const [, service = ''] = isThere ? (serviceKeyOf(pod) ?? '').split('/') : [];
  const policy = isThere ? cluster.selected(namespace, pod.metadata.labels ?? {}).policy : undefined;
  const settings = certificateSettings(policy, shortestMs, cluster.longestMs());
  const identity = { trustDomain, namespace, service };
  const now = clock.now();
  const issuer = issuers.named(settings.issuer);
  const decision = decide({
    request,
    pod,
    nodeUid: await nodeUidOf(sources, request, signal),
    settings,
    issuer: issuers.state(settings.issuer, now),
    signsForOthers: !('ready' in issuer) && issuer.signFor !== undefined,
    revoked: revokedWhy(formatIdentity(identity)),
    now,
  });
  const services = isThere ? cluster.servicesOf([pod]) : [];
  const dnsNames = dnsNamesOf({ namespace, clusterDomain, services, extra: settings.dnsNames });
  return { request, pod, identity, settings, dnsNames, decision };
}

/**
 * Kubelets ask as soon as they see a pod on their node, which may be before this cache does. A pod that is not there, or another one, is
 * asked for; one that is on no node here is on its way.
 */
async function podOf(
  { stores, client }: CaseSources,
  { metadata, spec }: PodCertificateRequest,
  signal: AbortSignal,
): Promise<Case['pod'] | 'unseen'> {
  const ref = { namespace: metadata.namespace ?? '', name: spec.podName };
  const known = stores.pods.get(keyOf(ref));
  if (known?.metadata.uid === spec.podUID) return known.spec?.nodeName === undefined ? 'unseen' : known;
  try {
    const live: Pod = await client.get(metadataOf(resources.pods), ref, { signal });
    if (serviceKeyOf(live) === undefined) return 'outside';
    return live.metadata.uid === spec.podUID ? 'unseen' : live;
  } catch (error) {
    if (isKube(error, 'NotFound')) return 'absent';
    throw error;
  }
}

/** Uid of the node; undefined when there is none of that name. One that was made anew may be another in the cache. */
async function nodeUidOf(
  { stores, client }: CaseSources,
  { spec }: PodCertificateRequest,
  signal: AbortSignal,
): Promise<string | undefined> {
  const known = stores.nodes.get(spec.nodeName)?.metadata.uid;
  if (known === spec.nodeUID) return known;
  try {
    return (await client.get(metadataOf(resources.nodes), { name: spec.nodeName }, { signal })).metadata.uid;
  } catch (error) {
    if (isKube(error, 'NotFound')) return undefined;
    throw error;
  }
}

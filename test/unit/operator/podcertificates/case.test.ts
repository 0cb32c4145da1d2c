// Denials are final for a pod, so none rests on a cache that lags behind the request: what it does not show is asked for.
import { describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import type { TLSPolicy } from '../../../../lib/api/tlspolicy.ts';
import type { Node, Pod, Service } from '../../../../lib/kube/object.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { Cluster, clusterIndexes } from '../../../../operator/certificates/cluster.ts';
import { Issuers } from '../../../../operator/issuers/issuers.ts';
import { look } from '../../../../operator/podcertificates/case.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';
import { askFor, podWithCertificate } from '../../../support/podcertificates.ts';

interface Setting {
  /** What the cache has, and what the API server has. */
  readonly cached?: Pod;
  readonly live?: Pod;
  readonly cachedNode?: string;
  readonly liveNode?: string;
}

const pod = podWithCertificate();
const another = { ...pod, metadata: { ...pod.metadata, uid: 'pod-of-yesterday' } };
const outside = { ...pod, metadata: { ...pod.metadata, labels: {} } };
const unscheduled = podWithCertificate('vault-0', 'vault', { nodeName: undefined });
const node = (uid: string): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node-1', uid, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
});

async function outcome(setting: Setting): Promise<string> {
  const { cached, live, cachedNode, liveNode } = setting;
  const { client, clock } = kubeDeps();
  if (live !== undefined) client.seed(resources.pods, { ...live, metadata: { ...live.metadata } });
  if (liveNode !== undefined) client.seed(resources.nodes, { metadata: { name: 'node-1', uid: liveNode } });
  const pods = new ObjectStore<Pod>(clusterIndexes.pods);
  pods.replace(cached === undefined ? [] : [cached]);
  const nodes = new ObjectStore<Node>();
  nodes.replace(cachedNode === undefined ? [] : [node(cachedNode)]);
  const services = new ObjectStore<Service>(clusterIndexes.services);
  const policies = new ObjectStore<TLSPolicy>(clusterIndexes.policies);
  const issuers = new Issuers({
    objects: new ObjectStore<TLSIssuer>(),
    cluster: { state: () => ({ ready: false, reason: 'IssuerNotReady', message: '' }), sign: () => Promise.reject() },
    running: { get: () => undefined },
    trust: { current: () => undefined },
  });
  const sources = {
    client,
    clock,
    stores: { pods, nodes },
    cluster: new Cluster({ pods, services, policies }),
    issuers,
    trustDomain: 'cluster.local',
    clusterDomain: 'cluster.local',
    shortestMs: 600_000,
    revokedWhy: () => undefined,
  };
  const found = await look(sources, (await askFor(pod)).request, new AbortController().signal);
  if (found === 'unseen') return found;
  const { decision } = found;
  return decision.kind === 'sign' ? 'sign' : `${decision.kind} ${decision.reason}`;
}

describe('a request', () => {
  // A policy asks for Secrets where there is none: whatever is the pod's own gets as far as that.
  const own = 'wait DeliveryMismatch';

  test.each<[string, Setting, string]>([
    ['of a pod that the cache has is decided on', { cached: pod, cachedNode: 'uid-node-1' }, own],
    ['of a pod that the cache does not have yet waits for it', { live: pod, cachedNode: 'uid-node-1' }, 'unseen'],
    [
      'of a pod whose name the cache has for the one before waits for it',
      { cached: another, live: pod, cachedNode: 'uid-node-1' },
      'unseen',
    ],
    [
      'of a pod that is on no node yet in the cache waits for it',
      { cached: unscheduled, live: pod, cachedNode: 'uid-node-1' },
      'unseen',
    ],
    ['of a pod that is nowhere is denied', {}, 'deny PodNotFound'],
    ['of a pod that is gone but still in the cache is denied', { cached: another }, 'deny PodNotFound'],
    ['of a pod that was replaced by another is denied', { live: another }, 'deny PodMismatch'],
    ['of a pod outside the mesh is denied', { live: outside }, 'deny NotInjected'],
    [
      'from a node that was made anew is decided on as of now',
      { cached: pod, cachedNode: 'old', liveNode: 'uid-node-1' },
      own,
    ],
    ['from a node that the cache does not have yet is decided on', { cached: pod, liveNode: 'uid-node-1' }, own],
    [
      'from a node that was replaced is denied',
      { cached: pod, cachedNode: 'old', liveNode: 'new' },
      'deny NodeMismatch',
    ],
  ])('%s', async (_, setting, expected) => {
    expect(await outcome(setting)).toBe(expected);
  });
});

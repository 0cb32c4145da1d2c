// What a pod is told of itself (GET /v1/self). Pure.
import type { AcmeChallenge, SelfSnapshot } from '../../lib/api/control.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { MeshPod } from '../mesh/workloads.ts';

/** Where the parts come from, at the moment of asking. */
export interface SelfSources {
  readonly mesh: Pick<Mesh, 'policyOf'>;
  readonly trustDomain: string;
  /** PEM of every CA that peers may chain to. */
  trustBundle(): string;
  /** CAs that left it in good order (trust/retired.ts). */
  retired?(): readonly string[];
  /** Other trust domains whose members may be clients. */
  federated?(): NonNullable<SelfSnapshot['federated']>;
  /** CIDRs of the cluster's pods and Services. */
  clusterRanges(): readonly string[];
  /** What the pods of a service answer to ACME CAs now. */
  challenges?(pod: MeshPod): readonly AcmeChallenge[];
}

/** The content for one pod. Equal for all pods of a service under one policy. */
export function selfContent(sources: SelfSources, pod: MeshPod): Omit<SelfSnapshot, 'version'> {
  const challenges = sources.challenges?.(pod) ?? [];
  const retired = sources.retired?.() ?? [];
  const federated = sources.federated?.() ?? [];
  return {
    trustDomain: sources.trustDomain,
    namespace: pod.namespace,
    service: pod.service,
    identity: pod.identity,
    policy: sources.mesh.policyOf(pod),
    trustBundle: sources.trustBundle(),
    ...(retired.length === 0 ? {} : { retired }),
    ...(federated.length === 0 ? {} : { federated }),
    clusterRanges: sources.clusterRanges(),
    ...(challenges.length === 0 ? {} : { challenges }),
  };
}

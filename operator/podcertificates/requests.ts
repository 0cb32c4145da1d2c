// What there is to see of pod certificates in objects: whether a pod has one, and how a request for one stands. Pure.
import { delivered, names } from '../../lib/api/contract.ts';
import type { Pod, PodCertificateRequest } from '../../lib/kube/object.ts';
import type { StoreOptions } from '../../lib/kube/store.ts';

/** Indexes that a store of requests must declare for the signer. */
export const requestIndexes: StoreOptions<PodCertificateRequest> = {
  indexes: {
    namespace: ({ metadata }) => [metadata.namespace ?? ''],
    pod: ({ spec }) => [spec.podUID],
  },
};

/**
 * Whether the certificate of an injected pod is one whose key its kubelet makes. Told from the volume, which cannot change on a
 * pod that is there, not from the annotation, which can.
 */
export function hasPodCertificate({ spec }: Pick<Pod, 'spec'>): boolean {
  const volume = spec?.volumes?.find(({ name }) => name === names.tlsVolume);
  return (
    volume?.projected?.sources?.some(({ podCertificate }) => podCertificate?.signerName === delivered.signerName) ===
    true
  );
}

/** The final condition of a request; undefined while it waits for its signer. */
export function outcomeOf({ status }: PodCertificateRequest): 'Issued' | 'Denied' | 'Failed' | undefined {
  return (['Issued', 'Denied', 'Failed'] as const).find((type) =>
    status?.conditions?.some((condition) => condition.type === type && condition.status === 'True'),
  );
}

// Pods whose certificate's key their kubelet makes, and the requests that kubelets send for them.
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { KeyAlgorithm } from '../../lib/api/tlspolicy.ts';
import type { Pod, PodCertificateRequest } from '../../lib/kube/object.ts';
import { createRequest } from '../../lib/pki/csr.ts';
import { generateKey } from '../../lib/pki/keys.ts';

/** The volume that the webhook mounts. */
export const certificateVolume = {
  name: 'tabard-tls',
  projected: {
    sources: [
      { podCertificate: { signerName: 'tabard.dev/mesh', keyType: 'ECDSAP256', credentialBundlePath: 'b.pem' } },
      { clusterTrustBundle: { signerName: 'tabard.dev/mesh', labelSelector: {}, path: 'ca.crt' } },
    ],
  },
} as const;

/** An injected pod `shop/<name>` of a service on node `node-1`, with a pod certificate unless `volumes` says otherwise. */
export function podWithCertificate(name = 'vault-0', service = 'vault', spec: object = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      uid: `pod-${name}`,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { app: service, 'tabard.dev/injected': 'true' },
      annotations: { 'tabard.dev/service': service },
    },
    spec: { containers: [], nodeName: 'node-1', serviceAccountName: service, volumes: [certificateVolume], ...spec },
    status: { phase: 'Pending' },
  };
}

/** What a kubelet has: the private key stays with it. */
export interface Asked {
  readonly request: PodCertificateRequest;
  readonly publicKey: KeyObject;
}

/** The request of a pod's kubelet, `spec` changed. The names in its PKCS#10 are somebody else's: no signer may take them over. */
export async function askFor(
  { metadata, spec }: Pod,
  change: Partial<PodCertificateRequest['spec']> = {},
  kind: KeyAlgorithm = 'ECDSA-P256',
): Promise<Asked> {
  const { privateKey } = await generateKey(kind);
  const names = { uris: ['spiffe://cluster.local/ns/shop/svc/admin'], dnsNames: ['admin.shop'], ipAddresses: [] };
  const request: PodCertificateRequest = {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'PodCertificateRequest',
    metadata: {
      name: `req-${metadata.name}`,
      namespace: metadata.namespace ?? '',
      uid: `request-${metadata.name}`,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: {
      signerName: 'tabard.dev/mesh',
      podName: metadata.name,
      podUID: metadata.uid,
      serviceAccountName: spec?.serviceAccountName ?? 'default',
      serviceAccountUID: 'account-1',
      nodeName: spec?.nodeName ?? '',
      nodeUID: 'uid-node-1',
      maxExpirationSeconds: 7_862_400,
      stubPKCS10Request: createRequest(names, privateKey).toString('base64'),
      ...change,
    },
  };
  return { request, publicKey: createPublicKey(privateKey) };
}

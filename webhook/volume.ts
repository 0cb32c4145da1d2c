// The volume with a pod's certificates, by how they are delivered and who reads them. That of the mesh is not optional: without it, no start. The
// files are world-readable inside the volume: the sidecar is not root and may not depend on the pod's fsGroup, and the user of an
// application that terminates TLS itself is not known here. Only containers that mount the volume see them. Pure.
import {
  certificateSecretName,
  credentialBundleFile,
  delivered,
  edgeFiles,
  edgeSecretName,
  names,
  secretKeys,
} from '../lib/api/contract.ts';
import type { Delivery } from './annotations.ts';
import type { JsonObject } from './json.ts';

/** Whose certificate it is, and for whom. */
export interface VolumeRequest {
  readonly service: string;
  readonly delivery: Delivery;
  /** The sidecar reads what it knows of; an application that terminates TLS itself finds every form there is. */
  readonly reader: 'sidecar' | 'application';
}

/** Longest life that the API allows (91 days), in seconds: how long a certificate lives is the policy's to say, by the signer. */
const longestSeconds = 7_862_400;

/** The volume `tabard-tls`. */
export function tlsVolume(request: VolumeRequest): JsonObject & { readonly name: string } {
  const own = request.delivery === 'PodCertificate' ? podCertificateSources(request) : [secretSource(request)];
  const edge = request.reader === 'sidecar' ? [edgeSource(request)] : [];
  return { name: names.tlsVolume, projected: { defaultMode: 0o444, sources: [...own, ...edge] } };
}

/** The edge certificate is optional: most services have none, and the first one cannot be had before pods answer for it. */
function edgeSource({ service }: VolumeRequest): JsonObject {
  const items = [
    { key: secretKeys.certificate, path: edgeFiles.certificate },
    { key: secretKeys.key, path: edgeFiles.key },
  ];
  return { secret: { name: edgeSecretName(service), optional: true, items } };
}

function secretSource({ service, reader }: VolumeRequest): JsonObject {
  const name = certificateSecretName(service);
  // Without a list, all keys: keystores too.
  if (reader === 'application') return { secret: { name } };
  return { secret: { name, items: Object.values(secretKeys).map((key) => ({ key, path: key })) } };
}

/**
 * Key and chain in one file, which cannot be read in the middle of a change; for an application also apart, under the names that they
 * have in a Secret. The trust bundle is that of the signer, whichever issuers are behind it: only who may attest for it writes one.
 */
function podCertificateSources({ reader }: VolumeRequest): readonly JsonObject[] {
  const { signerName } = delivered;
  const apart = { keyPath: secretKeys.key, certificateChainPath: secretKeys.certificate };
  return [
    {
      podCertificate: {
        signerName,
        keyType: 'ECDSAP256',
        maxExpirationSeconds: longestSeconds,
        credentialBundlePath: credentialBundleFile,
        ...(reader === 'application' ? apart : {}),
      },
    },
    { clusterTrustBundle: { signerName, labelSelector: {}, path: secretKeys.trustBundle } },
  ];
}

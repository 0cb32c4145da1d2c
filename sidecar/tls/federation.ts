// The CAs of other trust domains, as a generation uses them. What cannot be used is left out, which refuses peers of that domain and
// nobody else: a fault of theirs must not keep this proxy from renewing its own certificate.
import type { X509Certificate } from 'node:crypto';
import type { SelfSnapshot } from '../../lib/api/control.ts';
import { bundleFingerprint, fingerprint, parseCertificates } from '../../lib/pki/bundle.ts';
import type { Federated } from './peer.ts';

/** Other trust domains. */
export interface Federation {
  readonly members: Federated;
  /** All their CAs: what OpenSSL is told beside our own, for it does not know of domains. */
  readonly authorities: readonly X509Certificate[];
  /** Equal for the same domains with the same CAs. */
  readonly fingerprint: string;
}

/** Reads what the control API told. A CA that is also one of our own would vouch for two domains, and is no CA of another. */
export function federationOf(told: SelfSnapshot['federated'] = [], own: readonly X509Certificate[]): Federation {
  const ours = new Set(own.map(fingerprint));
  const members = new Map<string, readonly X509Certificate[]>();
  for (const { trustDomain, bundle } of told) {
    const authorities = readable(bundle).filter((each) => !ours.has(fingerprint(each)));
    if (authorities.length > 0) members.set(trustDomain, [...(members.get(trustDomain) ?? []), ...authorities]);
  }
  const domains = [...members].map(([domain, authorities]) => `${domain} ${bundleFingerprint(authorities)}`);
  return { members, authorities: [...members.values()].flat(), fingerprint: domains.sort().join('\n') };
}

function readable(pem: string): readonly X509Certificate[] {
  try {
    return parseCertificates(pem);
  } catch {
    return [];
  }
}

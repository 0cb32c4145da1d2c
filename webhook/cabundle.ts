// The `caBundle` of the webhook's entries: our CAs are put in, outlived ones of ours are taken out, and what others wrote
// there stays. Pure.
import type { X509Certificate } from 'node:crypto';
import { bundleFingerprint, fingerprint, formatCertificates, parseCertificates } from '../lib/pki/bundle.ts';

/** What to make of one entry's bundle. */
export interface BundleRequest {
  /** `caBundle` as it is, base64 PEM; absent or empty when nobody wrote one. */
  readonly present: string | undefined;
  /** The CAs that the Secret says to trust. */
  readonly trusted: readonly X509Certificate[];
  /** CAs of ours that the Secret has not named for so long that no replica can be using them. */
  readonly retired: ReadonlySet<string>;
  readonly now: Date;
}

/** The certificates of a bundle; none when it is absent or unreadable. */
export function certificatesOf(caBundle: string | undefined): readonly X509Certificate[] {
  const pem = Buffer.from(caBundle ?? '', 'base64').toString('utf8');
  try {
    return pem.trim() === '' ? [] : parseCertificates(pem);
  } catch {
    return [];
  }
}

/** Whether a certificate is a CA that Tabard made (lib/pki/ca.ts names them). */
export function isOwnCa(certificate: X509Certificate): boolean {
  return certificate.ca && /^O=Tabard\nCN=Tabard CA [0-9a-f]+$/.test(certificate.subject);
}

/** The new `caBundle`; undefined when the one that is there says the same. */
export function newBundle({ present, trusted, retired, now }: BundleRequest): string | undefined {
  const before = certificatesOf(present);
  const wanted = new Set(trusted.map(fingerprint));
  const kept = before.filter((certificate) => {
    const print = fingerprint(certificate);
    if (wanted.has(print)) return false;
    return !isOwnCa(certificate) || (!retired.has(print) && now < certificate.validToDate);
  });
  const after = [...trusted, ...kept];
  if (bundleFingerprint(after) === bundleFingerprint(before)) return undefined;
  return Buffer.from(formatCertificates(after)).toString('base64');
}

/** The CAs that all bundles name: what the API server trusts whichever entry it calls. */
export function commonCas(bundles: readonly (string | undefined)[]): ReadonlySet<string> {
  const [first, ...rest] = bundles.map((bundle) => new Set(certificatesOf(bundle).map(fingerprint)));
  return new Set([...(first ?? [])].filter((print) => rest.every((other) => other.has(print))));
}

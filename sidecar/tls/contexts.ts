// The TLS settings that a policy asks for, as node:tls wants them. Pure.
import type { X509Certificate } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { Group } from '../../lib/api/tlspolicy.ts';
import { formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import { chainVerdict } from '../../lib/pki/verify.ts';

/** TLS 1.3 suites in Tabard's order (RFC 8446 section B.4). */
const defaultSuites = ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'];

/** TLS 1.2 suites that are accepted at all, forward secret and AEAD, by their IANA names; OpenSSL has names of its own. */
const suites12: Readonly<Record<string, string>> = {
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
};

const defaultGroups: readonly Group[] = ['X25519MLKEM768', 'X25519', 'P-256'];

/** Without it OpenSSL answers every resumption attempt that shows a client certificate with a fatal error. */
const SESSION_ID_CONTEXT = 'tabard';

/** Certificate, key and bundle (PEM) with the policy's floor. A suite that is not known is left out; none left means the defaults. */
export function contextOptions(
  pem: { readonly certificate: string; readonly key: string; readonly trustBundle: string },
  tls: EffectivePolicy['tls'],
): SecureContextOptions {
  const groups = tls.groups.length > 0 ? tls.groups : defaultGroups;
  return {
    cert: pem.certificate,
    key: pem.key,
    ca: pem.trustBundle,
    minVersion: tls.minVersion === '1.2' ? 'TLSv1.2' : 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: ciphersOf(tls).join(':'),
    ecdhCurve: groups.join(':'),
    honorCipherOrder: true,
    sessionIdContext: SESSION_ID_CONTEXT,
  };
}

/**
 * A certificate (PEM) with its issuers out of the bundle behind it, if it comes alone. That is what OpenSSL shows in any case; but where it has to look for
 * the issuers it verifies them as well, again in each handshake.
 */
export function shownChain(certificate: string, bundle: readonly X509Certificate[]): string {
  const [leaf, ...sent] = parseCertificates(certificate);
  if (leaf === undefined || sent.length > 0) return certificate;
  // A CA is in its time when the last certificate that it signed is.
  const verdict = chainVerdict({ leaf, bundle, now: new Date(leaf.validToDate.getTime() - 1) });
  return verdict.ok ? formatCertificates(verdict.chain) : certificate;
}

function ciphersOf({ minVersion, ciphers }: EffectivePolicy['tls']): readonly string[] {
  const named13 = ciphers.filter((name) => defaultSuites.includes(name));
  const suites13 = named13.length > 0 ? named13 : defaultSuites;
  if (minVersion === '1.3') return suites13;
  const named12 = ciphers.flatMap((name) => suites12[name] ?? []);
  return [...suites13, ...(named12.length > 0 ? named12 : Object.values(suites12))];
}

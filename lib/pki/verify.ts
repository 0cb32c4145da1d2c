// Does a certificate chain to a CA of the trust bundle, at this moment? Used beside OpenSSL's own check in the handshake:
// on resumed sessions, which OpenSSL does not check again, and to name the reason. All cryptography is node:crypto's.
// It does not look at names, name constraints or path length: OpenSSL does in full handshakes, identity.ts reads the name.
import type { X509Certificate } from 'node:crypto';

/** What to check. `intermediates` are as the peer sent them, untrusted; `bundle` holds the CAs that are trusted. */
export interface ChainRequest {
  readonly leaf: X509Certificate;
  readonly intermediates?: readonly X509Certificate[];
  readonly bundle: readonly X509Certificate[];
  readonly now: Date;
}

/** The outcome. Reasons are words of the closed vocabulary (lib/api/reasons.ts). */
export type ChainVerdict =
  | { readonly ok: true /** Leaf first, the trusted CA last. */; readonly chain: readonly X509Certificate[] }
  | { readonly ok: false; readonly reason: 'expired' | 'not_yet_valid' | 'unknown_ca'; readonly detail: string };

/** Longest path including leaf and root; bounds the search through what a peer may send. */
const maximumLength = 4;
/** Most untrusted certificates that are looked at. */
const maximumIntermediates = 8;

/**
 * Whether `leaf` is signed by a CA of `bundle`, directly or through `intermediates`, and every certificate of the path is
 * in its time. Any good path is enough, so a bundle may hold old and new roots with equal names. A path that exists but is out of
 * its time says so; no path at all is `unknown_ca`.
 */
export function chainVerdict({ leaf, intermediates = [], bundle, now }: ChainRequest): ChainVerdict {
  const untrusted = intermediates.slice(0, maximumIntermediates);
  let failure: ChainVerdict | undefined;
  for (const chain of paths([leaf], untrusted, bundle)) {
    const late = outOfTime(chain, now);
    if (late === undefined) return { ok: true, chain };
    failure ??= late;
  }
  return failure ?? { ok: false, reason: 'unknown_ca', detail: `no trusted CA signed ${named(leaf)}` };
}

/** Every path from the leaf to a trusted CA. A candidate that is in the path already is not followed again. */
function* paths(
  chain: readonly X509Certificate[],
  untrusted: readonly X509Certificate[],
  bundle: readonly X509Certificate[],
): Generator<readonly X509Certificate[]> {
  const last = chain.at(-1);
  if (last === undefined || chain.length >= maximumLength) return;
  for (const root of bundle) if (signed(root, last)) yield [...chain, root];
  for (const next of untrusted) {
    if (!chain.includes(next) && signed(next, last)) yield* paths([...chain, next], untrusted, bundle);
  }
}

/** `ca` is true only for a CA certificate that may sign certificates; checkIssued compares names, key ids and key usage. */
function signed(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function outOfTime(chain: readonly X509Certificate[], now: Date): ChainVerdict | undefined {
  for (const certificate of chain) {
    if (now < certificate.validFromDate) {
      const from = certificate.validFromDate.toISOString();
      return { ok: false, reason: 'not_yet_valid', detail: `${named(certificate)} is valid from ${from}` };
    }
    if (now > certificate.validToDate) {
      const to = certificate.validToDate.toISOString();
      return { ok: false, reason: 'expired', detail: `${named(certificate)} expired at ${to}` };
    }
  }
  return undefined;
}

function named(certificate: X509Certificate): string {
  return `certificate ${certificate.serialNumber}`;
}

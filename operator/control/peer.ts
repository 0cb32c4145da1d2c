// Who is at the other end of a TLS connection, by its certificate: chain, time and identity, in this order, and on resumed
// sessions as well, which OpenSSL does not check again. Pure.
import type { X509Certificate } from 'node:crypto';
import { type Identity, identityOf, parseIdentity } from '../../lib/pki/identity.ts';
import { chainVerdict } from '../../lib/pki/verify.ts';

/** What a handshake left behind. */
export interface Handshake {
  readonly certificate: X509Certificate | undefined;
  /** OpenSSL's code for a chain that it did not accept; undefined when it did. */
  readonly fault: string | undefined;
}

/** A client that proved who it is. */
export interface ControlClient {
  readonly identity: Identity;
  readonly certificate: X509Certificate;
  /** The certificate ends here, and what was said over it with it. */
  readonly notAfter: Date;
}

/** Why a certificate is refused: words of lib/api/reasons.ts. */
export type PeerFault = 'no_client_certificate' | 'unknown_ca' | 'expired' | 'not_yet_valid' | 'identity_mismatch';

export type PeerVerdict =
  | { readonly ok: true; readonly client: ControlClient }
  | { readonly ok: false; readonly reason: PeerFault; readonly detail: string };

/** What a verdict depends on beside the handshake. */
export interface Trust {
  readonly bundle: readonly X509Certificate[];
  readonly trustDomain: string;
}

/** Judges a client. */
export function judgeClient({ certificate, fault }: Handshake, trust: Trust, now: Date): PeerVerdict {
  if (certificate === undefined) return refuse('no_client_certificate', 'the client showed no certificate');
  const chain = chainVerdict({ leaf: certificate, intermediates: sentWith(certificate), bundle: trust.bundle, now });
  if (!chain.ok) return chain;
  // OpenSSL also looks at name constraints and path lengths.
  if (fault !== undefined) return refuse('unknown_ca', `the chain does not verify: ${fault}`);
  const identity = parseIdentity(identityOf(certificate) ?? '');
  if (identity === undefined) return refuse('identity_mismatch', 'the certificate names no service of a mesh');
  if (identity.trustDomain !== trust.trustDomain) {
    return refuse('identity_mismatch', `${identity.trustDomain} is not trust domain ${trust.trustDomain}`);
  }
  return { ok: true, client: { identity, certificate, notAfter: certificate.validToDate } };
}

/** The certificates that the peer sent with its own, as far as they lead on from it. */
function sentWith(leaf: X509Certificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let next = leaf.issuerCertificate; next !== undefined && chain.length < 8; next = next.issuerCertificate) {
    if (chain.some((each) => each.fingerprint256 === next?.fingerprint256)) break;
    chain.push(next);
  }
  return chain;
}

function refuse(reason: PeerFault, detail: string): PeerVerdict {
  return { ok: false, reason, detail };
}

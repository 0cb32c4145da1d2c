// Who is at the other end of a TLS connection, by its certificate: chain, time, identity and revocation, in this order, and on resumed
// sessions as well, which OpenSSL does not check again. Pure.
import type { X509Certificate } from 'node:crypto';
import type { RevocationSubject } from '../../lib/api/revocations.ts';
import { formatIdentity, type Identity, identityOf, parseIdentity } from '../../lib/pki/identity.ts';
import { chainVerdict, sentWith } from '../../lib/pki/verify.ts';

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
export type PeerFault =
  | 'no_client_certificate'
  | 'unknown_ca'
  | 'expired'
  | 'not_yet_valid'
  | 'identity_mismatch'
  | 'revoked';

export type PeerVerdict =
  | { readonly ok: true; readonly client: ControlClient }
  | { readonly ok: false; readonly reason: PeerFault; readonly detail: string };

/** What a verdict depends on beside the handshake. */
export interface Trust {
  readonly bundle: readonly X509Certificate[];
  readonly trustDomain: string;
  /** What of a holder is revoked; undefined when nothing is. */
  revoked(subject: RevocationSubject): string | undefined;
}

/** Judges a client. */
export function judgeClient({ certificate, fault }: Handshake, trust: Trust, now: Date): PeerVerdict {
  if (certificate === undefined) return refuse('no_client_certificate', 'the client showed no certificate');
  const chain = chainVerdict({
    leaf: certificate,
    intermediates: sentWith(certificate),
    bundle: trust.bundle,
    now,
    purpose: 'client',
  });
  if (!chain.ok) return chain;
  // Both must accept it.
  if (fault !== undefined) return refuse('unknown_ca', `the chain does not verify: ${fault}`);
  const identity = parseIdentity(identityOf(certificate) ?? '');
  if (identity === undefined) return refuse('identity_mismatch', 'the certificate names no service of a mesh');
  if (identity.trustDomain !== trust.trustDomain) {
    return refuse('identity_mismatch', `${identity.trustDomain} is not trust domain ${trust.trustDomain}`);
  }
  return revocationVerdict({ identity, certificate, notAfter: certificate.validToDate }, trust);
}

/** Whether a client that proved who it is has been revoked. */
export function revocationVerdict(client: ControlClient, trust: Pick<Trust, 'revoked'>): PeerVerdict {
  const { serialNumber: serial, issuer } = client.certificate;
  const revoked = trust.revoked({ identity: formatIdentity(client.identity), serial, issuer });
  return revoked === undefined ? { ok: true, client } : refuse('revoked', `${revoked} is revoked`);
}

function refuse(reason: PeerFault, detail: string): PeerVerdict {
  return { ok: false, reason, detail };
}

// The judgement of a peer's certificate on every connection, resumed ones included: Node takes a resumed session as authorized
// even after the certificate expired or its CA left the bundle. In a full handshake OpenSSL and our own rules must both accept the
// chain, so the verdict is never laxer than either. Order of reasons: chain, time, identity. Pure.
import type { X509Certificate } from 'node:crypto';
import type { Reason } from '../../lib/api/reasons.ts';
import { identityOf, parseIdentity } from '../../lib/pki/identity.ts';
import { chainVerdict, type Purpose } from '../../lib/pki/verify.ts';
import { verificationReason } from './reason.ts';

/** What a peer has proved, kept for later connections and for re-checks. */
export interface PeerFacts {
  /** SPIFFE URI. */
  readonly identity: string;
  /** SHA-256 of the certificate, as node:crypto prints it. */
  readonly fingerprint: string;
  readonly serial: string;
  /** Name of the CA, as node:crypto prints it. */
  readonly issuer: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The outcome; `detail` is a fact for the log. */
export type PeerVerdict =
  | { readonly ok: true; readonly peer: PeerFacts }
  | { readonly ok: false; readonly reason: Reason; readonly detail: string };

/**
 * What the handshake says of the chain. `verified`: OpenSSL has just built and checked it. `rejected`: it did not accept it, with
 * its code. `unchecked`: nobody looked at it in this handshake (resumed session).
 */
export type HandshakeChain =
  | {
      readonly state: 'verified' | 'unchecked';
      /** What the peer was in the handshake; not stated, its certificate's usages are not looked at. */
      readonly purpose?: Purpose;
      /** What the peer sent with its certificate. */
      readonly intermediates?: readonly X509Certificate[];
    }
  | { readonly state: 'rejected'; readonly code: string };

/** What the verdict depends on. */
export interface PeerRequest {
  readonly certificate: X509Certificate;
  readonly chain: HandshakeChain;
  readonly bundle: readonly X509Certificate[];
  readonly trustDomain: string;
  readonly now: Date;
}

/** Judges a certificate. */
export function judgePeer({ certificate, chain, bundle, trustDomain, now }: PeerRequest): PeerVerdict {
  if (chain.state === 'rejected') return refuse(verificationReason(chain.code), chain.code);
  const { intermediates = [], purpose } = chain;
  const verdict = chainVerdict({ leaf: certificate, intermediates, bundle, now, purpose });
  if (!verdict.ok) return refuse(verdict.reason, verdict.detail);
  const identity = identityOf(certificate);
  const peer: PeerFacts = {
    identity: identity ?? '',
    fingerprint: certificate.fingerprint256,
    serial: certificate.serialNumber,
    issuer: certificate.issuer,
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
  };
  return judgeFacts(peer, { trustDomain, now });
}

/** Judges again what a known certificate says; its chain to the present bundle is known to be good. */
export function judgeFacts(
  peer: PeerFacts,
  { trustDomain, now }: { readonly trustDomain: string; readonly now: Date },
): PeerVerdict {
  if (now < peer.notBefore) return refuse('not_yet_valid', `valid from ${peer.notBefore.toISOString()}`);
  if (now >= peer.notAfter) return refuse('expired', `expired at ${peer.notAfter.toISOString()}`);
  const parsed = parseIdentity(peer.identity);
  if (parsed === undefined) return refuse('identity_mismatch', 'the certificate names no service of a mesh');
  if (parsed.trustDomain !== trustDomain) {
    return refuse('identity_mismatch', `${peer.identity} is not of trust domain ${trustDomain}`);
  }
  return { ok: true, peer };
}

function refuse(reason: Reason, detail: string): PeerVerdict {
  return { ok: false, reason, detail };
}

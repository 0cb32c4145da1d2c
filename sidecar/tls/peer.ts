// The judgement of a peer's certificate on every connection, resumed ones included: Node takes a resumed session as authorized
// even after the certificate expired or its CA left the bundle. In a full handshake OpenSSL and our own rules must both accept the
// chain, so the verdict is never laxer than either. Every trust domain has its own CAs: an identity is believed only when its chain ends in
// a CA of that very domain, so that no CA of another mesh can mint ours, nor ours theirs. Order of reasons: chain, time, identity. Pure.
import type { X509Certificate } from 'node:crypto';
import type { Reason } from '../../lib/api/reasons.ts';
import { isAccountPath, parseIdentity, parseSpiffeId, spiffeIdOf } from '../../lib/pki/identity.ts';
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
  /** The certificate itself, for who tells the application of it. */
  readonly certificate?: X509Certificate;
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

/** Other trust domains whose members may be clients here, with the CAs by which they are known. */
export type Federated = ReadonlyMap<string, readonly X509Certificate[]>;

/** Whom to believe what. */
export interface PeerTrust {
  /** The mesh's own. */
  readonly trustDomain: string;
  readonly bundle: readonly X509Certificate[];
  readonly federated?: Federated;
}

/** What the verdict depends on. */
export interface PeerRequest extends PeerTrust {
  readonly certificate: X509Certificate;
  readonly chain: HandshakeChain;
  readonly now: Date;
}

/** Judges a certificate. */
export function judgePeer(request: PeerRequest): PeerVerdict {
  const { certificate, chain, now } = request;
  if (chain.state === 'rejected') return refuse(verificationReason(chain.code), chain.code);
  const { intermediates = [], purpose } = chain;
  const identity = spiffeIdOf(certificate);
  const bundle = bundleFor(identity, purpose, request);
  const verdict = chainVerdict({ leaf: certificate, intermediates, bundle, now, purpose });
  if (!verdict.ok) return refuse(verdict.reason, verdict.detail);
  const peer: PeerFacts = {
    identity: identity ?? '',
    fingerprint: certificate.fingerprint256,
    serial: certificate.serialNumber,
    issuer: certificate.issuer,
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
    certificate,
  };
  return judgeFacts(peer, request);
}

/** The CAs that may vouch for an identity. Nobody but a client may be of another domain: discovery gives no identity of one. */
function bundleFor(
  identity: string | undefined,
  purpose: Purpose | undefined,
  { trustDomain, bundle, federated }: PeerTrust,
): readonly X509Certificate[] {
  const domain = identity === undefined ? undefined : parseSpiffeId(identity)?.trustDomain;
  if (domain === undefined || domain === trustDomain || purpose !== 'client') return bundle;
  return federated?.get(domain) ?? bundle;
}

/** Judges again what a known certificate says; its chain to the present bundle is known to be good. */
export function judgeFacts(
  peer: PeerFacts,
  { trustDomain, federated, now }: Omit<PeerTrust, 'bundle'> & { readonly now: Date },
): PeerVerdict {
  if (now < peer.notBefore) return refuse('not_yet_valid', `valid from ${peer.notBefore.toISOString()}`);
  if (now >= peer.notAfter) return refuse('expired', `expired at ${peer.notAfter.toISOString()}`);
  const parsed = parseSpiffeId(peer.identity);
  if (parsed === undefined) return refuse('identity_mismatch', 'the certificate names no service of a mesh');
  const known = parsed.trustDomain === trustDomain || federated?.has(parsed.trustDomain) === true;
  if (!known) return refuse('identity_mismatch', `${peer.identity} is not of trust domain ${trustDomain}`);
  // In our own domain there are services, and the service accounts of a mesh that was here before us.
  const isOurs = parseIdentity(peer.identity) !== undefined || isAccountPath(parsed.path);
  if (parsed.trustDomain === trustDomain && !isOurs) {
    return refuse('identity_mismatch', 'the certificate names no service of a mesh');
  }
  return { ok: true, peer };
}

function refuse(reason: Reason, detail: string): PeerVerdict {
  return { ok: false, reason, detail };
}

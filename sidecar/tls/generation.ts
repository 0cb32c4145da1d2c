// One credential generation: everything that was built from one certificate, one trust bundle and one TLS policy. A connection keeps
// the generation that it was made with; new ones take the newest. Ticket keys and sessions belong to the generation, so that
// after a renewal every handshake shows the new certificate, and after a change of trust no old session is resumed.
import { randomBytes, type X509Certificate } from 'node:crypto';
import { createSecureContext, createServer, type SecureContext, type Server } from 'node:tls';
import { ALPN_ACME, ALPN_DIRECT, ALPN_TUNNEL } from '../../lib/api/contract.ts';
import type { EffectivePolicy, SelfSnapshot } from '../../lib/api/control.ts';
import type { Protocol } from '../../lib/api/tlspolicy.ts';
import { bundleFingerprint, fingerprint, formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import { identityOf } from '../../lib/pki/identity.ts';
import { chainVerdict } from '../../lib/pki/verify.ts';
import type { Credentials } from '../../lib/runtime/credentials.ts';
import { Lru } from '../lru.ts';
import type { RevocationRefusal, Revocations } from '../revocation/revocations.ts';
import { contextOptions, shownChain } from './contexts.ts';
import { type Federation, federationOf } from './federation.ts';
import {
  type HandshakeChain,
  judgeFacts,
  judgePeer,
  type PeerFacts,
  type PeerTrust,
  type PeerVerdict,
} from './peer.ts';
import { ClientSessions } from './sessions.ts';

/** What a generation is built from. */
export interface GenerationParts {
  readonly credentials: Credentials;
  /** PEM of the CAs that peers may chain to. */
  readonly trustBundle: string;
  /** SHA-256 of CAs that left the bundle in good order: connections made by them end in their own time. */
  readonly retired?: readonly string[];
  readonly tls: EffectivePolicy['tls'];
  readonly trustDomain: string;
  /** Other trust domains whose members may be clients here (PEM of their CAs). */
  readonly federated?: SelfSnapshot['federated'];
}

/** What revocation says: of a peer that wants a connection now, and of any holder. */
export type RevocationView = Pick<Revocations, 'refusal' | 'revoked'>;

/** Length of the key material of session tickets (node:tls). */
const TICKET_KEY_BYTES = 48;
/** Peer certificates remembered as verified. One costs some kilobytes: those that have expired are forgotten when we renew our own. */
const MAX_VERIFIED = 4_096;

type KnownChain = Exclude<HandshakeChain, { state: 'rejected' }>;

/** A peer that was accepted, and all that it takes to judge it again. */
interface Verified {
  readonly peer: PeerFacts;
  readonly certificate: X509Certificate;
  readonly chain: KnownChain;
}

/** Built whole or not at all: the constructor throws AppError `pki_invalid` or OpenSSL's error if any part does not fit. */
export class Generation {
  readonly parts: GenerationParts;
  readonly serial: string;
  readonly notAfter: Date;
  readonly bundle: readonly X509Certificate[];
  readonly bundleFingerprint: string;
  /** For connections that this proxy opens. */
  readonly client: SecureContext;
  readonly sessions = new ClientSessions();
  /** Asked for with each stream: comparing dates costs more. */
  readonly #notAfterMs: number;
  readonly #federation: Federation;
  readonly #trust: PeerTrust;
  readonly #revocations: RevocationView | undefined;
  readonly #identity: string;
  readonly #servers = new Map<string, Server>();
  readonly #verified = new Lru<Verified>(MAX_VERIFIED);
  /** Peers whose identity was found to be one that this generation believes. */
  readonly #believed = new WeakSet<PeerFacts>();

  constructor(parts: GenerationParts, revocations?: RevocationView) {
    this.parts = parts;
    this.#revocations = revocations;
    this.#identity = identityOf(parts.credentials.leaf) ?? '';
    this.serial = parts.credentials.serial;
    this.notAfter = parts.credentials.notAfter;
    this.#notAfterMs = this.notAfter.getTime();
    this.bundle = parseCertificates(parts.trustBundle);
    this.bundleFingerprint = bundleFingerprint(this.bundle);
    this.#federation = federationOf(parts.federated, this.bundle);
    this.#trust = { trustDomain: parts.trustDomain, bundle: this.bundle, federated: this.#federation.members };
    // Of other domains there are clients alone: who is dialled must chain to our own CAs.
    this.client = createSecureContext(this.#options(this.bundle));
    // The server half is built now, too, so that a fault shows before anything relies on this generation.
    this.server('TCP');
  }

  /** Whether this proxy's own certificate has run out. */
  expired(now: Date): boolean {
    return now.getTime() >= this.#notAfterMs;
  }

  /** Whether this proxy's own identity or certificate is revoked: nobody may talk to it then, and it need not try. */
  revoked(): RevocationRefusal | undefined {
    return this.#revocations?.revoked({ identity: this.#identity, serial: this.serial, issuer: '' });
  }

  /** No session of before is resumed any more: what was proved when it was made may not hold by now. */
  forgetSessions(): void {
    this.sessions.clear();
    for (const server of this.#servers.values()) server.setTicketKeys(randomBytes(TICKET_KEY_BYTES));
  }

  /** The TLS server for ports of one protocol, which agrees to tunnels or not; it never listens, connections are handed to it. */
  server(protocol: Protocol, tunnels: boolean = false): Server {
    const preferred = preferredProtocol(protocol);
    const key = `${preferred} ${tunnels}`;
    const known = this.#servers.get(key);
    if (known !== undefined) return known;
    const server = createServer({
      ...this.#options([...this.bundle, ...this.#federation.authorities]),
      requestCert: true,
      // The verdict is ours (peer.ts): it knows the mode of the port, and it also runs on resumed sessions.
      rejectUnauthorized: false,
      ALPNCallback: ({ protocols }) => chooseProtocol(protocols, preferred, tunnels),
    });
    this.#servers.set(key, server);
    return server;
  }

  /** Judges a peer's certificate and remembers a good one, so that further handshakes with it cost no second look at its chain. */
  judge(certificate: X509Certificate, chain: HandshakeChain, now: Date): PeerVerdict {
    return this.#unlessRevoked(this.#judgeChain(certificate, chain, now));
  }

  /** Judges again what a peer proved in an earlier handshake, of this generation or of one whose peers it has inherited. */
  judgeAgain(peer: PeerFacts, now: Date): PeerVerdict {
    const nowMs = now.getTime();
    const isInTime = nowMs >= peer.notBefore.getTime() && nowMs < peer.notAfter.getTime();
    const isBelieved = isInTime && this.#believed.has(peer);
    const verdict: PeerVerdict = isBelieved ? { ok: true, peer } : judgeFacts(peer, { ...this.#trust, now });
    if (verdict.ok) this.#believed.add(peer);
    return this.#unlessRevoked(verdict);
  }

  #unlessRevoked(verdict: PeerVerdict): PeerVerdict {
    const refusal = verdict.ok ? this.#revocations?.refusal(verdict.peer) : undefined;
    return refusal === undefined ? verdict : { ok: false, ...refusal };
  }

  #judgeChain(certificate: X509Certificate, chain: HandshakeChain, now: Date): PeerVerdict {
    const trust = this.#trust;
    if (chain.state === 'rejected') return judgePeer({ ...trust, certificate, chain, now });
    const key = `${certificate.fingerprint256} ${chain.purpose}`;
    const known = this.#verified.get(key);
    if (known !== undefined) return judgeFacts(known.peer, { ...trust, now });
    const verdict = judgePeer({ ...trust, certificate, chain, now });
    if (verdict.ok) this.#verified.set(key, { peer: verdict.peer, certificate, chain });
    return verdict;
  }

  /**
   * Takes over the peers that the last generation had accepted. Returns the fingerprints of those that no longer chain to the
   * bundle: their live connections have to end. The bundle being the same, all of them stay good. Those that have expired by now are
   * left behind: their connections end for that.
   */
  inherit(last: Generation, now: Date): ReadonlySet<string> {
    const lost = new Set<string>();
    const sameTrust =
      last.bundleFingerprint === this.bundleFingerprint &&
      last.#federation.fingerprint === this.#federation.fingerprint;
    for (const known of last.#verified.values()) {
      const { peer, certificate, chain } = known;
      if (now >= peer.notAfter) continue;
      if (sameTrust) this.#verified.set(`${peer.fingerprint} ${chain.purpose}`, known);
      else if (this.#judgeChain(certificate, { ...chain, state: 'unchecked' }, now).ok) continue;
      else if (!this.#isRetired(known, last.bundle, now)) lost.add(peer.fingerprint);
    }
    return lost;
  }

  /** Whether a peer was accepted by a CA that has left the bundle in good order since. */
  #isRetired({ certificate: leaf, chain }: Verified, bundle: readonly X509Certificate[], now: Date): boolean {
    const { retired = [] } = this.parts;
    if (retired.length === 0) return false;
    const before = chainVerdict({ leaf, intermediates: chain.intermediates ?? [], bundle, now });
    const root = before.ok ? before.chain.at(-1) : undefined;
    return root !== undefined && retired.includes(fingerprint(root));
  }

  #options(authorities: readonly X509Certificate[]) {
    const { credentials, tls } = this.parts;
    const certificate = shownChain(credentials.certificate, this.bundle);
    return contextOptions({ key: credentials.key, certificate, trustBundle: formatCertificates(authorities) }, tls);
  }
}

/** The application protocol that suits a port, where a client of another kind than ours offers it. */
export function preferredProtocol(protocol: Protocol): 'h2' | 'http/1.1' {
  return protocol === 'HTTP2' || protocol === 'GRPC' ? 'h2' : 'http/1.1';
}

/**
 * Our own protocol if it is offered. Another client of the mesh (no sidecar, own certificate) gets what the port's protocol
 * says, else what it likes best: an answer is needed, OpenSSL ends the handshake without one.
 */
function chooseProtocol(offered: readonly string[], preferred: string, tunnels: boolean): string | undefined {
  if (tunnels && offered.includes(ALPN_TUNNEL)) return ALPN_TUNNEL;
  if (offered.includes(ALPN_DIRECT)) return ALPN_DIRECT;
  return offered.includes(preferred) ? preferred : offered.find((each) => each !== ALPN_ACME && each !== ALPN_TUNNEL);
}

// A connection to another pod's proxy with the handshake done: the answering certificate has proved exactly the identity that discovery
// gave, on a resumed session as well. No application byte has been sent. Both transports start here.
import { isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { ALPN_DIRECT } from '../../lib/api/contract.ts';
import type { Reason } from '../../lib/api/reasons.ts';
import type { Clock } from '../../lib/clock.ts';
import { sentWith } from '../../lib/pki/verify.ts';
import { type TlsFacts, tlsFacts } from '../tls/facts.ts';
import type { Generation } from '../tls/generation.ts';
import type { HandshakeChain, PeerFacts, PeerVerdict } from '../tls/peer.ts';
import { tlsFailure } from '../tls/reason.ts';
import type { ClientSession } from '../tls/sessions.ts';
import { dialPlain, reset } from './plain.ts';
import type { Opened, OpenLimits, Target } from './transport.ts';

/** What dialling needs from the rest of the proxy. */
export interface MeshDialerDeps {
  readonly clock: Clock;
  /** The newest credential generation. */
  generation(): Generation | undefined;
  /** A handshake has ended. */
  onHandshake(handshake: Handshaken): void;
}

/** A handshake that has ended: with what was agreed, or with the reason of its failure. */
export interface Handshaken {
  readonly target: Target;
  readonly made?: MeshConnection;
  readonly refusal?: Refusal;
  readonly ms: number;
}

interface Refusal {
  readonly reason: Reason;
  readonly detail: string;
}

/** A finished handshake. Nobody has read from the socket. */
export interface MeshConnection {
  readonly socket: TLSSocket;
  /** The TCP socket under it: only it can be reset, and it takes the other along. */
  readonly raw: Socket;
  readonly tls: TlsFacts;
  readonly peer: PeerFacts;
  readonly generation: Generation;
}

/** The outcome of dialling. */
export type MeshDialled = { readonly ok: true; readonly connection: MeshConnection } | Extract<Opened, { ok: false }>;

/** What this proxy stands with now, or why with nothing. */
export type Standing = { readonly ok: true; readonly generation: Generation } | ({ readonly ok: false } & Refusal);

interface Attempt {
  readonly target: Target;
  readonly generation: Generation;
  readonly started: Date;
  readonly deadlineMs: number;
  readonly protocols: readonly string[];
}

/** Dials. */
export class MeshDialer {
  readonly #deps: MeshDialerDeps;

  constructor(deps: MeshDialerDeps) {
    this.#deps = deps;
  }

  /** Connects and does the handshake, offering these application protocols, the best first. Never rejects. */
  async dial(target: Target, limits: OpenLimits, protocols: readonly string[]): Promise<MeshDialled> {
    const before = this.standing();
    if (!before.ok) return { ...before, fault: 'own' };
    const connected = await dialPlain(target, limits.connectTimeoutMs);
    if (!connected.ok) return connected;
    const startedAt = performance.now();
    const raw = connected.socket;
    // Looked at again: a lost SYN takes a second, and the certificate may have been swapped or revoked meanwhile.
    const own = this.standing();
    if (!own.ok) {
      reset(raw);
      return { ...own, fault: 'own' };
    }
    const { generation } = own;
    const started = this.#deps.clock.now();
    const deadlineMs = limits.handshakeTimeoutMs;
    const outcome = await this.#handshake(raw, { target, generation, started, deadlineMs, protocols });
    const ms = performance.now() - startedAt;
    if (!('reason' in outcome)) {
      this.#deps.onHandshake({ target, made: outcome, ms });
      return { ok: true, connection: outcome };
    }
    reset(raw);
    this.#deps.onHandshake({ target, refusal: outcome, ms });
    return { ok: false, ...outcome, fault: 'endpoint' };
  }

  /** The newest credentials, whether they can be used or not. */
  newest(): Generation | undefined {
    return this.#deps.generation();
  }

  /** What connections are made with now. */
  standing(): Standing {
    const generation = this.#deps.generation();
    if (generation === undefined || generation.expired(this.#deps.clock.now())) {
      const detail =
        generation === undefined ? 'no certificate yet' : `expired at ${generation.notAfter.toISOString()}`;
      return { ok: false, reason: 'own_certificate_expired', detail };
    }
    const revoked = generation.revoked();
    return revoked === undefined ? { ok: true, generation } : { ok: false, ...revoked };
  }

  #handshake(raw: Socket, attempt: Attempt): Promise<MeshConnection | Refusal> {
    const { promise, resolve } = Promise.withResolvers<MeshConnection | Refusal>();
    const { target, generation, started, deadlineMs, protocols } = attempt;
    const key = `${target.identity} ${target.address} ${target.port} ${target.serverName}`;
    // A long-lived connection proves everything anew.
    const known = protocols[0] === ALPN_DIRECT ? generation.sessions.get(key) : undefined;
    const socket = connectTls({
      socket: raw,
      secureContext: generation.client,
      // RFC 6066 section 3 allows no address here, and Node throws.
      ...(isIP(target.serverName) === 0 ? { servername: target.serverName } : {}),
      ALPNProtocols: [...protocols],
      // The verdict is ours: Node's compares DNS names, and does not look at a resumed session at all.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(known === undefined ? {} : { session: known.session }),
    });
    const settle = (outcome: MeshConnection | Refusal): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    const timer = setTimeout(() => settle({ reason: 'handshake_timeout', detail: 'the deadline passed' }), deadlineMs);
    socket.on('error', (error) => {
      // A session that led to a failure is not offered again.
      if (known !== undefined) generation.sessions.delete(key);
      const { reason, code } = tlsFailure(error);
      settle({ reason, detail: code });
    });
    socket.once('close', () => settle({ reason: 'reset', detail: 'connection closed' }));
    socket.once('secureConnect', () => {
      const verdict = this.#judge(socket, target, { generation, known });
      if (!verdict.ok) return settle(verdict);
      const { peer } = verdict;
      socket.on('session', (session) => generation.sessions.set(key, { session, peer }));
      settle({ socket, raw, tls: tlsFacts(socket, { serial: generation.serial, started }), peer, generation });
    });
    return promise;
  }

  #judge(
    socket: TLSSocket,
    target: Target,
    context: Pick<Attempt, 'generation'> & { known: ClientSession | undefined },
  ): PeerVerdict {
    const { generation, known } = context;
    const now = this.#deps.clock.now();
    const verdict = verdictOf(socket, { generation, known, now });
    if (verdict.ok && verdict.peer.identity !== target.identity) {
      return { ok: false, reason: 'identity_mismatch', detail: `${verdict.peer.identity} answered` };
    }
    return verdict;
  }
}

function verdictOf(
  socket: TLSSocket,
  { generation, known, now }: { generation: Generation; known: ClientSession | undefined; now: Date },
): PeerVerdict {
  if (socket.isSessionReused()) {
    if (known === undefined)
      return { ok: false, reason: 'malformed', detail: 'a session was resumed that was not offered' };
    return generation.judgeAgain(known.peer, now);
  }
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { ok: false, reason: 'unknown_ca', detail: 'the server showed no certificate' };
  const chain: HandshakeChain = socket.authorized
    ? { state: 'verified', purpose: 'server', intermediates: sentWith(certificate) }
    : { state: 'rejected', code: String(socket.authorizationError) };
  return generation.judge(certificate, chain, now);
}

// The `direct` transport: one mTLS connection per application connection, ALPN tabard-tcp/1. The answering certificate must
// prove exactly the identity that discovery gave, on a resumed session as well; whatever else happens, no byte is sent.
import { isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { ALPN_DIRECT } from '../../lib/api/contract.ts';
import type { Reason } from '../../lib/api/reasons.ts';
import type { Clock } from '../../lib/clock.ts';
import { sentWith } from '../../lib/pki/verify.ts';
import type { OpenHalf } from '../relay/half.ts';
import { tlsFacts } from '../tls/facts.ts';
import type { Generation } from '../tls/generation.ts';
import type { HandshakeChain, PeerVerdict } from '../tls/peer.ts';
import { tlsFailure } from '../tls/reason.ts';
import type { ClientSession } from '../tls/sessions.ts';
import { dialPlain, reset } from './plain.ts';
import type { Opened, OpenLimits, SecureLeg, Target, Transport } from './transport.ts';

/** What the transport needs from the rest of the proxy. */
export interface DirectTransportDeps {
  readonly clock: Clock;
  /** The newest credential generation. */
  generation(): Generation | undefined;
  readonly openHalf: OpenHalf;
}

interface Refusal {
  readonly reason: Reason;
  readonly detail: string;
}

/** Opens one mTLS connection for each application connection. */
export class DirectTransport implements Transport {
  readonly name = 'direct';
  readonly #deps: DirectTransportDeps;

  constructor(deps: DirectTransportDeps) {
    this.#deps = deps;
  }

  async open(target: Target, limits: OpenLimits): Promise<Opened> {
    const before = this.#own();
    if (!before.ok) return { ...before, fault: 'own', stage: 'connect', ms: 0 };
    const connected = await dialPlain(target, limits.connectTimeoutMs);
    if (!connected.ok) return connected;
    const startedAt = performance.now();
    const raw = connected.socket;
    // Looked at again: a lost SYN takes a second, and the certificate may have been swapped or revoked meanwhile.
    const own = this.#own();
    if (!own.ok) {
      reset(raw);
      return { ...own, fault: 'own', stage: 'connect', ms: connected.ms };
    }
    const { generation } = own;
    const started = this.#deps.clock.now();
    const outcome = await this.#handshake(raw, { target, generation, started, deadlineMs: limits.handshakeTimeoutMs });
    const ms = performance.now() - startedAt;
    if (!('reason' in outcome)) return { ok: true, leg: outcome, ms };
    reset(raw);
    return { ok: false, ...outcome, fault: 'endpoint', stage: 'handshake', ms };
  }

  /** What this proxy stands with now, or why with nothing. */
  #own(): { readonly ok: true; readonly generation: Generation } | ({ readonly ok: false } & Refusal) {
    const generation = this.#deps.generation();
    if (generation === undefined || generation.expired(this.#deps.clock.now())) {
      const detail =
        generation === undefined ? 'no certificate yet' : `expired at ${generation.notAfter.toISOString()}`;
      return { ok: false, reason: 'own_certificate_expired', detail };
    }
    const revoked = generation.revoked();
    return revoked === undefined ? { ok: true, generation } : { ok: false, ...revoked };
  }

  #handshake(raw: Socket, attempt: Attempt): Promise<SecureLeg | Refusal> {
    const { promise, resolve } = Promise.withResolvers<SecureLeg | Refusal>();
    const { target, generation, started, deadlineMs } = attempt;
    const key = `${target.identity} ${target.address} ${target.port} ${target.serverName}`;
    const known = generation.sessions.get(key);
    const socket = connectTls({
      socket: raw,
      secureContext: generation.client,
      // RFC 6066 section 3 allows no address here, and Node throws.
      ...(isIP(target.serverName) === 0 ? { servername: target.serverName } : {}),
      ALPNProtocols: [ALPN_DIRECT],
      // The verdict is ours: Node's compares DNS names, and does not look at a resumed session at all.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(known === undefined ? {} : { session: known.session }),
    });
    const settle = (outcome: SecureLeg | Refusal): void => {
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
      settle(this.#leg(socket, raw, { peer, generation, started }));
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

  #leg(
    socket: TLSSocket,
    raw: Socket,
    { peer, generation, started }: { peer: SecureLeg['peer']; generation: Generation; started: Date },
  ): SecureLeg {
    return {
      half: this.#deps.openHalf(socket, { under: raw, explain: (error) => tlsFailure(error).reason }),
      tls: tlsFacts(socket, { serial: generation.serial, started }),
      peer,
      ownNotAfter: generation.notAfter,
    };
  }
}

interface Attempt {
  readonly target: Target;
  readonly generation: Generation;
  readonly started: Date;
  readonly deadlineMs: number;
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

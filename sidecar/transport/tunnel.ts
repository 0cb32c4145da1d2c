// The `tunnel` transport: application connections are streams of long-lived mTLS connections, ALPN tabard/1. What cannot be a stream
// goes its own way over `direct`: by policy, to an endpoint that knows no tunnels, and beyond the caps. Nothing an application sent leaves
// before the far side has accepted its stream, so that whatever fails before may be tried again elsewhere.
import { randomInt } from 'node:crypto';
import { ALPN_DIRECT, ALPN_TUNNEL } from '../../lib/api/contract.ts';
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { Reason } from '../../lib/api/reasons.ts';
import type { Clock } from '../../lib/clock.ts';
import type { OpenHalf } from '../relay/half.ts';
import type { Generation } from '../tls/generation.ts';
import { tlsFailure } from '../tls/reason.ts';
import { judgedBy, tunnelId } from '../tunnel/made.ts';
import type { TunnelRegistry } from '../tunnel/registry.ts';
import { TunnelSession } from '../tunnel/session.ts';
import type { TunnelStream } from '../tunnel/stream.ts';
import type { Answer } from '../tunnel/table.ts';
import { type ClientTunnel, dueAt, measure, SUSTAINED_LOOKS } from './clienttunnel.ts';
import type { MeshConnection, MeshDialer } from './dial.ts';
import { DirectTransport, directLeg } from './direct.ts';
import { PeerTunnels, type PeerTunnelsDeps } from './peertunnels.ts';
import type { Opened, OpenLimits, Target, Transport } from './transport.ts';

/** What the transport needs from the rest of the proxy. */
export interface TunnelTransportDeps {
  readonly clock: Clock;
  readonly dialer: MeshDialer;
  readonly openHalf: OpenHalf;
  readonly registry: TunnelRegistry;
  /** The connections part of the policy in force. */
  limits(): EffectivePolicy['connections'];
}

/** Most streams in one tunnel; two tunnels hold twice as many as a policy's default lets in. */
export const MAX_STREAMS = 10_000;
/** A tunnel without a stream for so long is closed: a handshake costs less than what it holds. */
const IDLE_MS = 60_000;
/** One that is due and was not used for so long is not replaced. */
const UNUSED_MS = 2_000;
/** A tunnel that is due and could not be replaced is due again after this. */
const RETRY_MS = 5_000;
/** Endpoints beyond which those without a tunnel are forgotten. */
const MAX_PEERS = 1_024;
/** New credentials: tunnels in use are replaced within this time, not all at once. */
const REFRESH_WITHIN_MS = 3_000;
/** A tunnel may end while an OPEN is under way, and so may the next one. */
const MAX_TRIES = 3;
/** What a background handshake may take. */
const BACKGROUND: OpenLimits = { connectTimeoutMs: 2_000, handshakeTimeoutMs: 10_000 };

type Failed = Extract<Opened, { ok: false }>;

/** A stream that is wanted. */
interface Attempt {
  readonly target: Target;
  readonly limits: OpenLimits;
  readonly tell: (opened: Opened) => void;
  /** Tunnels that ended before they answered. */
  tries: number;
}

/** Opens streams. */
export class TunnelTransport implements Transport {
  readonly name = 'tunnel';
  readonly #deps: TunnelTransportDeps;
  readonly #direct: DirectTransport;
  readonly #peers = new Map<string, PeerTunnels>();
  /** Who was asked for last: of a few it is nearly always the same, by the same object. */
  #last: { readonly target: Target; readonly peer: PeerTunnels } | undefined;
  readonly #peerDeps: PeerTunnelsDeps;

  constructor(deps: TunnelTransportDeps) {
    this.#deps = deps;
    this.#direct = new DirectTransport(deps);
    this.#peerDeps = {
      dial: (target, limits) => deps.dialer.dial(target, limits, [ALPN_TUNNEL, ALPN_DIRECT]),
      adopt: (target, connection) => this.#adopt(target, connection),
      isCurrent: (tunnel) => this.#isCurrent(tunnel),
      breach: (tunnel) => this.#breach(tunnel),
      nowMs: () => this.#nowMs(),
    };
  }

  open(target: Target, limits: OpenLimits, tell: (opened: Opened) => void): void {
    if (this.#deps.limits().transport === 'Direct') this.#direct.open(target, limits, tell);
    else this.#try({ target, limits, tell, tries: 0 });
  }

  /** New credentials or another policy: tunnels are replaced, or given up. */
  refresh(): void {
    if (this.#deps.limits().transport === 'Direct') {
      return this.#deps.registry.retire(({ facts }) => facts.direction === 'outbound');
    }
    const nowMs = this.#nowMs();
    for (const peer of this.#peers.values()) {
      peer.hasten((tunnel) => (this.#isCurrent(tunnel) ? Infinity : nowMs + randomInt(REFRESH_WITHIN_MS)));
    }
    return undefined;
  }

  #try(attempt: Attempt): void {
    const { target, limits, tell } = attempt;
    const own = this.#deps.dialer.standing();
    if (!own.ok) return tell({ ...own, fault: 'own' });
    const peer = this.#peer(target);
    const ready = peer.ready();
    if (ready !== undefined) return this.#openStream(ready, own.generation, attempt);
    void peer.find(limits).then((place) => {
      switch (place.kind) {
        case 'failed':
          return tell(place.failure);
        case 'direct':
          return this.#openDirect(place.connection, attempt);
        case 'tunnel':
          return this.#openStream(place.tunnel, own.generation, attempt);
      }
    });
    return undefined;
  }

  #openStream(tunnel: ClientTunnel, generation: Generation, attempt: Attempt): void {
    const verdict = generation.judgeAgain(tunnel.peer, this.#deps.clock.now());
    if (!verdict.ok) return attempt.tell(failure(verdict.reason, verdict.detail));
    const opening = { port: tunnel.place.port, source: attempt.limits.source, startedMs: this.#nowMs() };
    const stream: TunnelStream = tunnel.session.open(opening, (answer) =>
      this.#answered(tunnel, stream, answer, attempt),
    );
    return undefined;
  }

  #answered(tunnel: ClientTunnel, half: TunnelStream, answer: Answer, attempt: Attempt): void {
    const { tell } = attempt;
    switch (answer.kind) {
      case 'accepted': {
        const { id, tls, peer, generation } = tunnel;
        const leg = { half, tls, peer, ownNotAfter: generation.notAfter, tunnel: { id, stream: half.id } };
        return tell({ ok: true, leg });
      }
      case 'refused':
        return tell(failure(answer.reason, 'the far side refused the stream'));
      case 'late':
        return tell(failure('upstream_unreachable', 'no answer to the stream in time'));
      case 'elsewhere':
        return this.#again(tunnel, attempt);
    }
  }

  /** Not answered: another tunnel may be tried. */
  #again(tunnel: ClientTunnel, attempt: Attempt): void {
    // Not asked a second time, whatever it says of itself.
    this.#peer(attempt.target).drop(tunnel);
    tunnel.session.retire();
    attempt.tries += 1;
    if (attempt.tries < MAX_TRIES) return this.#try(attempt);
    return attempt.tell(failure('upstream_unreachable', 'the tunnel ended before the answer'));
  }

  #openDirect(connection: MeshConnection | undefined, { target, limits, tell }: Attempt): void {
    if (connection === undefined) this.#direct.open(target, limits, tell);
    else tell({ ok: true, leg: directLeg(connection, this.#deps.openHalf) });
  }

  #adopt(target: Target, connection: MeshConnection): ClientTunnel | undefined {
    const { socket, raw, tls, peer, generation } = connection;
    if (tls.alpn !== ALPN_TUNNEL) return undefined;
    const peers = this.#peer(target);
    const half = this.#deps.openHalf(socket, { under: raw, explain: (error) => tlsFailure(error).reason });
    const judged = judgedBy({ direction: 'outbound', ...target, tls, peer, ownNotAfter: generation.notAfter });
    const nowMs = this.#nowMs();
    const session = new TunnelSession({
      half,
      role: 'dialling',
      peer: peers.held,
      maxStreams: MAX_STREAMS,
      nowMs: () => this.#nowMs(),
      events: {
        retired: () => peers.drop(tunnel),
        ended: (end) => {
          peers.drop(tunnel);
          this.#deps.registry.ended(tunnel, end);
        },
      },
    });
    const tunnel: ClientTunnel = {
      id: tunnelId(socket),
      session,
      ...judged,
      place: target,
      tls,
      peer,
      generation,
      dueMs: dueAt(nowMs, judged.endMs, this.#deps.limits().maxAgeMs),
      heat: 0,
      bulkLooks: 0,
      seenBytes: 0,
      isDue: false,
      look: (lookMs) => this.#look(peers, tunnel, lookMs),
    };
    this.#deps.registry.add(tunnel);
    return tunnel;
  }

  #look(peers: PeerTunnels, tunnel: ClientTunnel, nowMs: number): void {
    const { session } = tunnel;
    measure(tunnel);
    if (session.isRetired) return;
    const emptyMs = nowMs - (session.emptySinceMs ?? nowMs);
    if (emptyMs >= IDLE_MS || (nowMs >= tunnel.dueMs && emptyMs >= UNUSED_MS)) {
      peers.drop(tunnel);
      return session.retire();
    }
    if (nowMs >= tunnel.dueMs) {
      tunnel.isDue = true;
      tunnel.dueMs = nowMs + RETRY_MS;
      peers.refresh(BACKGROUND);
    } else if (tunnel.bulkLooks >= SUSTAINED_LOOKS) peers.widen(BACKGROUND);
    return undefined;
  }

  #peer(target: Target): PeerTunnels {
    if (this.#last?.target === target) return this.#last.peer;
    const key = `${target.address} ${target.port} ${target.identity}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      if (this.#peers.size >= MAX_PEERS) this.#sweep();
      peer = new PeerTunnels(this.#peerDeps, target);
      this.#peers.set(key, peer);
    }
    this.#last = { target, peer };
    return peer;
  }

  #sweep(): void {
    this.#last = undefined;
    for (const [key, peer] of this.#peers) if (peer.isEmpty) this.#peers.delete(key);
  }

  #isCurrent({ generation }: ClientTunnel): boolean {
    return this.#deps.dialer.newest() === generation;
  }

  #breach({ peer }: ClientTunnel): Reason | undefined {
    const own = this.#deps.dialer.standing();
    if (!own.ok) return own.reason;
    const verdict = own.generation.judgeAgain(peer, this.#deps.clock.now());
    return verdict.ok ? undefined : verdict.reason;
  }

  #nowMs(): number {
    return this.#deps.clock.nowMs();
  }
}

function failure(reason: Reason, detail: string): Failed {
  return { ok: false, reason, detail, fault: 'endpoint' };
}

// The accepting side of tunnels: each OPEN is judged as a connection would be, with the identity that the tunnel's handshake proved and
// the rules of now, before the application hears of it. What stands is handed on as one half of a connection like any other.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Place } from '../accesslog.ts';
import type { Half } from '../relay/half.ts';
import type { TlsFacts } from '../tls/facts.ts';
import type { Generation } from '../tls/generation.ts';
import type { PeerFacts } from '../tls/peer.ts';
import type { PeerHeld } from './held.ts';
import { judgedBy } from './made.ts';
import type { Opening } from './opening.ts';
import type { LiveTunnel, TunnelRegistry } from './registry.ts';
import { TunnelSession } from './session.ts';
import type { TunnelStream } from './stream.ts';

/** A TLS connection that agreed to be a tunnel. */
export interface AcceptedTunnel {
  readonly id: string;
  readonly half: Half;
  readonly source: Place;
  readonly destination: Place;
  readonly tls: TlsFacts;
  readonly peer: PeerFacts;
  /** What this proxy has proved itself with. */
  readonly generation: Generation;
}

/** A stream that was let in. */
export interface AcceptedStream {
  readonly tunnel: AcceptedTunnel;
  readonly stream: TunnelStream;
  readonly opening: Opening;
  /** The application's connection stands: false when the stream has gone meanwhile. */
  readonly accept: () => boolean;
  readonly refuse: (reason: Reason) => void;
}

/** What the acceptor needs. */
export interface AcceptorDeps {
  readonly clock: Clock;
  readonly registry: TunnelRegistry;
  generation(): Generation | undefined;
  /** Whether the port that an OPEN names is the one that the tunnel leads to. */
  readonly isSamePort: (named: number, captured: number) => boolean;
  /** Whether rules and limits let another stream in; asked once for each. */
  admit(tunnel: AcceptedTunnel): Refused | undefined;
  /** How long a tunnel without streams may stand. */
  idleTimeoutMs(): number;
  /** Carries a stream that was let in; must answer it. */
  carry(accepted: AcceptedStream): void;
  /** For log and metrics: a stream was refused before it was carried. */
  refused(tunnel: AcceptedTunnel, stream: number, refused: Refused): void;
}

/** Why a stream is refused. */
export interface Refused {
  readonly reason: Reason;
  readonly detail: string;
}

/** Most streams in one tunnel, opened or being opened. */
const MAX_STREAMS = 10_000;
/** Streams of one tunnel whose application has not answered: also those that the peer has reset since. */
const MAX_CONNECTING = 1_024;

const FULL = 'the tunnel has as many streams, or holds as much for readers, as it may';

/** Takes tunnels. */
export class TunnelAcceptor {
  readonly #deps: AcceptorDeps;
  /** Of each peer that has a tunnel here, by its address and identity. */
  readonly #peers = new Map<string, PeerHeld & { tunnels: number }>();

  constructor(deps: AcceptorDeps) {
    this.#deps = deps;
  }

  /** Takes a tunnel to its end. */
  take(accepted: AcceptedTunnel): void {
    const { id, half, source, destination, tls, peer, generation } = accepted;
    const { registry, clock } = this.#deps;
    const ownNotAfter = generation.notAfter;
    const door = { connecting: 0 };
    const who = `${source.address} ${peer.identity}`;
    const held = this.#peers.get(who) ?? { bytes: 0, tunnels: 0 };
    this.#peers.set(who, held);
    held.tunnels += 1;
    const session: TunnelSession = new TunnelSession({
      half,
      role: 'accepting',
      peer: held,
      maxStreams: MAX_STREAMS,
      nowMs: () => clock.nowMs(),
      events: {
        opened: (stream, opening) => this.#opened({ accepted, session, door, stream, opening }),
        full: (stream) => this.#deps.refused(accepted, stream, { reason: 'overload', detail: FULL }),
        retired: () => undefined,
        ended: (end) => {
          held.tunnels -= 1;
          if (held.tunnels === 0) this.#peers.delete(who);
          registry.ended(tunnel, end);
        },
      },
    });
    const tunnel: LiveTunnel = {
      id,
      session,
      ...judgedBy({ direction: 'inbound', address: source.address, port: destination.port, tls, peer, ownNotAfter }),
      place: source,
      look: (nowMs) => {
        const { emptySinceMs } = session;
        if (emptySinceMs !== undefined && nowMs - emptySinceMs >= this.#deps.idleTimeoutMs()) session.close();
      },
    };
    registry.add(tunnel);
    // The credentials were swapped during the handshake: nobody has told this tunnel.
    if (generation !== this.#deps.generation()) session.retire();
  }

  /** Other credentials, or a policy without tunnels: no more streams in those that stand. */
  refresh(): void {
    this.#deps.registry.retire(({ facts }) => facts.direction === 'inbound');
  }

  #opened({ accepted, session, door, stream, opening }: Opened): void {
    // Also when the peer has not heard yet that this tunnel is retired: every new stream stands on the newest certificate.
    if (accepted.generation !== this.#deps.generation()) return session.refuse(stream, 'elsewhere');
    const refused = this.#judge(accepted, opening, door.connecting);
    if (refused !== undefined) {
      this.#deps.refused(accepted, stream.id, refused);
      return session.refuse(stream, refused.reason);
    }
    door.connecting += 1;
    this.#deps.carry({
      tunnel: accepted,
      stream,
      opening,
      accept: () => {
        door.connecting -= 1;
        session.accept(stream);
        return stream.phase === 'open';
      },
      refuse: (reason) => {
        door.connecting -= 1;
        session.refuse(stream, reason);
      },
    });
    return undefined;
  }

  #judge(accepted: AcceptedTunnel, opening: Opening, connecting: number): Refused | undefined {
    const { peer, destination, generation } = accepted;
    const now = this.#deps.clock.now();
    const { port } = destination;
    if (!this.#deps.isSamePort(opening.port, port)) {
      return { reason: 'denied', detail: `the tunnel leads to port ${port}, the stream to ${opening.port}` };
    }
    if (generation.expired(now)) {
      return { reason: 'own_certificate_expired', detail: generation.notAfter.toISOString() };
    }
    const own = generation.revoked();
    if (own !== undefined) return own;
    const verdict = generation.judgeAgain(peer, now);
    if (!verdict.ok) return verdict;
    if (connecting >= MAX_CONNECTING)
      return { reason: 'overload', detail: `${connecting} streams wait for the application` };
    return this.#deps.admit(accepted);
  }
}

interface Opened {
  readonly accepted: AcceptedTunnel;
  readonly session: TunnelSession;
  readonly door: { connecting: number };
  readonly stream: TunnelStream;
  readonly opening: Opening;
}

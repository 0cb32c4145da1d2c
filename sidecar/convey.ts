// Joins two halves and keeps the books: limits of time, log line, metrics. Inbound and outbound meet here.
import type { EffectivePolicy, PlainReason } from '../lib/api/control.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { Clock } from '../lib/clock.ts';
import type { AccessLog, Handshake, Place, Refusal, TunnelFacts } from './accesslog.ts';
import type { Carriage, SidecarMetrics } from './metrics.ts';
import type { Half } from './relay/half.ts';
import { deadlineOf } from './relay/lifetime.ts';
import type { Direction, LiveConnections, LiveFacts } from './relay/live.ts';
import type { RelayEnd, StartRelay } from './relay/relay.ts';
import type { RequestsUnderWay } from './relay/requests.ts';
import type { TlsFacts } from './tls/facts.ts';
import type { PeerFacts } from './tls/peer.ts';

/** What is known of a connection when its relay starts. */
export interface Passage {
  readonly direction: Direction;
  readonly source: Place;
  readonly destination: Place;
  readonly endpoint?: Place | undefined;
  /** Port by which rules judge it again: the application's (inbound) or the endpoint's (outbound). */
  readonly port: number;
  readonly transport: LiveFacts['transport'];
  /** Why it goes without TLS. */
  readonly plain?: PlainReason | 'own_pod' | undefined;
  readonly tls?: TlsFacts | undefined;
  readonly peer?: PeerFacts | undefined;
  readonly ownNotAfter?: Date | undefined;
  /** Where it is a stream of a tunnel. */
  readonly tunnel?: TunnelFacts | undefined;
  /** Where requests are read: see LiveFacts. */
  readonly recheck?: () => Reason | undefined;
  /** See LiveConnection. */
  readonly requests?: RequestsUnderWay | undefined;
}

/** What the conveyor needs. */
export interface ConveyorDeps {
  readonly clock: Clock;
  readonly live: LiveConnections;
  readonly log: AccessLog;
  readonly metrics: SidecarMetrics;
  readonly relay: StartRelay;
  /** Limits of the policy in force. */
  limits(): EffectivePolicy['connections'];
}

/** Carries connections. */
export class Conveyor {
  readonly metrics: SidecarMetrics;
  readonly #deps: ConveyorDeps;

  constructor(deps: ConveyorDeps) {
    this.#deps = deps;
    this.metrics = deps.metrics;
  }

  /** Relays until both halves are done, and then calls back; `near` is the accepted one. */
  convey(near: Half, far: Half, passage: Passage, over?: () => void): void {
    const { clock, live, relay: start } = this.#deps;
    const { direction, peer, ownNotAfter } = passage;
    const startedMs = clock.nowMs();
    const { maxAgeMs, idleTimeoutMs } = this.#deps.limits();
    const relay = start(near, far, (end) => {
      live.remove(watched);
      this.#book(passage, end, startedMs);
      over?.();
    });
    const deadline = deadlineOf({
      startedMs,
      maxAgeMs,
      ownNotAfterMs: ownNotAfter?.getTime(),
      peerNotAfterMs: peer?.notAfter.getTime(),
      opener: direction === 'outbound',
    });
    const watched = live.add({ facts: factsOf(passage), relay, deadline, idleTimeoutMs, requests: passage.requests });
  }

  #book(passage: Passage, end: RelayEnd, startedMs: number): void {
    const { clock, log } = this.#deps;
    const { direction } = passage;
    const { reason } = end;
    if (log.tells(reason)) log.carried({ ...entryOf(passage), end, ms: clock.nowMs() - startedMs });
    const transport = carriageOf(passage);
    if (reason === undefined) this.metrics.connection({ direction, transport, result: 'ok' });
    else this.metrics.connection({ direction, transport, result: 'failed', reason });
    this.metrics.bytes(direction, end.bytesIn, end.bytesOut);
  }

  /** Books a TLS handshake. One that failed inbound has the line of its refusal. */
  handshake(handshake: Handshake): void {
    const { direction, reason, tls, ms = 0 } = handshake;
    const labels = { direction, resumed: tls?.resumed ?? false, ...(reason === undefined ? {} : { reason }) };
    this.metrics.handshake(labels, ms / 1_000);
    if (reason === undefined || direction === 'outbound') this.#deps.log.handshake(handshake);
  }

  /** Books a connection that is not carried. Ending it is the caller's. */
  refused(refusal: Refusal): void {
    const { direction, reason } = refusal;
    this.#deps.log.refused(refusal);
    this.metrics.connection({ direction, transport: 'none', result: 'refused', reason });
  }
}

function carriageOf({ transport, tunnel }: Pick<Passage, 'transport' | 'tunnel'>): Carriage {
  if (tunnel !== undefined) return 'tunnel';
  return transport === 'mutual' || transport === 'anonymous' ? 'direct' : transport;
}

/** By what it is judged again. Most are put together in one piece: piece by piece costs ten times as much. */
function factsOf({ direction, port, transport, source: { address }, peer, tls, recheck }: Passage): LiveFacts {
  if (peer !== undefined && tls !== undefined && recheck === undefined) {
    const { fingerprint: peerFingerprint } = peer;
    return { direction, port, address, transport, peerFingerprint, peer, ownSerial: tls.serial };
  }
  const holder = peer === undefined ? {} : { peerFingerprint: peer.fingerprint, peer };
  const own = tls === undefined ? {} : { ownSerial: tls.serial };
  return { direction, port, address, transport, ...holder, ...own, ...(recheck === undefined ? {} : { recheck }) };
}

/** What is said of it in a log line. */
function entryOf({ direction, source, destination, endpoint, plain, tls, peer, tunnel }: Passage) {
  return {
    direction,
    source,
    destination,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(plain === undefined ? {} : { plain }),
    ...(tls === undefined ? {} : { tls }),
    ...(peer === undefined ? {} : { peer }),
    ...(tunnel === undefined ? {} : { tunnel }),
  };
}

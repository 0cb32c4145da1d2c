// Every live connection of this proxy: looked at for its time, judged again when what holds for it changes, drained when the
// process stops. Counting is here, too: limits and metrics ask for numbers by direction.
import type { Reason } from '../../lib/api/reasons.ts';
import type { RevocationSubject } from '../../lib/api/revocations.ts';
import type { Clock } from '../../lib/clock.ts';
import { Crowd } from '../crowd.ts';
import { type Deadline, lifeVerdict } from './lifetime.ts';
import type { Relay } from './relay.ts';
import type { RequestsPhase, RequestsUnderWay } from './requests.ts';

/** Which way a connection was captured. */
export type Direction = 'inbound' | 'outbound';

/** What a rule needs to know about a live connection to decide again whether it may go on. */
export interface LiveFacts {
  readonly direction: Direction;
  /** Inbound: the application's port. Outbound: the port of the endpoint. */
  readonly port: number;
  /** Where the caller is, as its own connection shows. */
  readonly address: string;
  /** `untouched` is neither terminated nor encrypted here (Disabled, Passthrough, pass-through). */
  readonly transport: 'mutual' | 'anonymous' | 'plaintext' | 'untouched';
  /** Fingerprint of the peer's certificate, where it showed one. */
  readonly peerFingerprint?: string;
  /** Who the peer is, where it proved itself. */
  readonly peer?: RevocationSubject;
  /** Serial of the certificate that this proxy stands with, where it shows one. */
  readonly ownSerial?: string;
  /**
   * Present where requests are read: judges again what is asked for now, when rules have changed. A reason = the connection cannot go on;
   * a gate that can end one request alone does so and gives none.
   */
  readonly recheck?: () => Reason | undefined;
}

/** One live connection. */
export interface LiveConnection {
  readonly facts: LiveFacts;
  readonly relay: Relay;
  readonly deadline: Deadline;
  readonly idleTimeoutMs: number;
  /** Present where requests are read. */
  readonly requests?: RequestsUnderWay | undefined;
}

/** A live connection with what looks at it have seen. */
export interface Watched {
  readonly connection: LiveConnection;
  bytes: number;
  changedMs: number;
  quietMs: number;
  /** Its end has been asked for. */
  isLeaving: boolean;
  /** Kept by the crowd of all. */
  place: number;
}

const LOOK_EVERY_MS = 500;
/** While a connection's time is nearly over: often enough to meet a short quiet moment. */
const LOOK_CLOSELY_MS = 50;
/** Most silence that one look counts for: a look that comes late has seen nothing of what came meanwhile. */
const LOOK_COUNTS_MS = 100;

/** The set of live connections. */
export class LiveConnections {
  readonly #clock: Clock;
  readonly #admit: (facts: LiveFacts) => Reason | undefined;
  readonly #entries = new Crowd<Watched>();
  readonly #counts: Record<Direction, number> = { inbound: 0, outbound: 0 };
  #drainMs: number | undefined;
  #lookedMs: number;

  /**
   * `admit` is asked of each new connection: what it stands on may have been revoked after its peer was judged and before it came
   * here, and nobody would look at it again.
   */
  constructor(clock: Clock, admit: (facts: LiveFacts) => Reason | undefined = () => undefined) {
    this.#clock = clock;
    this.#admit = admit;
    this.#lookedMs = clock.now().getTime();
  }

  /** How many are live in one direction. */
  count(direction: Direction): number {
    return this.#counts[direction];
  }

  /** Watches a connection until it is removed, which has to be done when its relay has finished. */
  add(connection: LiveConnection): Watched {
    const entry: Watched = {
      connection,
      bytes: 0,
      changedMs: this.#clock.nowMs(),
      quietMs: 0,
      isLeaving: false,
      place: -1,
    };
    this.#entries.add(entry);
    this.#counts[connection.facts.direction] += 1;
    const reason = this.#admit(connection.facts);
    if (reason !== undefined) connection.relay.cut(reason);
    return entry;
  }

  /** Its relay has finished. */
  remove(entry: Watched): void {
    if (this.#entries.delete(entry)) this.#counts[entry.connection.facts.direction] -= 1;
  }

  /** Cuts every connection for which `judge` gives a reason. */
  enforce(judge: (facts: LiveFacts) => Reason | undefined): number {
    let cut = 0;
    for (const { connection } of this.#entries) {
      const reason = judge(connection.facts);
      if (reason === undefined) continue;
      connection.relay.cut(reason);
      cut += 1;
    }
    return cut;
  }

  /** Looks at every connection, twice a second or closely, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    let pauseMs = LOOK_EVERY_MS;
    while (!signal.aborted) {
      await this.#clock.sleep(pauseMs, signal).catch(() => undefined);
      pauseMs = this.look() ? LOOK_CLOSELY_MS : LOOK_EVERY_MS;
    }
  }

  /** One look at every connection. True while one of them waits for a quiet moment to end. */
  look(): boolean {
    const nowMs = this.#clock.nowMs();
    const drainMs = this.#drainMs;
    const countedMs = Math.min(nowMs - this.#lookedMs, LOOK_COUNTS_MS);
    this.#lookedMs = nowMs;
    let waiting = false;
    for (const entry of this.#entries) {
      const { relay, idleTimeoutMs, deadline } = entry.connection;
      const lapsed = entry.connection.requests?.lapse(nowMs);
      if (lapsed !== undefined) {
        relay.cut(lapsed);
        continue;
      }
      const traffic = relay.traffic();
      const bytes = traffic.bytesIn + traffic.bytesOut;
      if (bytes === entry.bytes) entry.quietMs += countedMs;
      else {
        entry.bytes = bytes;
        entry.changedMs = nowMs;
        entry.quietMs = 0;
      }
      const { changedMs, quietMs, isLeaving } = entry;
      const requests = this.#retire(entry, deadline, nowMs);
      const seen = { nowMs, traffic, changedMs, quietMs, isLeaving };
      const verdict = lifeVerdict({ ...seen, idleTimeoutMs, deadline, drainMs, requests });
      if (verdict.act === 'cut') relay.cut(verdict.reason);
      else if (verdict.act === 'close') {
        relay.close(drainMs === undefined ? verdict.ending : 'drained');
        // From here on the silence counts that follows the question.
        entry.isLeaving = true;
        entry.quietMs = 0;
        waiting = true;
      } else if (drainMs !== undefined || nowMs >= deadline.quietFromMs) waiting = true;
    }
    return waiting;
  }

  /** Where requests are read and the time has come, clients are asked to go elsewhere. How it stands with them. */
  #retire({ connection: { requests } }: Watched, deadline: Deadline, nowMs: number): RequestsPhase | undefined {
    const { quietFromMs, retireFromMs = quietFromMs } = deadline;
    const isTime = this.#drainMs !== undefined || nowMs >= Math.min(retireFromMs, quietFromMs);
    if (requests === undefined || !isTime) return undefined;
    requests.retire();
    return requests.phase;
  }

  /** From now on every connection ends at its first quiet moment; there are so many milliseconds for it. */
  drain(ms: number): void {
    this.#drainMs = ms;
  }

  /** Resolves when none is left, or when the signal is aborted. */
  async empty(signal: AbortSignal): Promise<void> {
    while (this.#entries.size > 0 && !signal.aborted) {
      // Taken again now and then: connections that were just being set up have joined since.
      await this.#clock.sleep(LOOK_EVERY_MS / 5, signal).catch(() => undefined);
    }
  }

  /** Resets all that are left. Returns how many. */
  endAll(): number {
    return this.enforce(() => 'reset');
  }
}

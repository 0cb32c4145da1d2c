// Which version of HTTP a client speaks, by its first octets: the preface of HTTP/2 (RFC 9113 section 3.4) begins as no request of HTTP/1.1 does.
// The application may speak first, as servers of HTTP/2 do; what it says waits until it is known who reads it.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Half, HalfEvents } from '../relay/half.ts';
import type { RequestsPhase, RequestsUnderWay } from '../relay/requests.ts';
import { preface } from './codes.ts';

/** A gate, and how it is asked whether what is in flight may go on. */
export interface GateHalf {
  readonly half: Half;
  readonly recheck: () => Reason | undefined;
  readonly requests: RequestsUnderWay;
}

/** The gates to choose from. */
export interface Gates {
  readonly http1: (application: Half) => GateHalf;
  readonly http2: (application: Half) => GateHalf;
}

/** `PRI *`: no method of HTTP/1.1 is asked for `*` but OPTIONS. */
const TELLING = 5;

/** A half around the application's, which becomes one gate or the other. */
export class ChosenGate implements Half {
  readonly #application: WaitingHalf;
  readonly #gates: Gates;
  readonly #begunWithinMs: number;
  #events: HalfEvents | undefined;
  #gate: GateHalf | undefined;
  #first: Buffer = Buffer.alloc(0);
  #timer: NodeJS.Timeout | undefined;

  /** `begunWithinMs`: how long the first octets may be too few to tell by. */
  constructor(application: Half, gates: Gates, begunWithinMs: number) {
    this.#application = new WaitingHalf(application);
    this.#gates = gates;
    this.#begunWithinMs = begunWithinMs;
  }

  get queued(): number {
    return this.#gate?.half.queued ?? this.#application.queued;
  }

  start(events: HalfEvents): void {
    this.#events = events;
    this.#application.open({
      // Whoever ends before anything was asked has nothing to say to either gate.
      ended: () => events.ended(),
      closed: (reason) => {
        clearTimeout(this.#timer);
        events.closed(reason);
      },
    });
  }

  write(bytes: Uint8Array, lent: boolean): boolean {
    if (this.#gate !== undefined) return this.#gate.half.write(bytes, lent);
    const all = this.#first.length === 0 ? bytes : Buffer.concat([this.#first, bytes]);
    const length = Math.min(all.length, TELLING);
    const isPreface = preface.subarray(0, length).equals(all.subarray(0, length));
    if (isPreface && length < TELLING) {
      this.#first = Buffer.from(all);
      this.#timer ??= setTimeout(() => this.reset(), this.#begunWithinMs).unref();
      return true;
    }
    clearTimeout(this.#timer);
    const { http1, http2 } = this.#gates;
    this.#gate = isPreface ? http2(this.#application) : http1(this.#application);
    if (this.#events !== undefined) this.#gate.half.start(this.#events);
    // Before what is asked: an answer that nobody had asked for must not be taken for the first one's.
    this.#application.release();
    return this.#gate.half.write(all, lent && all === bytes);
  }

  end(): void {
    this.#current.end();
  }

  pause(): void {
    this.#current.pause();
  }

  resume(): void {
    this.#current.resume();
  }

  reset(reason?: Reason): void {
    clearTimeout(this.#timer);
    this.#current.reset(reason);
  }

  abort(reason?: Reason): void {
    clearTimeout(this.#timer);
    this.#current.abort(reason);
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#current.destroy();
  }

  /** See LiveFacts. */
  recheck(): Reason | undefined {
    return this.#gate?.recheck();
  }

  /** Whoever has said nothing yet is asked when it is known how. */
  retire(): void {
    this.#gate?.requests.retire();
  }

  /** See RequestsUnderWay. */
  get phase(): RequestsPhase {
    return this.#gate?.requests.phase ?? 'free';
  }

  /** See RequestsUnderWay. */
  lapse(nowMs: number): Reason | undefined {
    return this.#gate?.requests.lapse(nowMs);
  }

  get #current(): Half {
    return this.#gate?.half ?? this.#application;
  }
}

/** A half that was started before anybody knew for whom: what comes waits for him. */
class WaitingHalf implements Half {
  readonly #inner: Half;
  #events: HalfEvents | undefined;
  #early: Pick<HalfEvents, 'ended' | 'closed'> | undefined;
  #waiting: Buffer[] = [];
  #paused = false;

  constructor(inner: Half) {
    this.#inner = inner;
  }

  get queued(): number {
    return this.#inner.queued;
  }

  /** Begins; `early` hears of the end as long as nobody else does. */
  open(early: Pick<HalfEvents, 'ended' | 'closed'>): void {
    this.#early = early;
    this.#inner.start({
      data: (bytes, lent) => {
        if (this.#events !== undefined && this.#waiting.length === 0) return this.#events.data(bytes, lent);
        this.#waiting.push(Buffer.from(bytes));
        return this.#inner.pause();
      },
      ended: () => (this.#events ?? this.#early)?.ended(),
      drained: () => this.#events?.drained(),
      closed: (reason) => (this.#events ?? this.#early)?.closed(reason),
    });
  }

  start(events: HalfEvents): void {
    this.#events = events;
  }

  write(bytes: Uint8Array, lent: boolean): boolean {
    return this.#inner.write(bytes, lent);
  }

  end(): void {
    this.#inner.end();
  }

  pause(): void {
    this.#paused = true;
    this.#inner.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#waiting.length === 0) this.#inner.resume();
  }

  reset(reason?: Reason): void {
    this.#inner.reset(reason);
  }

  abort(reason?: Reason): void {
    this.#inner.abort(reason);
  }

  destroy(): void {
    this.#inner.destroy();
  }

  /** Hands on what has waited. */
  release(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const bytes of waiting) this.#events?.data(bytes, false);
    if (!this.#paused) this.#inner.resume();
  }
}

// One tunnel: streams in both directions over one half, which is a TLS connection whose peer has proved itself. Frames of unknown types are
// skipped, a broken rule ends the tunnel, and nothing an application sent is lost or sent twice: a stream carries bytes once it was accepted.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Half } from '../relay/half.ts';
import { codeOf, ELSEWHERE, RETIRE, type Rule, reasonOf, ruleOf, rules } from './codes.ts';
import { frameTypes, PING_BYTES } from './frame.ts';
import { MAX_PEER_BYTES, MAX_TUNNEL_BYTES, type PeerHeld } from './held.ts';
import { LOOK_COUNTS_MS, pulseVerdict } from './life.ts';
import { decodeOpening, encodeOpening, type Opening } from './opening.ts';
import { Outbox } from './outbox.ts';
import { FrameReader } from './reader.ts';
import type { TunnelStream } from './stream.ts';
import { type Answer, StreamTable } from './table.ts';

/**
 * What ended a tunnel. `closed` by us, `told` by the peer's GOAWAY, `lost` with its connection, `dead` for want of an answer, `violation`
 * of a rule by the peer, `cut` because it may not go on.
 */
export type TunnelCause = 'closed' | 'told' | 'lost' | 'dead' | 'violation' | 'cut';

/** How a tunnel ended. */
export interface SessionEnd {
  readonly cause: TunnelCause;
  /** Why its streams were reset; absent when none was left. */
  readonly reason?: Reason;
  readonly rule?: Rule | 'unknown_rule';
  /** How many streams it took with it. */
  readonly streams: number;
}

/** What a session tells its owner. */
export interface SessionEvents {
  /** Accepting side: a stream wants to be opened. Answer with `accept` or `refuse`. */
  opened?(stream: TunnelStream, opening: Opening): void;
  /** Accepting side: a stream was refused, for the tunnel or its peer has as much as it may. */
  full?(stream: number): void;
  /** The peer wants no more streams in this tunnel. */
  retired(): void;
  /** Over; the last event. */
  ended(end: SessionEnd): void;
}

/** Settings of a session. */
export interface SessionOptions {
  readonly half: Half;
  readonly role: 'dialling' | 'accepting';
  readonly events: SessionEvents;
  /** Most streams at once. */
  readonly maxStreams: number;
  /** Milliseconds of any clock that only goes forward. */
  readonly nowMs: () => number;
  /** What waits in all tunnels of the same peer; by default this is the only one. */
  readonly peer?: PeerHeld;
  /** Number of the first stream; 1 but for tests. */
  readonly firstStream?: number;
  /** Calls back at the end of the present turn; `setImmediate` by default. */
  readonly defer?: (callback: () => void) => void;
}

/** Longest wait for the answer to an OPEN: the far side connects to its application before it answers. */
const ANSWER_TIMEOUT_MS = 15_000;
/** Longest wait for the peer's end of a connection that we have ended in order. */
export const CLOSE_WITHIN_MS = 3_000;

/** A tunnel. */
export class TunnelSession {
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #reader: FrameReader;
  readonly #table: StreamTable;
  readonly #peer: PeerHeld;
  #received = 0;
  /** Counted since bytes last came, and since the peer was asked. */
  #silentMs = 0;
  #waitedMs: number | undefined;
  #lookedMs: number;
  #emptySinceMs: number;
  #suspect = false;
  #sentGoaway = false;
  #retired = false;
  #over = false;
  #gone = false;
  /** Bounds the wait for the peer's end. */
  #closing: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#peer = options.peer ?? { bytes: 0 };
    this.#lookedMs = this.#emptySinceMs = options.nowMs();
    this.#reader = new FrameReader({
      data: (stream, bytes, lent) => this.#goesOn(this.#table.data(stream, bytes, lent)),
      frame: (type, stream, payload) => this.#goesOn(this.#frame(type, stream, payload)),
      violation: (rule) => void this.#goesOn(rule),
    });
    const outbox = new Outbox({
      half: options.half,
      defer: options.defer ?? setImmediate,
      onRoom: () => this.#table.run(() => outbox.room > 0),
      onIdle: () => this.#table.goOn(),
      onFlood: () => void this.#goesOn('flood'),
    });
    this.#outbox = outbox;
    this.#table = new StreamTable({
      outbox,
      first: options.firstStream ?? 1,
      peer: this.#peer,
      onEmpty: () => this.#emptied(),
    });
    options.half.start({
      data: (bytes, lent) => this.#heard(bytes, lent),
      ended: () => this.#left(true),
      drained: () => outbox.drained(),
      closed: () => {
        this.#gone = true;
        clearTimeout(this.#closing);
        this.#left(false);
      },
    });
  }

  /** Streams that are open or being opened. */
  get streams(): number {
    return this.#table.size;
  }

  /** Whether another stream may be opened here. */
  get isUsable(): boolean {
    return !this.isRetired && !this.#suspect && !this.isFull;
  }

  /** At a cap. */
  get isFull(): boolean {
    const { size, held } = this.#table;
    return size >= this.#options.maxStreams || held >= MAX_TUNNEL_BYTES || this.#peer.bytes >= MAX_PEER_BYTES;
  }

  /** No new streams: retired by either side, as for its last number, or over. */
  get isRetired(): boolean {
    return this.#retired || this.#over;
  }

  /** Its connection is closed. */
  get isGone(): boolean {
    return this.#gone;
  }

  /** Bytes that have passed, both ways. */
  get traffic(): number {
    return this.#received + this.#outbox.sent;
  }

  /** Bytes that wait here for readers, and for the connection. */
  get held(): number {
    return this.#table.held + this.#outbox.length;
  }

  /** Since when there is no stream; undefined while there is one. */
  get emptySinceMs(): number | undefined {
    return this.#table.size > 0 ? undefined : this.#emptySinceMs;
  }

  /** Dialling side: asks for a stream. Bytes may be sent once it was accepted. */
  open(opening: Opening, answer: (answer: Answer) => void): TunnelStream {
    const stream = this.#table.ask(this.#options.nowMs(), answer);
    this.#outbox.control(frameTypes.open, stream.id, encodeOpening(opening));
    if (this.#table.isSpent) this.retire();
    return stream;
  }

  /** Accepting side: the application's connection stands. */
  accept(stream: TunnelStream): void {
    if (stream.phase !== 'opening' || this.#over) return;
    stream.accepted();
    this.#outbox.control(frameTypes.accept, stream.id);
  }

  /** Accepting side: the stream is not carried. `elsewhere`: not in this tunnel. */
  refuse(stream: TunnelStream, reason: Reason | 'elsewhere'): void {
    if (stream.phase !== 'opening' || this.#over) return;
    const code = reason === 'elsewhere' ? ELSEWHERE : codeOf(reason);
    this.#outbox.control(frameTypes.refuse, stream.id, Uint8Array.of(code));
    stream.lose('reset');
  }

  /** Asks the peer to open no more streams (accepting side), or opens no more (dialling side). Streams that stand go on. */
  retire(): void {
    if (this.#over || this.#sentGoaway) return;
    this.#retired = true;
    this.#goaway(RETIRE);
    this.#closeIfDone();
  }

  /** Ends the tunnel in order; streams that are left are reset. */
  close(): void {
    this.#finish({ cause: 'closed' }, RETIRE);
  }

  /** Ends the tunnel and its streams at once, for a reason that the peer is told. */
  cut(reason: Reason): void {
    this.#finish({ cause: 'cut', reason }, codeOf(reason));
  }

  /** Asks a silent peer, gives a dead one up, and ends what lingers. Called about twice a second. */
  look(): void {
    if (this.#over) return;
    const nowMs = this.#options.nowMs();
    const countedMs = Math.min(nowMs - this.#lookedMs, LOOK_COUNTS_MS);
    this.#lookedMs = nowMs;
    this.#silentMs += countedMs;
    if (this.#waitedMs !== undefined) this.#waitedMs += countedMs;
    const isOpening = this.#table.isAsking;
    const verdict = pulseVerdict({ silentMs: this.#silentMs, waitedMs: this.#waitedMs, isOpening });
    this.#suspect = verdict === 'suspect';
    if (verdict === 'dead') return this.#finish({ cause: 'dead', reason: 'reset' });
    if (verdict === 'ask') {
      this.#waitedMs = 0;
      this.#outbox.control(frameTypes.ping, 0, new Uint8Array(PING_BYTES));
    }
    // Whoever waits for a suspect tries anew, as far as a connection of its own would: nothing was sent.
    if (this.#suspect) this.#table.giveUp(nowMs, { kind: 'elsewhere' });
    else this.#table.giveUp(nowMs - ANSWER_TIMEOUT_MS, { kind: 'late' });
    return this.#table.sweep(nowMs);
  }

  #heard(bytes: Uint8Array, lent: boolean): void {
    if (this.#over) return;
    this.#silentMs = 0;
    this.#waitedMs = undefined;
    this.#suspect = false;
    this.#received += bytes.length;
    this.#reader.push(bytes, lent);
  }

  #frame(type: number, id: number, payload: Uint8Array): Rule | undefined {
    const isOfTunnel = type === frameTypes.ping || type === frameTypes.pong || type === frameTypes.goaway;
    if (isOfTunnel !== (id === 0)) return 'wrong_scope';
    switch (type) {
      case frameTypes.ping:
        if (payload.length < PING_BYTES) return 'bad_length';
        this.#outbox.control(frameTypes.pong, 0, payload.subarray(0, PING_BYTES));
        return undefined;
      case frameTypes.pong:
        return undefined;
      case frameTypes.goaway:
        return payload.length === 0 ? 'bad_length' : this.#told(payload[0] ?? RETIRE);
      case frameTypes.open:
        return this.#take(id, payload);
      case frameTypes.accept:
      case frameTypes.refuse:
        return this.#options.role === 'accepting' ? 'bad_answer' : this.#table.frame(type, id, payload);
      default:
        return this.#table.frame(type, id, payload);
    }
  }

  #take(id: number, payload: Uint8Array): Rule | undefined {
    const { role, events } = this.#options;
    const opening = decodeOpening(payload);
    if (role === 'dialling' || opening === undefined) return 'bad_open';
    const isFull = this.isFull;
    const stream = this.#table.take(id);
    if (stream === undefined) return 'bad_open';
    if (isFull || events.opened === undefined) {
      events.full?.(id);
      this.refuse(stream, 'overload');
    } else events.opened(stream, opening);
    return undefined;
  }

  #told(code: number): undefined {
    if (code === RETIRE) {
      this.#retired = true;
      this.#options.events.retired();
      this.#closeIfDone();
      return;
    }
    const rule = ruleOf(code);
    this.#finish({ cause: 'told', ...(rule === undefined ? { reason: reasonOf(code) } : { reason: 'reset', rule }) });
  }

  #emptied(): void {
    this.#emptySinceMs = this.#options.nowMs();
    this.#closeIfDone();
  }

  /** The side that dialled closes a tunnel that has served its time: it knows of every stream that is under way. */
  #closeIfDone(): void {
    const isDone = this.#retired && this.#table.size === 0 && this.#options.role === 'dialling';
    if (isDone) queueMicrotask(() => this.close());
  }

  /** The connection has ended: in order, if no more streams were wanted in it and the peer said so, or had nothing left to say. */
  #left(isOrderly: boolean): void {
    this.#finish({ cause: this.#retired && (isOrderly || this.#table.size === 0) ? 'closed' : 'lost' });
  }

  /** Ends the tunnel if a rule was broken. True: it is not over. */
  #goesOn(broken: Rule | undefined): boolean {
    if (broken !== undefined) this.#finish({ cause: 'violation', reason: 'malformed', rule: broken }, rules[broken]);
    return !this.#over;
  }

  /**
   * Closes the connection after what waits in it, and once the peer has, too: on one that we no longer read the peer's next frame would be
   * answered by the kernel, with a reset that overtakes the last bytes of streams.
   */
  #close(): void {
    const { half } = this.#options;
    half.end();
    if (!this.#gone) this.#closing = setTimeout(() => half.destroy(), CLOSE_WITHIN_MS).unref();
  }

  #goaway(code: number): void {
    this.#sentGoaway = true;
    const last = this.#table.next - 1;
    this.#outbox.control(frameTypes.goaway, 0, Uint8Array.of(code, last >>> 24, last >>> 16, last >>> 8, last));
  }

  /** Ends it; without a code the peer is told nothing. */
  #finish(end: Omit<SessionEnd, 'streams'>, code?: number): void {
    if (this.#over) return;
    this.#over = true;
    const { half, events } = this.#options;
    if (code !== undefined && !(code === RETIRE && this.#sentGoaway)) this.#goaway(code);
    const streams = end.cause === 'closed' ? this.#table.severAll() : this.#table.loseAll(end.reason ?? 'reset');
    this.#outbox.finish();
    if (end.cause === 'dead') half.reset();
    else if (end.cause === 'closed') this.#close();
    else half.destroy();
    const reason = end.reason ?? (streams > 0 ? ('reset' as const) : undefined);
    events.ended({ ...end, ...(reason === undefined ? {} : { reason }), streams });
  }
}

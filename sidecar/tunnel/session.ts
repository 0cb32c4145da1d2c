// One tunnel: streams in both directions over one half, which is a TLS connection whose peer has proved itself. Frames of unknown types are
// skipped, a broken rule ends the tunnel, and nothing an application sent is lost or sent twice: a stream carries bytes once it was accepted.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Half } from '../relay/half.ts';
import { codeOf, ELSEWHERE, RETIRE, type Rule, reasonOf, ruleOf, rules } from './codes.ts';
import { frameTypes, MAX_STREAM, PING_BYTES, readUint32 } from './frame.ts';
import { pulseVerdict } from './life.ts';
import { decodeOpening, encodeOpening, type Opening } from './opening.ts';
import { Outbox } from './outbox.ts';
import { sessionPort } from './port.ts';
import { FrameReader } from './reader.ts';
import { type StreamPort, TunnelStream } from './stream.ts';
import { Turns } from './turns.ts';

/** How an OPEN was answered. `elsewhere`: another tunnel may be tried. `late`: the peer is silent, or its application is. */
export type Answer =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly reason: Reason }
  | { readonly kind: 'elsewhere' }
  | { readonly kind: 'late' };

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
  readonly streams: number;
}

/** What a session tells its owner. */
export interface SessionEvents {
  /** Accepting side: a stream wants to be opened. Answer with `accept` or `refuse`. */
  opened?(stream: TunnelStream, opening: Opening): void;
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
  /** Number of the first stream; 1 but for tests. */
  readonly firstStream?: number;
  /** Calls back at the end of the present turn; `setImmediate` by default. */
  readonly defer?: (callback: () => void) => void;
}

/** Bytes that may wait in one tunnel for readers that do not read, before it takes no more streams. */
const MAX_HELD_BYTES = 33_554_432;
/** Longest wait for the answer to an OPEN: the far side connects to its application before it answers. */
const ANSWER_TIMEOUT_MS = 6_000;
/** Longest wait for the end of a stream whose relay is done. */
const LINGER_STREAM_MS = 60_000;

interface Unanswered {
  readonly sinceMs: number;
  readonly answer: (answer: Answer) => void;
}

/** A tunnel. */
export class TunnelSession {
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #reader: FrameReader;
  readonly #streams = new Map<number, TunnelStream>();
  readonly #unanswered = new Map<number, Unanswered>();
  readonly #turns = new Turns();
  #next: number;
  #held = 0;
  #received = 0;
  #heardMs: number;
  #askedMs: number | undefined;
  #emptySinceMs: number;
  #suspect = false;
  #sentGoaway = false;
  #retired = false;
  #over = false;
  #gone = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#next = options.firstStream ?? 1;
    this.#heardMs = this.#emptySinceMs = options.nowMs();
    this.#reader = new FrameReader({
      data: (stream, bytes, lent) => this.#data(stream, bytes, lent),
      frame: (type, stream, payload) => this.#frame(type, stream, payload),
      violation: (rule) => this.#violation(rule),
    });
    this.#outbox = new Outbox({
      half: options.half,
      defer: options.defer ?? setImmediate,
      onRoom: () => this.#turns.run(() => this.#outbox.hasRoom),
      onFlood: () => this.#violation('flood'),
    });
    options.half.start({
      data: (bytes, lent) => this.#heard(bytes, lent),
      ended: () => this.#finish({ cause: 'lost' }),
      drained: () => this.#outbox.drained(),
      closed: () => {
        this.#gone = true;
        this.#finish({ cause: 'lost' });
      },
    });
  }

  /** Streams that are open or being opened. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Whether another stream may be opened here. */
  get isUsable(): boolean {
    return !this.#over && !this.#retired && !this.#suspect && !this.isFull && this.#next <= MAX_STREAM;
  }

  /** At a cap. */
  get isFull(): boolean {
    return this.#streams.size >= this.#options.maxStreams || this.#held >= MAX_HELD_BYTES;
  }

  /** No new streams: retired by either side, out of numbers, or over. */
  get isRetired(): boolean {
    return this.#retired || this.#over || this.#next > MAX_STREAM;
  }

  /** Its connection is closed. */
  get isGone(): boolean {
    return this.#gone;
  }

  /** Bytes that have passed, both ways. */
  get traffic(): number {
    return this.#received + this.#outbox.sent;
  }

  /** Since when there is no stream; undefined while there is one. */
  get emptySinceMs(): number | undefined {
    return this.#streams.size > 0 ? undefined : this.#emptySinceMs;
  }

  /** Dialling side: asks for a stream. Bytes may be sent once it was accepted. */
  open(opening: Opening, answer: (answer: Answer) => void): TunnelStream {
    const stream = this.#add(this.#next);
    this.#next += 1;
    this.#unanswered.set(stream.id, { sinceMs: this.#options.nowMs(), answer });
    this.#outbox.control(frameTypes.open, stream.id, encodeOpening(opening));
    return stream;
  }

  /** Accepting side: the application's connection stands. */
  accept(stream: TunnelStream): void {
    if (stream.phase !== 'opening' || this.#over) return;
    stream.accepted();
    this.#outbox.control(frameTypes.accept, stream.id);
  }

  /** Accepting side: the stream is not carried. */
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
    const [oldest] = this.#unanswered.values();
    const verdict = pulseVerdict({
      nowMs,
      heardMs: this.#heardMs,
      askedMs: this.#askedMs,
      openingMs: oldest?.sinceMs,
    });
    this.#suspect = verdict === 'suspect';
    if (verdict === 'dead') return this.#finish({ cause: 'dead', reason: 'reset' });
    if (verdict === 'ask') {
      this.#askedMs = nowMs;
      this.#outbox.control(frameTypes.ping, 0, new Uint8Array(PING_BYTES));
    }
    // Whoever waits for a suspect would rather try another endpoint: nothing was sent.
    this.#giveUp(this.#suspect ? nowMs : nowMs - ANSWER_TIMEOUT_MS);
    return this.#sweep(nowMs);
  }

  /** Waits no longer for answers to what was asked before. */
  #giveUp(beforeMs: number): void {
    for (const [id, { sinceMs, answer }] of [...this.#unanswered]) {
      if (sinceMs > beforeMs) return;
      this.#unanswered.delete(id);
      this.#streams.get(id)?.reset();
      answer({ kind: 'late' });
    }
  }

  /** Whether a stream may be opened by the peer now. */
  #take(id: number, payload: Uint8Array): Rule | undefined {
    const opening = decodeOpening(payload);
    const { role, events } = this.#options;
    if (role === 'dialling' || id < this.#next || id > MAX_STREAM || opening === undefined) return 'bad_open';
    this.#next = id + 1;
    const isFull = this.isFull;
    const stream = this.#add(id);
    if (isFull || events.opened === undefined) this.refuse(stream, 'overload');
    else events.opened(stream, opening);
    return undefined;
  }

  #add(id: number): TunnelStream {
    const stream = new TunnelStream(this.#port, id);
    this.#streams.set(id, stream);
    return stream;
  }

  readonly #port: StreamPort = sessionPort({
    outbox: () => this.#outbox,
    hold: (bytes) => void (this.#held += bytes),
    queue: (stream) => {
      this.#turns.add(stream);
      this.#outbox.arm();
    },
    forget: (stream) => this.#forget(stream),
  });

  #forget(stream: TunnelStream): void {
    if (!this.#streams.delete(stream.id)) return;
    const waiting = this.#unanswered.get(stream.id);
    this.#unanswered.delete(stream.id);
    waiting?.answer({ kind: 'elsewhere' });
    if (this.#streams.size > 0) return;
    this.#emptySinceMs = this.#options.nowMs();
    this.#closeIfDone();
  }

  /** The side that dialled closes a tunnel that has served its time: it knows of every stream that is under way. */
  #closeIfDone(): void {
    const isDone = this.#retired && this.#streams.size === 0 && this.#options.role === 'dialling';
    if (isDone) queueMicrotask(() => this.close());
  }

  #heard(bytes: Uint8Array, lent: boolean): void {
    this.#heardMs = this.#options.nowMs();
    this.#askedMs = undefined;
    this.#suspect = false;
    this.#received += bytes.length;
    this.#reader.push(bytes, lent);
  }

  #data(id: number, bytes: Uint8Array, lent: boolean): boolean {
    const stream = this.#streams.get(id);
    const rule = stream === undefined ? this.#unknown(id) : stream.receive(bytes, lent);
    if (rule !== undefined) this.#violation(rule);
    return !this.#over;
  }

  #frame(type: number, id: number, payload: Uint8Array): boolean {
    const rule = isOfTunnel(type) === (id === 0) ? this.#dispatch(type, id, payload) : 'wrong_scope';
    if (rule !== undefined) this.#violation(rule);
    return !this.#over;
  }

  #dispatch(type: number, id: number, payload: Uint8Array): Rule | undefined {
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
      default: {
        const stream = this.#streams.get(id);
        return stream === undefined ? this.#unknown(id) : this.#ofStream(type, stream, payload);
      }
    }
  }

  #ofStream(type: number, stream: TunnelStream, payload: Uint8Array): Rule | undefined {
    switch (type) {
      case frameTypes.accept:
        return this.#answered(stream, { kind: 'accepted' });
      case frameTypes.refuse:
        return this.#answered(stream, refusal(payload[0] ?? 0));
      case frameTypes.end:
        return stream.receiveEnd();
      case frameTypes.window:
        return payload.length < 4 ? 'bad_length' : stream.receiveWindow(readUint32(payload, 0));
      default:
        return this.#reset(stream, reasonOf(payload[0] ?? 0));
    }
  }

  #reset(stream: TunnelStream, reason: Reason): undefined {
    stream.lose(reason);
  }

  #answered(stream: TunnelStream, answer: Answer): Rule | undefined {
    const waiting = this.#unanswered.get(stream.id);
    if (waiting === undefined) return 'bad_answer';
    this.#unanswered.delete(stream.id);
    if (answer.kind === 'accepted') stream.accepted();
    else stream.lose('reset');
    waiting.answer(answer);
    return undefined;
  }

  /** Frames of a stream that has ended may still be under way; of one that never was there are none. */
  #unknown(id: number): Rule | undefined {
    return id === 0 ? 'wrong_scope' : id >= this.#next ? 'unknown_stream' : undefined;
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

  #sweep(nowMs: number): void {
    for (const stream of this.#streams.values()) {
      if (stream.phase !== 'lingering') continue;
      if (stream.lingersSinceMs === 0) stream.lingersSinceMs = nowMs;
      else if (nowMs - stream.lingersSinceMs >= LINGER_STREAM_MS) stream.reset();
    }
  }

  #violation(rule: Rule): void {
    this.#finish({ cause: 'violation', reason: 'malformed', rule }, rules[rule]);
  }

  #goaway(code: number): void {
    this.#sentGoaway = true;
    this.#outbox.control(frameTypes.goaway, 0, goawayPayload(code, this.#next - 1));
  }

  /** Ends it; without a code the peer is told nothing. */
  #finish(end: Omit<SessionEnd, 'streams'>, code?: number): void {
    if (this.#over) return;
    this.#over = true;
    const streams = this.#streams.size;
    const { half, events } = this.#options;
    if (code !== undefined && !(code === RETIRE && this.#sentGoaway)) this.#goaway(code);
    for (const stream of [...this.#streams.values()]) stream.lose(end.reason ?? 'reset');
    this.#outbox.finish();
    if (end.cause === 'dead') half.reset();
    else half.destroy();
    const reason = end.reason ?? (streams > 0 ? 'reset' : undefined);
    events.ended({ ...end, ...(reason === undefined ? {} : { reason }), streams });
  }
}

function refusal(code: number): Answer {
  return code === ELSEWHERE ? { kind: 'elsewhere' } : { kind: 'refused', reason: reasonOf(code) };
}

function isOfTunnel(type: number): boolean {
  return type === frameTypes.ping || type === frameTypes.pong || type === frameTypes.goaway;
}

function goawayPayload(code: number, last: number): Uint8Array {
  return Uint8Array.of(code, last >>> 24, last >>> 16, last >>> 8, last);
}

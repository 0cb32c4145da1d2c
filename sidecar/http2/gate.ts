// HTTP/2 in front of the application: a half around the application's half (RFC 9113, prior knowledge). Frames go through as they came, with
// their flow control, which the gate takes no part in; heads are read and judged as they pass. Where the gate says something itself it does so
// between frames, and never in DATA.
import type { Reason } from '../../lib/api/reasons.ts';
import { type Exchange, traceContext } from '../exchange.ts';
import type { HeaderPlan } from '../headers/plan.ts';
import type { HeadLimits } from '../http1/fields.ts';
import { type Half, type HalfEvents, LINGER_MS } from '../relay/half.ts';
import type { RequestsPhase } from '../relay/requests.ts';
import { type ConnectionRule, codeOf, errorCodes, frameTypes, type MessageRule, reasonOf } from './codes.ts';
import { frame, goawayFrame } from './encode.ts';
import { Floods } from './floods.ts';
import type { RequestHead } from './head.ts';
import { Outlet } from './outlet.ts';
import { callEndFrames, type Denial, denialFrames, grpcStatusFor, resetFrame } from './replies.ts';
import { type Judgement, Requests } from './requests.ts';
import { Responses } from './responses.ts';
import { ConnectionState } from './state.ts';
import type { Stream } from './streams.ts';

/** What broke a rule, and which. Of a message rule only the stream ends, of a connection rule the connection. */
export interface Http2Broken {
  readonly side: 'request' | 'response';
  readonly rule: ConnectionRule | MessageRule;
  readonly reason: Reason;
}

/** What a gate is told. */
export interface Http2GateOptions {
  readonly limits: HeadLimits;
  /** How long a frame that has to be whole, or a header block, may take from its first octet to its last. */
  readonly headTimeoutMs: number;
  /** What is taken out of messages and put in. */
  readonly plan: HeaderPlan;
  /** See Floods; 1 where nothing is said. */
  readonly floodShare?: number;
  /** Judges a request; the head holds what was read until the call returns, or until what it says to wait for has settled. */
  judge?(request: RequestHead): Judgement;
  /** The token of a stream has expired, and the stream was ended for it. */
  lapsed?(): void;
  /** An exchange is over, also one that was denied or broken off. */
  over?(exchange: Exchange): void;
  broken?(broken: Http2Broken): void;
}

const pass: Judgement = { kind: 'pass' };
/** Octets of the gate's own that a client may leave unread before no more of its requests are read. */
const MAX_OWED = 65_536;
const deniedNow: Denial = { status: 403, reason: 'denied' };
const lapsedNow: Denial = { status: 401, reason: 'token_invalid' };

/** The gate of one connection. */
export class Http2Gate implements Half {
  readonly #inner: Half;
  readonly #options: Http2GateOptions;
  readonly #state: ConnectionState;
  readonly #requests: Requests;
  readonly #responses: Responses;
  readonly #toClient: Outlet;
  readonly #toApplication: Outlet;
  #events: HalfEvents | undefined;
  /** The application takes no more for now. */
  #full = false;
  /** The client takes no more for now, and how much the gate has said since. */
  #clientFull = false;
  #owed = 0;
  /** The client was told to wait. */
  #blocked = false;
  #clientEnded = false;
  /** The application was told so; it is gone. */
  #endPassed = false;
  #left = false;
  #headTimer: NodeJS.Timeout | undefined;
  /** Set when the gate has ended the connection: why, and until when the client may read that. */
  #parting: { readonly reason: Reason; readonly timer: NodeJS.Timeout } | undefined;

  constructor(inner: Half, options: Http2GateOptions) {
    this.#inner = inner;
    this.#options = options;
    const nowMs = (): number => performance.now();
    const floods = new Floods(nowMs, options.floodShare);
    this.#state = new ConnectionState(options.limits, options.plan, floods, nowMs);
    this.#toClient = new Outlet((octets) => this.#say(octets));
    this.#toApplication = new Outlet((octets) => this.#forward(octets, false));
    this.#requests = new Requests(this.#state, {
      judge: (head) => this.#options.judge?.(head) ?? pass,
      forward: (octets, lent) => this.#forward(octets, lent),
      say: (frames) => this.#toClient.add(frames),
      denied: (head, denial, octets) => this.#tellDenied(head, denial, octets),
      aborted: (stream) => this.#tellOver(stream, 'reset'),
      malformed: (rule) => this.#options.broken?.({ side: 'request', rule, reason: 'malformed' }),
      broken: (rule) => this.#refuse('request', rule),
      settled: () => this.#settle(),
    });
    this.#responses = new Responses(this.#state, {
      forward: (octets, lent) => this.#events?.data(octets, lent),
      tell: (frames) => this.#toApplication.add(frames),
      answered: (stream) => this.#tellOver(stream),
      aborted: (stream) => this.#tellOver(stream, 'reset'),
      broken: (rule) => this.#refuse('response', rule),
    });
  }

  start(events: HalfEvents): void {
    this.#events = events;
    this.#inner.start({
      data: (bytes, lent) => this.#answer(bytes, lent),
      ended: () => this.#events?.ended(),
      drained: () => {
        this.#full = false;
        this.#unblock();
      },
      closed: (reason) => this.#closed(reason),
    });
  }

  get queued(): number {
    return this.#inner.queued + this.#requests.flow.held;
  }

  write(bytes: Uint8Array, lent: boolean): boolean {
    this.#requests.take(bytes, lent);
    this.#blocked = !this.#hasRoom();
    this.#watch();
    return !this.#blocked;
  }

  end(): void {
    this.#clientEnded = true;
    if (this.#parting !== undefined) this.#part(this.#parting.reason);
    else this.#passEnd();
  }

  pause(): void {
    this.#clientFull = true;
    this.#inner.pause();
  }

  resume(): void {
    this.#clientFull = false;
    this.#owed = 0;
    this.#inner.resume();
    this.#unblock();
  }

  reset(reason?: Reason): void {
    this.#forget(reason ?? 'reset');
    this.#inner.reset(reason);
  }

  abort(reason?: Reason): void {
    this.#forget(reason ?? 'reset');
    this.#inner.abort(reason);
  }

  destroy(): void {
    this.#forget('reset');
    this.#inner.destroy();
  }

  /** Judges again what is in flight, and ends the streams that are no longer allowed; the others and the connection go on. */
  recheck(): undefined {
    for (const stream of this.#state.streams.values()) if (stream.breached?.() === true) this.#cut(stream, deniedNow);
    this.#settle();
  }

  /** See RequestsUnderWay. */
  lapse(nowMs: number): undefined {
    for (const stream of this.#state.streams.values()) {
      if (nowMs < stream.untilMs) continue;
      this.#options.lapsed?.();
      this.#cut(stream, lapsedNow);
      this.#settle();
    }
  }

  /** Asks the client to open its next streams on another connection. To be called again until the phase is `over`. */
  retire(): void {
    if (this.#parting !== undefined) return;
    const { farewell, streams } = this.#state;
    const frames = farewell.next(streams.highest);
    if (frames === undefined) return;
    this.#toClient.add(frames);
    this.#settle();
  }

  /** See RequestsUnderWay. */
  get phase(): RequestsPhase {
    const { farewell, streams } = this.#state;
    if (streams.size > 0 || this.#requests.flow.waits || farewell.isAnnounced) return 'busy';
    return farewell.isFinal && this.#toClient.waiting === 0 ? 'over' : 'free';
  }

  #answer(bytes: Uint8Array, lent: boolean): void {
    this.#responses.take(bytes, lent);
    this.#settle();
    if (this.#parting !== undefined && !this.#responses.flow.midFrame) this.#leave();
  }

  /** What the gate has to say is said where no frame is under way. */
  #settle(): void {
    if (this.#responses.begun && !this.#responses.flow.midFrame) this.#toClient.flush();
    if (!this.#requests.flow.midFrame) this.#toApplication.flush();
    this.#passEnd();
    this.#unblock();
  }

  /** What waits for its judgement goes first. */
  #passEnd(): void {
    if (!this.#clientEnded || this.#endPassed || this.#parting !== undefined || this.#requests.flow.waits) return;
    this.#endPassed = true;
    this.#inner.end();
  }

  #forward(octets: Buffer, lent: boolean): void {
    if (!this.#inner.write(octets, lent)) this.#full = true;
  }

  #say(octets: Buffer): void {
    if (this.#clientFull) this.#owed += octets.length;
    this.#events?.data(octets, false);
  }

  #hasRoom(): boolean {
    // Who reads none of our own answers gets no more of them. Those of the application hold it back by themselves.
    const owed = this.#toClient.waiting + this.#owed;
    return !this.#full && !this.#requests.flow.waits && owed < MAX_OWED;
  }

  #unblock(): void {
    if (!this.#blocked || !this.#hasRoom()) return;
    this.#blocked = false;
    this.#watch();
    this.#events?.drained();
  }

  #cut(stream: Stream, denial: Denial): void {
    const { id, grpc, clientEnded, answered } = stream;
    this.#state.streams.cut(id);
    this.#tellOver(stream, denial.reason);
    const denied = { stream: id, grpc, complete: clientEnded };
    if (!answered) this.#toClient.add(denialFrames(denial, denied, this.#state.answerLines));
    else this.#toClient.add(grpc ? callEndFrames(denial, denied) : resetFrame(id, errorCodes.inadequateSecurity));
    this.#toApplication.add(resetFrame(id, errorCodes.cancel));
  }

  #refuse(side: Http2Broken['side'], rule: ConnectionRule): void {
    if (this.#parting !== undefined) return;
    const reason = reasonOf(rule);
    this.#options.broken?.({ side, rule, reason });
    this.#requests.flow.finish();
    this.#responses.finishFrame();
    // Before SETTINGS a client takes nothing (section 3.4).
    if (!this.#responses.begun) this.#toClient.first(frame(frameTypes.settings, { stream: 0 }));
    const code = side === 'request' ? codeOf(rule) : errorCodes.internalError;
    const { farewell, streams } = this.#state;
    this.#toClient.add(goawayFrame(farewell.lastOf(streams.highest), code, `${reason}: ${rule}`));
    this.#parting = { reason, timer: setTimeout(() => this.#part(reason), LINGER_MS).unref() };
    // The rest of a frame that is under way goes first.
    if (!this.#responses.flow.midFrame) this.#leave();
  }

  /** The client gets an end in order and the time to read; the application is gone. */
  #leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#toClient.flush();
    this.#responses.flow.finish();
    this.#forget(this.#parting?.reason ?? 'reset');
    this.#inner.reset();
    this.#events?.ended();
  }

  /** From here on the relay takes the client's half down. */
  #part(reason: Reason): void {
    clearTimeout(this.#parting?.timer);
    const events = this.#events;
    this.#events = undefined;
    this.#forget(reason);
    this.#inner.reset();
    events?.closed(reason);
  }

  #closed(reason: Reason | undefined): void {
    this.#forget(reason ?? 'reset');
    if (this.#parting === undefined) this.#events?.closed(reason);
  }

  /** Nothing more is read; whatever is open is over. */
  #forget(reason: Reason): void {
    this.#unwatch();
    this.#requests.flow.finish();
    for (const stream of this.#state.streams.values()) {
      this.#state.streams.close(stream);
      if (!stream.applicationEnded) this.#tellOver(stream, reason);
    }
  }

  /** A client that was not told to wait must not leave in the middle what has to be whole. */
  #watch(): void {
    if (!this.#requests.partial || this.#blocked || this.#parting !== undefined) return this.#unwatch();
    if (this.#headTimer !== undefined) return;
    const { count } = this.#requests.flow;
    const late = (): void => {
      this.#unwatch();
      // What is in the middle now may be another one than was then.
      if (this.#requests.flow.count === count) this.#refuse('request', 'head_timeout');
      else this.#watch();
    };
    this.#headTimer = setTimeout(late, this.#options.headTimeoutMs).unref();
  }

  #unwatch(): void {
    if (this.#headTimer === undefined) return;
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;
  }

  #tellDenied(head: RequestHead, denial: Denial, octets: number): void {
    const { method, target, host, traceparent, grpc } = head;
    const trace = traceparent === undefined ? undefined : traceContext(traceparent);
    const { reason } = denial;
    const status = grpc ? 200 : denial.status;
    const grpcStatus = grpc ? grpcStatusFor(denial.status) : undefined;
    const rest = { version: '2', status, grpcStatus, ms: 0, bytesIn: octets, bytesOut: 0, reason } as const;
    this.#options.over?.({ method, target, host, trace, ...rest });
  }

  #tellOver(stream: Stream, reason?: Reason): void {
    const { method, target, host, status, grpcStatus, askedMs, bytesIn, bytesOut, traceparent } = stream;
    const trace = traceparent === undefined ? undefined : traceContext(traceparent);
    const ms = performance.now() - askedMs;
    const answered = stream.answered ? status : 0;
    const exchange = { method, target, host, status: answered, grpcStatus, ms, bytesIn, bytesOut, trace, reason };
    this.#options.over?.({ ...exchange, version: '2' });
  }
}

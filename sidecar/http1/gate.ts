// HTTP/1.1 in front of the application: a half around the application's half. It reads the heads of requests and answers as they pass,
// lets the original octets through, and answers itself where a request is malformed or denied; bodies are only followed to
// their end. One request at a time reaches the application: the next is held until its answer is complete, so that an answer of ours never
// comes out of order.
import type { Reason } from '../../lib/api/reasons.ts';
import { systemClock } from '../../lib/clock.ts';
import { type Exchange, type TraceContext, traceContext } from '../exchange.ts';
import { type Half, type HalfEvents, LINGER_MS } from '../relay/half.ts';
import type { RequestsPhase } from '../relay/requests.ts';
import type { AnswerFields, RequestFields } from './edits.ts';
import type { HeadLimits, Rule } from './fields.ts';
import type { RequestHead } from './head.ts';
import { Patience } from './patience.ts';
import { badGateway, badRequest, type Reply, replyOctets } from './replies.ts';
import { Requests } from './requests.ts';
import { Responses } from './responses.ts';

/** What broke a rule, and which; those of time are ours. */
export interface Broken {
  readonly side: 'request' | 'response';
  readonly rule: Rule | 'head_timeout' | 'body_timeout';
}

/** What a gate is told. */
export interface GateOptions {
  readonly limits: HeadLimits;
  /** How long a head may take from its first octet to its last. */
  readonly headTimeoutMs: number;
  /** How long a client may leave the middle of a body without an octet, while nothing holds it back. */
  readonly bodyTimeoutMs: number;
  /** For the date of the gate's own answers; the machine's clock unless told otherwise. */
  readonly now?: () => Date;
  /** What is taken out of requests and put in. */
  readonly requestFields?: RequestFields | undefined;
  /** Fields for every final answer that has none of that name, and for those of the gate. */
  readonly answerFields?: AnswerFields | undefined;
  /**
   * Says no to a request; the head holds what was read from these octets until the call returns. A promise, which must not reject: it is asked again
   * when that is settled.
   */
  deny?(request: RequestHead, octets: Buffer): Reply | Promise<void> | undefined;
  /** Lower-case name of a field of the request that was just let through which the application does not get. */
  stripped?(): string | undefined;
  /** Why what the connection was upgraded for cannot go on at this time, in milliseconds since the epoch. */
  lapsed?(nowMs: number): Reason | undefined;
  /** An exchange is over, also one that was denied or broken off. */
  over?(exchange: Exchange): void;
  /** A message broke a rule, and the connection ends for it. */
  broken?(broken: Broken): void;
}

/** The gate of one connection. */
export class Http1Gate implements Half {
  readonly #inner: Half;
  readonly #options: GateOptions;
  readonly #requests: Requests;
  readonly #responses: Responses;
  readonly #patience: Patience;
  #events: HalfEvents | undefined;
  /** Octets go through as they are, both ways. */
  #tunnel = false;
  /** The application takes no more for now. */
  #full = false;
  /** The client takes no more for now, and the gate itself has answered it since. */
  #clientFull = false;
  #owed = false;
  /** The client was told to wait. */
  #blocked = false;
  #clientEnded = false;
  #sent = true;
  #answered = true;
  /** A request was let through and nobody was told what became of it. */
  #open = false;
  #askedAt = 0;
  #trace: TraceContext | undefined;
  /** The next answer is the last one; that it was. */
  #retiring = false;
  #over = false;
  /** Set when the gate has ended the connection with an answer of its own: why, and until when the client may read that. */
  #parting: { readonly reason: Reason; readonly timer: NodeJS.Timeout } | undefined;

  constructor(inner: Half, options: GateOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#requests = new Requests(options.limits, options.requestFields, {
      asked: (head, octets) => this.#asked(head, octets),
      stripped: () => options.stripped?.(),
      forward: (octets, lent) => this.#forward(octets, lent),
      sent: () => this.#done('request'),
      waiting: (more) => this.#patience.head(more),
      broken: (rule) => this.#refuse('request', rule),
    });
    this.#responses = new Responses(options.limits, options.answerFields, {
      forward: (octets, lent) => this.#events?.data(octets, lent),
      answered: () => this.#done('answer'),
      switched: () => this.#switch(),
      broken: (rule) => this.#refuse('response', rule),
    });
    this.#patience = new Patience({
      headMs: options.headTimeoutMs,
      bodyMs: options.bodyTimeoutMs,
      owesBody: () => (this.#requests.inBody ? (this.#holdsBody() ? 'held' : 'yes') : 'no'),
      late: (rule) => this.#refuse('request', rule),
    });
  }

  start(events: HalfEvents): void {
    this.#events = events;
    this.#inner.start({
      data: (bytes, lent) => (this.#tunnel ? events.data(bytes, lent) : this.#responses.take(bytes, lent)),
      ended: () => this.#applicationEnded(),
      drained: () => this.#drained(),
      closed: (reason) => this.#closed(reason),
    });
  }

  get queued(): number {
    return this.#inner.queued + this.#requests.held;
  }

  write(bytes: Uint8Array, lent: boolean): boolean {
    if (this.#tunnel) return this.#inner.write(bytes, lent);
    this.#requests.take(bytes, lent);
    if (this.#requests.inBody) this.#patience.body();
    this.#blocked = !this.#hasRoom();
    return !this.#blocked;
  }

  /** The client has said all. What it asked for is still answered; half a message is not passed on as a whole one. */
  end(): void {
    this.#clientEnded = true;
    if (this.#requests.undecided) return;
    if (this.#parting !== undefined) this.#part(this.#parting.reason);
    else if (this.#tunnel || (this.#sent && this.#answered && this.#requests.between)) this.#inner.end();
    // What waits behind an answer that is under way is looked at when that is complete.
    else if (!this.#sent || (this.#answered && this.#requests.held > 0)) this.#inner.reset();
  }

  pause(): void {
    this.#clientFull = true;
    this.#inner.pause();
  }

  resume(): void {
    this.#clientFull = false;
    this.#owed = false;
    this.#inner.resume();
    if (!this.#tunnel) this.#unblock();
  }

  reset(reason?: Reason): void {
    this.#cease(reason ?? 'reset');
    this.#inner.reset(reason);
  }

  abort(reason?: Reason): void {
    this.#cease(reason ?? 'reset');
    this.#inner.abort(reason);
  }

  destroy(): void {
    this.#cease('reset');
    this.#inner.destroy();
  }

  /** The next answer tells the client that it is the last one here. */
  retire(): void {
    this.#retiring = true;
    this.#responses.close();
  }

  /** See RequestsUnderWay. What the connection was upgraded for is nobody's request. */
  get phase(): RequestsPhase {
    if (this.#over) return 'over';
    return this.#tunnel || (this.#sent && this.#answered && this.#requests.between) ? 'free' : 'busy';
  }

  /** See RequestsUnderWay. An answer has an end of its own; what a connection was upgraded for has none. */
  lapse(nowMs: number): Reason | undefined {
    return this.#tunnel ? this.#options.lapsed?.(nowMs) : undefined;
  }

  #asked(head: RequestHead, octets: Buffer): 'through' | 'answered' | 'later' {
    this.#trace = traceOf(head, octets);
    const reply = this.#options.deny?.(head, octets);
    if (reply instanceof Promise) {
      void reply.then(() => this.#decided());
      return 'later';
    }
    if (reply !== undefined) {
      this.#answerFor(head, reply);
      return 'answered';
    }
    this.#sent = false;
    this.#answered = false;
    this.#open = true;
    this.#askedAt = performance.now();
    this.#responses.expect(head);
    return 'through';
  }

  /** The connection may be over by now, and nobody waits. */
  #decided(): void {
    if (!this.#requests.undecided) return;
    this.#requests.next();
    if (this.#clientEnded) this.end();
    else this.#unblock();
  }

  /** The body of a denied request is not waited for: the connection ends then. */
  #answerFor(head: RequestHead, reply: Reply): void {
    // HTTP/1.0 would have to be told that the connection stays (RFC 9112 section 9.3), and few are left that care.
    const last = head.last || head.body !== 'none' || head.minor === 0 || this.#retiring;
    const octets = this.#reply(reply, last, head.method === 'HEAD');
    const { status, reason } = reply;
    this.#options.over?.({ ...this.#exchange(), status, reason, ms: 0, bytesOut: octets });
    if (last) this.#partInOrder(reason);
  }

  #forward(octets: Buffer, lent: boolean): void {
    if (!this.#inner.write(octets, lent)) this.#full = true;
  }

  #hasRoom(): boolean {
    // Who reads none of our own answers gets no more of them. Those of the application hold it back by themselves.
    return !this.#full && !this.#requests.behind && !(this.#clientFull && this.#owed);
  }

  #unblock(): void {
    if (!this.#blocked || !this.#hasRoom()) return;
    this.#blocked = false;
    if (this.#requests.inBody) this.#patience.body();
    this.#events?.drained();
  }

  #drained(): void {
    this.#full = false;
    if (this.#tunnel) this.#events?.drained();
    else this.#unblock();
  }

  #done(what: 'request' | 'answer'): void {
    if (what === 'request') this.#sent = true;
    else this.#answered = true;
    if (!this.#sent || !this.#answered) return;
    this.#tellOver();
    if (this.#requests.head.last || this.#responses.head.last) return this.#lastAnswered();
    this.#requests.next();
    if (this.#clientEnded) this.end();
    else this.#unblock();
  }

  #lastAnswered(): void {
    this.#over = true;
    this.#requests.finish();
    this.#responses.finish();
    this.#inner.end();
    this.#events?.ended();
  }

  #switch(): void {
    this.#tunnel = true;
    const waiting = this.#requests.finish();
    this.#responses.finish();
    this.#tellOver();
    if (waiting.length > 0) this.#forward(waiting, false);
    if (this.#clientEnded) this.#inner.end();
    else this.#unblock();
  }

  /** What became of the request that was let through. */
  #tellOver(reason?: Reason, ownStatus?: number): void {
    if (!this.#open) return;
    this.#open = false;
    const { head, octets } = this.#responses;
    const status = ownStatus ?? (head.interim ? 0 : head.status);
    const ms = performance.now() - this.#askedAt;
    this.#options.over?.({ ...this.#exchange(), status, reason, ms, bytesOut: octets });
  }

  #exchange(): Pick<Exchange, 'method' | 'target' | 'host' | 'version' | 'bytesIn' | 'trace'> {
    const { head, octets } = this.#requests;
    const { method, target, host, minor } = head;
    return { method, target, host, version: minor === 0 ? '1.0' : '1.1', bytesIn: octets, trace: this.#trace };
  }

  /** Sends an answer of the gate's own; how many octets it has. */
  #reply(reply: Reply, last: boolean, head: boolean): number {
    const { answerFields, now } = this.#options;
    const fields = answerFields?.all;
    const octets = replyOctets(reply, { now: now?.() ?? systemClock.now(), last, head, fields });
    this.#owed = true;
    this.#events?.data(octets, false);
    return octets.length;
  }

  #applicationEnded(): void {
    if (this.#tunnel) return this.#events?.ended();
    switch (this.#responses.ended()) {
      case 'complete':
        // Nobody takes what may be missing of the request any more.
        this.#sent = true;
        return this.#done('answer');
      case 'between':
        this.#requests.finish();
        this.#tellOver('reset');
        return this.#events?.ended();
      case 'cut_short':
        return this.#inner.reset();
    }
  }

  #refuse(side: Broken['side'], rule: Broken['rule']): void {
    this.#options.broken?.({ side, rule });
    const reply = side === 'response' ? badGateway(rule) : badRequest(rule);
    // Behind the beginning of an answer another one would only be taken for a part of it.
    if (!this.#answered && this.#responses.begun) return this.#part('malformed');
    if (this.#answered && rule === 'body_timeout') return this.#part('malformed');
    // Nobody has asked: an answer of ours would be as wrong as that of the application.
    if (this.#answered && side === 'response') return this.#partInOrder('malformed');
    const head = !this.#answered && this.#requests.head.method === 'HEAD';
    this.#reply(reply, true, head);
    this.#tellOver('malformed', this.#answered ? undefined : reply.status);
    return this.#partInOrder('malformed');
  }

  /** Ends the connection behind an answer of the gate: the client gets an end in order and the time to read. */
  #partInOrder(reason: Reason): void {
    this.#parting = { reason, timer: setTimeout(() => this.#part(reason), LINGER_MS).unref() };
    this.#leave();
    this.#events?.ended();
  }

  /** From here on the relay takes the client's half down. */
  #part(reason: Reason): void {
    clearTimeout(this.#parting?.timer);
    this.#tellOver(reason);
    const events = this.#events;
    this.#events = undefined;
    this.#leave();
    events?.closed(reason);
  }

  #leave(): void {
    this.#patience.forget();
    this.#requests.finish();
    this.#responses.finish();
    this.#inner.reset();
  }

  #closed(reason: Reason | undefined): void {
    this.#cease(reason ?? 'reset');
    if (this.#parting === undefined) this.#events?.closed(reason);
  }

  /** The connection is over: what waits for a verdict is not let through any more. */
  #cease(reason: Reason): void {
    this.#patience.forget();
    if (this.#requests.undecided) this.#requests.finish();
    this.#tellOver(reason);
  }

  /** Whoever was told to wait, or waits for 100 (Continue), is not late. */
  #holdsBody(): boolean {
    return this.#blocked || (this.#requests.head.fields.expectContinue && !this.#responses.begun);
  }
}

function traceOf({ fields: { traceparent } }: RequestHead, octets: Buffer): TraceContext | undefined {
  const { start, end } = traceparent;
  // Longer ones are of versions to come, which begin with what version 00 has (W3C Trace Context section 3.2.3).
  return end === 0 ? undefined : traceContext(octets.toString('latin1', start, Math.min(end, start + 56)));
}

// HTTP/1.1 in front of the application: a half around the application's half. It reads the heads of requests and answers as they pass,
// lets the original octets through, and answers itself where a request is malformed or denied; bodies are only followed to
// their end. One request at a time reaches the application: the next is held until its answer is complete, so that an answer of ours never
// comes out of order.
import type { Reason } from '../../lib/api/reasons.ts';
import { type Half, type HalfEvents, LINGER_MS } from '../relay/half.ts';
import type { HeadLimits, Rule } from './fields.ts';
import type { RequestHead } from './head.ts';
import { badGateway, badRequest, type Reply, replyOctets, requestTimeout } from './replies.ts';
import { Requests } from './requests.ts';
import { Responses } from './responses.ts';

/** One request and its answer, as far as it came. */
export interface Exchange {
  readonly method: string;
  /** As sent, with its query. */
  readonly target: string;
  readonly host: string;
  readonly status: number;
  /** From the end of the request's head to the end of the answer. */
  readonly ms: number;
}

/** What broke a rule, and which; `head_timeout` is ours. */
export interface Broken {
  readonly side: 'request' | 'response';
  readonly rule: Rule | 'head_timeout';
}

/** What a gate is told. */
export interface GateOptions {
  readonly limits: HeadLimits;
  /** How long a head may take from its first octet to its last. */
  readonly headTimeoutMs: number;
  /** Field lines, each with its CRLF, for every final answer that has no Strict-Transport-Security of its own, and for those of the gate. */
  readonly answerFields: Buffer | undefined;
  /** Says no to a request; the head holds what was read until the call returns. */
  deny?(request: RequestHead): Reply | undefined;
  /** An exchange is over. */
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
  #events: HalfEvents | undefined;
  /** Octets go through as they are, both ways. */
  #tunnel = false;
  /** The application takes no more for now. */
  #full = false;
  /** The client was told to wait. */
  #blocked = false;
  #clientEnded = false;
  #sent = true;
  #answered = true;
  #askedAt = 0;
  #headTimer: NodeJS.Timeout | undefined;
  /** Set when the gate has ended the connection with an answer of its own: why, and until when the client may read that. */
  #parting: { readonly reason: Reason; readonly timer: NodeJS.Timeout } | undefined;

  constructor(inner: Half, options: GateOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#requests = new Requests(options.limits, {
      asked: (head) => this.#asked(head),
      forward: (octets, lent) => this.#forward(octets, lent),
      sent: () => this.#done('request'),
      waiting: (more) => this.#await(more),
      broken: (rule) => this.#refuse('request', rule),
    });
    this.#responses = new Responses(options.limits, options.answerFields, {
      forward: (octets, lent) => this.#events?.data(octets, lent),
      answered: () => this.#done('answer'),
      switched: () => this.#switch(),
      broken: (rule) => this.#refuse('response', rule),
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
    this.#blocked = !this.#hasRoom();
    return !this.#blocked;
  }

  /** The client has said all. What it asked for is still answered; half a message is not passed on as a whole one. */
  end(): void {
    this.#clientEnded = true;
    if (this.#parting !== undefined) this.#part(this.#parting.reason);
    else if (this.#tunnel || (this.#sent && this.#answered && this.#requests.between)) this.#inner.end();
    else if (!this.#sent || this.#requests.held > 0) this.#inner.reset();
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  reset(): void {
    this.#forget();
    this.#inner.reset();
  }

  abort(): void {
    this.#forget();
    this.#inner.abort();
  }

  destroy(): void {
    this.#forget();
    this.#inner.destroy();
  }

  #asked(head: RequestHead): boolean {
    const reply = this.#options.deny?.(head);
    if (reply !== undefined) {
      this.#answerFor(head, reply);
      return false;
    }
    this.#sent = false;
    this.#answered = false;
    this.#askedAt = performance.now();
    this.#responses.expect(head);
    return true;
  }

  /** The body of a denied request is not waited for: the connection ends then. */
  #answerFor(head: RequestHead, reply: Reply): void {
    const last = head.last || head.body !== 'none';
    const { answerFields: fields } = this.#options;
    this.#events?.data(replyOctets(reply, { last, head: head.method === 'HEAD', fields }), false);
    this.#options.over?.({ ...asExchange(head), status: reply.status, ms: 0 });
    if (last) this.#partInOrder('denied');
  }

  #forward(octets: Buffer, lent: boolean): void {
    if (!this.#inner.write(octets, lent)) this.#full = true;
  }

  #hasRoom(): boolean {
    return !this.#full && !this.#requests.behind;
  }

  #unblock(): void {
    if (!this.#blocked || !this.#hasRoom()) return;
    this.#blocked = false;
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

  #tellOver(): void {
    const { status } = this.#responses.head;
    this.#options.over?.({ ...asExchange(this.#requests.head), status, ms: performance.now() - this.#askedAt });
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
        return this.#events?.ended();
      case 'cut_short':
        return this.#inner.reset();
    }
  }

  #refuse(side: Broken['side'], rule: Broken['rule']): void {
    this.#options.broken?.({ side, rule });
    const reply = side === 'response' ? badGateway(rule) : rule === 'head_timeout' ? requestTimeout : badRequest(rule);
    // Behind the beginning of an answer another one would only be taken for a part of it.
    if (!this.#answered && this.#responses.begun) return this.#part('malformed');
    const head = !this.#answered && this.#requests.head.method === 'HEAD';
    this.#events?.data(replyOctets(reply, { last: true, head, fields: this.#options.answerFields }), false);
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
    const events = this.#events;
    this.#events = undefined;
    this.#leave();
    events?.closed(reason);
  }

  #leave(): void {
    this.#forget();
    this.#requests.finish();
    this.#responses.finish();
    this.#inner.reset();
  }

  #closed(reason: Reason | undefined): void {
    this.#forget();
    if (this.#parting === undefined) this.#events?.closed(reason);
  }

  #await(more: boolean): void {
    if (!more) this.#forget();
    else
      this.#headTimer ??= setTimeout(
        () => this.#refuse('request', 'head_timeout'),
        this.#options.headTimeoutMs,
      ).unref();
  }

  #forget(): void {
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;
  }
}

function asExchange({ method, target, host }: RequestHead): Pick<Exchange, 'method' | 'target' | 'host'> {
  return { method, target, host };
}

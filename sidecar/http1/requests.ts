// The way of requests through a gate: one head at a time is read and judged, its body is followed, what comes after waits for the answer.
import { Body } from './body.ts';
import type { RequestFields } from './edits.ts';
import type { HeadLimits, Rule } from './fields.ts';
import { headEnd, RequestHead, tooLarge } from './head.ts';
import { forwardBehind, Held, type Piece } from './held.ts';
import { editedHead, WatchedNames } from './watched.ts';

/** What becomes of requests. */
export interface RequestSink {
  /** A head was read, from these octets. `later`: it is held, with all that follows, until `next` has it read and asked for again. */
  asked(head: RequestHead, octets: Buffer): 'through' | 'answered' | 'later';
  /** Lower-case name of a field of the request that was just let through which the application does not get. */
  stripped(): string | undefined;
  forward(octets: Buffer, lent: boolean): void;
  /** The last octet of a request was forwarded. */
  sent(): void;
  /** A head has begun and waits for its end, or waits no longer. */
  waiting(more: boolean): void;
  broken(rule: Rule): void;
}

/**
 * Where the reading stands. `verdict`: it is not known yet what becomes of the request. `answer`: it is through, its answer is not. `over`: nothing
 * more is read.
 */
type State = 'head' | 'verdict' | 'body' | 'answer' | 'over';

/** Reads what the client sends. */
export class Requests {
  readonly head: RequestHead;
  readonly #limits: HeadLimits;
  readonly #fields: RequestFields | undefined;
  readonly #sink: RequestSink;
  readonly #body = new Body();
  readonly #held = new Held();
  #state: State = 'head';
  #octets = 0;

  constructor(limits: HeadLimits, fields: RequestFields | undefined, sink: RequestSink) {
    this.head = new RequestHead(fields?.watched);
    this.#limits = limits;
    this.#fields = fields;
    this.#sink = sink;
  }

  /** Octets of the last request that have come: head and body. */
  get octets(): number {
    return this.#octets;
  }

  /** Octets that wait. */
  get held(): number {
    return this.#held.length;
  }

  /** A request, or some of one, waits for a verdict or the answer to the one before. Half a head does not: it waits for the client. */
  get behind(): boolean {
    return this.undecided || (this.#state === 'answer' && this.#held.length > 0);
  }

  /** A request waits for its verdict. */
  get undecided(): boolean {
    return this.#state === 'verdict';
  }

  /** A body has begun and waits for the client. */
  get inBody(): boolean {
    return this.#state === 'body';
  }

  /** Nothing of a request has come that is not through. */
  get between(): boolean {
    return this.#held.length === 0 && (this.#state === 'head' || this.#state === 'answer');
  }

  take(bytes: Uint8Array, lent: boolean): void {
    if (this.#isOver()) return;
    const piece = this.#held.pieceWith(bytes, lent);
    let at = 0;
    while (at < piece.octets.length && (this.#state === 'head' || this.#state === 'body')) {
      const next = this.#state === 'head' ? this.#readHead(piece, at) : this.#readBody(piece, at, at);
      if (next === -1) break;
      at = next;
    }
    if (!this.#isOver()) this.#held.keep(piece, at);
  }

  /** The answer is complete, or a verdict is there: on to the next request, which may be here already. */
  next(): void {
    this.#state = 'head';
    if (this.#held.length > 0) this.take(this.#held.empty(), false);
  }

  /** No more requests. What had come of them. */
  finish(): Buffer {
    this.#state = 'over';
    return this.#held.empty();
  }

  /** The offset behind what was read, -1 when more is needed. */
  #readHead(piece: Piece, from: number): number {
    const { octets, seen } = piece;
    const start = skipEmptyLine(octets, from);
    const end = headEnd(octets, start, seen);
    if (end === -1) {
      if (octets.length - start > this.#limits.octets) return this.#break(tooLarge(octets, start, this.#limits));
      this.#sink.waiting(true);
      return -1;
    }
    if (seen > 0) this.#sink.waiting(false);
    const { head } = this;
    const broken = head.read(octets, start, end, this.#limits);
    if (broken !== undefined) return this.#break(broken);
    this.#octets = end - start;
    const verdict = this.#sink.asked(head, octets);
    if (verdict === 'later') this.#state = 'verdict';
    if (verdict !== 'through') return verdict === 'later' ? -1 : end;
    this.#body.begin(head.body, head.length);
    const edited = this.#edited(octets.subarray(start, end), head.fields.seen);
    return edited === undefined ? this.#readBody(piece, start, end) : this.#readBody(piece, end, end, edited);
  }

  /** The head as it goes on; undefined where it goes on as it came. */
  #edited(sent: Buffer, seen: number): Buffer | undefined {
    const name = this.#sink.stripped();
    // Behind an upgrade to HTTP/2 nobody would read the requests. Java's client offers it with every first one, and goes on without it.
    const offered = this.head.fields.h2c ? ['upgrade', 'http2-settings'] : [];
    const removed = name === undefined ? offered : [...offered, name];
    if (removed.length === 0) return this.#fields?.edited(sent, seen);
    const rest = editedHead(sent, new WatchedNames(removed), undefined);
    return this.#fields?.edited(rest, seen) ?? rest;
  }

  /** Forwards from `start` on, the body from `at` on as far as it has come; `before` goes first. */
  #readBody({ octets, lent }: Piece, start: number, at: number, before?: Buffer): number {
    const end = this.#body.take(octets, at, octets.length);
    this.#octets += end - at;
    this.#state = this.#body.done ? 'answer' : 'body';
    const through = octets.subarray(start, end);
    if (before === undefined && through.length > 0) this.#sink.forward(through, lent);
    if (before !== undefined) forwardBehind(before, through, lent, this.#sink);
    if (this.#body.broken !== undefined) return this.#break(this.#body.broken);
    if (this.#body.done) this.#sink.sent();
    return end;
  }

  #isOver(): boolean {
    return this.#state === 'over';
  }

  #break(rule: Rule): -1 {
    this.#state = 'over';
    this.#sink.broken(rule);
    return -1;
  }
}

/** RFC 9112 section 2.2: one empty line before a request is passed over, and not passed on. */
function skipEmptyLine(octets: Buffer, at: number): number {
  return octets[at] === 0x0d && octets[at + 1] === 0x0a ? at + 2 : at;
}

// The way of answers through a gate: the head of each is read, fields may be put behind its own, its body is followed to the end.
import { Body } from './body.ts';
import type { AnswerFields } from './edits.ts';
import type { HeadLimits, Rule } from './fields.ts';
import { headEnd, type RequestHead, ResponseHead } from './head.ts';
import { forwardBehind, Held, type Piece } from './held.ts';
import { editedHead, WatchedNames } from './watched.ts';

/** What becomes of answers. */
export interface ResponseSink {
  forward(octets: Buffer, lent: boolean): void;
  /** The last octet of the final answer was forwarded. */
  answered(): void;
  /** 101, or 2xx to CONNECT: from here on the octets are no longer HTTP. */
  switched(): void;
  broken(rule: Rule): void;
}

/** `idle`: nobody has asked. `over`: nothing more is read. */
type State = 'idle' | 'head' | 'body' | 'over';

/** What a server says that means to keep the connection, and what it says that does not. */
const keepsOpen = new WatchedNames(['connection', 'keep-alive']);
const closes = Buffer.from('Connection: close\r\n', 'latin1');
const framing = new WatchedNames(['content-length', 'transfer-encoding']);

/** How the application's end of the connection finds the answers. */
export type EndOfAnswers = 'between' | 'complete' | 'cut_short';

/** Reads what the application sends. */
export class Responses {
  readonly head: ResponseHead;
  readonly #limits: HeadLimits;
  readonly #fields: AnswerFields | undefined;
  readonly #sink: ResponseSink;
  readonly #body = new Body();
  readonly #held = new Held();
  #state: State = 'idle';
  #method = '';
  #minor = 1;
  #offered: readonly string[] = [];
  #begun = false;
  #octets = 0;
  #closing = false;

  constructor(limits: HeadLimits, fields: AnswerFields | undefined, sink: ResponseSink) {
    this.head = new ResponseHead(fields?.watched);
    // Names with underscores are the application's own business on the way out.
    this.#limits = { ...limits, refuseUnderscores: false };
    this.#fields = fields;
    this.#sink = sink;
  }

  /** Octets of an answer were forwarded since it was asked for. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Octets of the last answer that have come, interim ones included. */
  get octets(): number {
    return this.#octets;
  }

  /** The next answer whose head is still to come tells the client that the connection ends behind it. */
  close(): void {
    this.#closing = true;
  }

  /** The answer to this request comes next. */
  expect({ method, minor, fields }: RequestHead): void {
    this.#state = 'head';
    this.#method = method;
    this.#minor = minor;
    this.#offered = fields.upgrade ? fields.protocols : [];
    this.#begun = false;
    this.#octets = 0;
    this.head.status = 0;
  }

  /** No more answers are read. */
  finish(): void {
    this.#state = 'over';
  }

  take(bytes: Uint8Array, lent: boolean): void {
    const piece = this.#held.pieceWith(bytes, lent);
    const { octets } = piece;
    let at = 0;
    while (at < octets.length && this.#state !== 'over') {
      if (this.#state === 'idle') {
        this.#break('unasked_response');
        break;
      }
      const next = this.#state === 'head' ? this.#readHead(piece, at) : this.#readBody(piece, at, at);
      if (next === -1) break;
      at = next;
    }
    this.#held.keep(piece, at);
  }

  /** The application has ended its direction. */
  ended(): EndOfAnswers {
    if (this.#state === 'body' && this.#body.endless) {
      this.#state = 'idle';
      return 'complete';
    }
    // Closed without a word while an answer was due: passed on as it is, clients know what may be asked again.
    return this.#state === 'body' || this.#held.length > 0 ? 'cut_short' : 'between';
  }

  #readHead(piece: Piece, start: number): number {
    const { octets, lent } = piece;
    const end = headEnd(octets, start, piece.seen);
    if (end === -1) return octets.length - start > this.#limits.octets ? this.#break('head_too_large') : -1;
    const { head } = this;
    const broken = head.read(octets, start, end, { method: this.#method, limits: this.#limits });
    if (broken !== undefined) return this.#break(broken);
    this.#octets += end - start;
    if (head.status === 101 && !this.#wasOffered()) return this.#break('unasked_response');
    const sent = octets.subarray(start, end);
    const edited = this.#edited(sent);
    if (head.interim) {
      // RFC 9110 section 15.2: HTTP/1.0 has no interim answers.
      if (this.#minor === 1) this.#forward(edited ?? sent, edited === undefined && lent);
      return end;
    }
    if (head.body === 'tunnel') return this.#switch(piece, end, edited ?? sent);
    // Whoever asked in HTTP/1.0 may take chunks for the body, which then ends where nothing else can follow.
    if (head.body === 'chunked' && this.#minor === 0) head.last = true;
    this.#body.begin(head.body, head.length);
    const final = this.#closing && !head.last ? this.#lastHead(edited ?? sent) : edited;
    return final === undefined ? this.#readBody(piece, start, end) : this.#readBody(piece, end, end, final);
  }

  #lastHead(sent: Buffer): Buffer {
    const { head } = this;
    head.last = true;
    return editedHead(sent, head.fields.keepAlive ? keepsOpen : undefined, closes);
  }

  /** RFC 9110 section 7.8: nothing is gone over to that the client did not name. */
  #wasOffered(): boolean {
    const { protocols } = this.head.fields;
    return protocols.length > 0 && protocols.every((each) => this.#offered.includes(each));
  }

  /** The head as it goes on; undefined where it goes on as it came. */
  #edited(sent: Buffer): Buffer | undefined {
    const { status, body, interim, fields } = this.head;
    const ownFields = interim || body === 'tunnel' ? undefined : this.#fields?.missing(fields.seen);
    // RFC 9112 section 6.1, RFC 9110 section 8.6: nothing may speak of a body here, and clients that believe it wait or take what follows for one.
    const isBare = status < 200 || status === 204 || body === 'tunnel';
    const without = isBare && (fields.chunked || fields.contentLength >= 0) ? framing : undefined;
    return without === undefined && ownFields === undefined ? undefined : editedHead(sent, without, ownFields);
  }

  /** Forwards from `start` on, the body from `at` on as far as it has come; `before` goes first, in one piece with what is short. */
  #readBody({ octets, lent }: Piece, start: number, at: number, before?: Buffer): number {
    const end = this.#body.take(octets, at, octets.length);
    this.#octets += end - at;
    const through = octets.subarray(start, end);
    if (before === undefined) this.#forward(through, lent);
    else {
      this.#begun = true;
      forwardBehind(before, through, lent, this.#sink);
    }
    if (this.#body.broken !== undefined) return this.#break(this.#body.broken);
    this.#state = this.#body.done ? 'idle' : 'body';
    if (!this.#body.done) return end;
    // What the application sends before it was asked must not become the answer to the next request.
    if (end < octets.length) return this.#break('unasked_response');
    this.#sink.answered();
    return end;
  }

  #switch({ octets, lent }: Piece, end: number, head: Buffer): number {
    this.#state = 'over';
    this.#forward(head, lent);
    this.#sink.switched();
    this.#forward(octets.subarray(end), lent);
    return octets.length;
  }

  #forward(octets: Buffer, lent: boolean): void {
    if (octets.length === 0) return;
    this.#begun = true;
    this.#sink.forward(octets, lent);
  }

  #break(rule: Rule): -1 {
    this.#state = 'over';
    this.#sink.broken(rule);
    return -1;
  }
}

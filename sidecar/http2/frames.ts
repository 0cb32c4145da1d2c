// Cuts one direction of a connection into frames, wherever its octets are split, and lets them through as they are: what goes on unchanged
// and side by side is forwarded in one piece. Payloads that nobody looks at are never collected.
import { Held, type Piece } from '../http1/held.ts';
import { flags, frameTypes, HEADER_OCTETS } from './codes.ts';

/** What becomes of a frame. */
export const verdicts = {
  /** Its payload is wanted: `frame` is asked when all of it is there. */
  whole: 0,
  pass: 1,
  drop: 2,
  /** `replacement` goes on instead. */
  replace: 3,
  /** It waits, with everything behind it, until `go`; then `frame` is asked again. */
  wait: 4,
  /** Nothing more is read. */
  stop: 5,
} as const;

/** One of `verdicts`. */
export type Verdict = (typeof verdicts)[keyof typeof verdicts];

/** The frame that is being read. */
export interface FrameHead {
  type: number;
  flags: number;
  stream: number;
  /** Octets of the payload. */
  length: number;
  /** Octets of padding in DATA, with the one that says how many (RFC 9113 section 6.1). */
  padding: number;
}

/** Who decides. */
export interface FrameSink {
  /** A frame has begun. */
  begin(head: FrameHead): Verdict;
  /** A frame that was wanted whole is there: its payload is [start, end), its header before it. */
  frame(head: FrameHead, octets: Buffer, start: number, end: number): Verdict;
  /** What goes on instead of a frame. */
  readonly replacement: Buffer;
  forward(octets: Buffer, lent: boolean): void;
}

/** Pieces up to this many octets in all are copied into one. */
const TO_COPY = 16_384;

/** One direction. */
export class FrameFlow {
  readonly head: FrameHead = { type: 0, flags: 0, stream: 0, length: 0, padding: 0 };
  readonly #sink: FrameSink;
  readonly #held = new Held();
  #parts: Buffer[] = [];
  /** Octets of the present payload that are still to come, and whether they are dropped. */
  #left = 0;
  #drops = false;
  #state: 'reads' | 'waits' | 'over' = 'reads';
  #count = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** The beginning of a frame was forwarded and its rest was not: nothing may be said in between. */
  get midFrame(): boolean {
    return this.#left > 0 && !this.#drops;
  }

  /** Frames that were read. */
  get count(): number {
    return this.#count;
  }

  /** Octets that wait. */
  get held(): number {
    return this.#held.length;
  }

  /** A frame waits for the verdict on it. */
  get waits(): boolean {
    return this.#state === 'waits';
  }

  /** Nothing more is read. */
  finish(): void {
    this.#state = 'over';
    this.#held.empty();
  }

  /** What waited goes on. */
  go(): void {
    if (this.#state !== 'waits') return;
    this.#state = 'reads';
    this.take(this.#held.empty(), false);
  }

  take(bytes: Uint8Array, lent: boolean): void {
    if (this.#state === 'over') return;
    const piece = this.#held.pieceWith(bytes, lent);
    const at = this.#state === 'waits' ? 0 : this.#read(piece);
    this.#forward(piece.lent);
    if (!this.#isOver()) this.#held.keep(piece, at);
  }

  /** Reads as far as it can; the offset of what has to wait. */
  #read({ octets }: Piece): number {
    /** Where the run begins that goes on as it is. */
    let run = 0;
    let at = 0;
    while (at < octets.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, octets.length - at);
        this.#left -= step;
        at += step;
        if (this.#drops) run = at;
        continue;
      }
      if (!this.#readHead(octets, at)) break;
      const end = at + HEADER_OCTETS + this.head.length;
      const first = this.#sink.begin(this.head);
      if (first === verdicts.whole && end > octets.length) break;
      const verdict = first === verdicts.whole ? this.#sink.frame(this.head, octets, at + HEADER_OCTETS, end) : first;
      if (verdict === verdicts.wait || verdict === verdicts.stop) {
        this.#state = verdict === verdicts.wait ? 'waits' : 'over';
        break;
      }
      this.#count += 1;
      const next = Math.min(end, octets.length);
      this.#left = end - next;
      this.#drops = verdict !== verdicts.pass;
      if (this.#drops) {
        this.#keep(octets, run, at);
        if (verdict === verdicts.replace) this.#parts.push(this.#sink.replacement);
        run = next;
      }
      at = next;
    }
    this.#keep(octets, run, at);
    return at;
  }

  /** False: more octets are needed. Padding of DATA is said behind its header. */
  #readHead(octets: Buffer, at: number): boolean {
    const { head } = this;
    if (octets.length - at < HEADER_OCTETS) return false;
    head.length = ((octets[at] ?? 0) << 16) | ((octets[at + 1] ?? 0) << 8) | (octets[at + 2] ?? 0);
    head.type = octets[at + 3] ?? 0;
    head.flags = octets[at + 4] ?? 0;
    head.stream = octets.readUInt32BE(at + 5) & 0x7fffffff;
    head.padding = 0;
    if (head.type !== frameTypes.data || (head.flags & flags.padded) === 0 || head.length === 0) return true;
    if (octets.length - at === HEADER_OCTETS) return false;
    head.padding = 1 + (octets[at + HEADER_OCTETS] ?? 0);
    return true;
  }

  #keep(octets: Buffer, start: number, end: number): void {
    if (end > start) this.#parts.push(start === 0 && end === octets.length ? octets : octets.subarray(start, end));
  }

  #forward(lent: boolean): void {
    const parts = this.#parts;
    if (parts.length === 0) return;
    this.#parts = [];
    const [only] = parts;
    if (parts.length === 1 && only !== undefined) return this.#sink.forward(only, lent);
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length <= TO_COPY) return this.#sink.forward(Buffer.concat(parts, length), false);
    // What was replaced is ours, the rest is not; nobody who takes a lent piece can do wrong.
    for (const part of parts) this.#sink.forward(part, lent);
  }

  #isOver(): boolean {
    return this.#state === 'over';
  }
}

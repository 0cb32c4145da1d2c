// How a gate takes leave of a client without losing a request (RFC 9113 section 6.8): first a GOAWAY that excludes no stream, with a PING
// behind it. Whoever answers that has read the GOAWAY and opens no more streams here; then a GOAWAY with the last stream that is answered.
// Pure but for its mark and the clock that it is given.
import { randomBytes } from 'node:crypto';
import { errorCodes, frameTypes } from './codes.ts';
import { frame, goawayFrame } from './encode.ts';

/** The highest number that a stream can have. */
const ANY_STREAM = 2 ** 31 - 1;
/** A client that has not answered the PING by then is taken to have read what came before it; what it asks after all is refused unread. */
const ANSWER_WITHIN_MS = 1_000;
const word = 'the connection is about to end';

/** The leave-taking of one connection. */
export class Farewell {
  readonly #mark: Buffer = randomBytes(8);
  readonly #nowMs: () => number;
  /** `application`: it takes leave itself, and nobody need do so for it. */
  #phase: 'none' | 'announced' | 'final' | 'application' = 'none';
  #announcedMs = 0;
  /** The last stream that was said: nobody may say a higher one later. */
  #last = ANY_STREAM;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The first GOAWAY was said and the second was not. */
  get isAnnounced(): boolean {
    return this.#phase === 'announced';
  }

  /** All is said. */
  get isFinal(): boolean {
    return this.#phase === 'final';
  }

  /** What is to be said now, if anything, where `highest` is the last stream that was opened. To be asked again until it is final. */
  next(highest: number): Buffer | undefined {
    if (this.#phase === 'announced')
      return this.#nowMs() - this.#announcedMs < ANSWER_WITHIN_MS ? undefined : this.#final(highest);
    if (this.#phase !== 'none') return undefined;
    this.#phase = 'announced';
    this.#announcedMs = this.#nowMs();
    const ping = frame(frameTypes.ping, { stream: 0 }, this.#mark);
    return Buffer.concat([goawayFrame(ANY_STREAM, errorCodes.noError, word), ping]);
  }

  /** The payload of an ACK of PING has come: what is to be said if it answers ours, undefined if it answers somebody else's. */
  answered(payload: Buffer, highest: number): Buffer | undefined {
    return this.isAnnounced && payload.equals(this.#mark) ? this.#final(highest) : undefined;
  }

  /** The last stream that a GOAWAY may still name. */
  lastOf(highest: number): number {
    return Math.min(highest, this.#last);
  }

  /** Whether a new stream is taken. */
  takes(stream: number): boolean {
    return this.#phase !== 'final' || stream <= this.#last;
  }

  /** The application says GOAWAY. What goes on instead, where that would exclude fewer streams than was said before. */
  said(payload: Buffer): Buffer | undefined {
    const [last, code] = [payload.readUInt32BE(0) & ANY_STREAM, payload.readUInt32BE(4)];
    if (this.#phase === 'none') this.#phase = 'application';
    const isHigher = last > this.#last;
    this.#last = this.lastOf(last);
    return isHigher ? goawayFrame(this.#last, code, '') : undefined;
  }

  #final(highest: number): Buffer {
    this.#phase = 'final';
    this.#last = this.lastOf(highest);
    return goawayFrame(this.#last, errorCodes.noError, word);
  }
}

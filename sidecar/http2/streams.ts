// The streams of one connection as a gate needs them: those that are open with what was asked on them, and those that the gate has ended itself,
// whose frames may still be under way.
import { ByKey } from '../bykey.ts';
import type { RequestHead } from './head.ts';

/** Streams that may be open at once; the application is said to allow no more. */
export const MAX_STREAMS = 1_000;
/** How many of its own ends a gate remembers. Frames that were under way then have long come when there were so many more. */
const MAX_CUT = 2 * MAX_STREAMS;

/** An open stream. */
export class Stream {
  readonly id: number;
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly grpc: boolean;
  readonly traceparent: string | undefined;
  readonly askedMs: number;
  /** What rules think of it now; undefined where they have nothing to say. */
  readonly breached: (() => boolean) | undefined;
  /** When it has to end, in milliseconds since the epoch. */
  readonly untilMs: number;
  /** Octets of the body that are to come by Content-Length, -1 where nobody said. */
  left: number;
  /** Of the answer; below 200 until the final one. */
  status = 0;
  grpcStatus: number | undefined;
  /** Octets of frames' payloads, as they came. */
  bytesIn = 0;
  bytesOut = 0;
  clientEnded = false;
  applicationEnded = false;

  constructor(
    id: number,
    head: RequestHead,
    { breached, untilMs = Infinity }: { readonly breached?: () => boolean; readonly untilMs?: number },
  ) {
    this.id = id;
    this.method = head.method;
    this.target = head.target;
    this.host = head.host;
    this.grpc = head.grpc;
    this.traceparent = head.traceparent;
    this.left = head.contentLength;
    this.breached = breached;
    this.untilMs = untilMs;
    this.askedMs = performance.now();
  }

  /** Its final answer has begun. */
  get answered(): boolean {
    return this.status >= 200;
  }
}

/** All of a connection's. */
export class Streams {
  readonly #open = new ByKey<number, Stream>();
  readonly #cut = new Set<number>();
  #highest = 0;

  get size(): number {
    return this.#open.size;
  }

  /** The highest number that was used. */
  get highest(): number {
    return this.#highest;
  }

  get(id: number): Stream | undefined {
    return this.#open.get(id);
  }

  values(): Iterable<Stream> {
    return this.#open.values();
  }

  /** Nobody has used it yet. */
  isIdle(id: number): boolean {
    return id > this.#highest;
  }

  /** The gate has ended it: nothing of it goes on, in neither direction. */
  isCut(id: number): boolean {
    return this.#cut.has(id);
  }

  open(stream: Stream): void {
    this.#highest = stream.id;
    this.#open.set(stream.id, stream);
  }

  close(stream: Stream): void {
    this.#open.delete(stream.id);
  }

  /** Ends a stream, whether it was open or is new. */
  cut(id: number): void {
    this.#highest = Math.max(this.#highest, id);
    this.#open.delete(id);
    this.#cut.add(id);
    if (this.#cut.size <= MAX_CUT) return;
    const [oldest] = this.#cut;
    if (oldest !== undefined) this.#cut.delete(oldest);
  }
}

// A half on Node's public stream API: data handlers, `write` and `pause`. Always right, on every version of Node; the fast path
// (handlehalf.ts) is measured against it.
import type { Duplex } from 'node:stream';
import type { Reason } from '../../lib/api/reasons.ts';
import { type Half, type HalfEvents, LINGER_MS, type OpenHalf } from './half.ts';
import { resetSocket } from './reset.ts';
import { UnreadReset } from './unread.ts';

/** A half over a socket that nobody reads. */
export const openStreamHalf: OpenHalf = (socket, options = {}) => {
  const { explain, under } = options;
  return new StreamHalf(socket, {
    reset: () => resetSocket(under ?? socket, socket),
    unread: new UnreadReset(socket, options),
    ...(explain === undefined ? {} : { explain }),
    ...(under === undefined ? {} : { under }),
  });
};

/** What a half over a stream is made of. */
export interface StreamHalfOptions {
  /** Ends the stream so that its peer sees a reset; called when it is not destroyed yet. */
  reset(): void;
  readonly explain?: (error: Error) => Reason;
  /** Resets that no read tells of. */
  readonly unread?: UnreadReset;
  /** The stream under this one; once it is being destroyed it takes this one along. */
  readonly under?: Duplex;
}

/** A half over any stream. */
export class StreamHalf implements Half {
  readonly #stream: Duplex;
  readonly #options: StreamHalfOptions;
  #failure: Reason | undefined;
  /** It was we who ended it in order. */
  #released = false;
  #events: HalfEvents | undefined;
  #gone: boolean;

  constructor(stream: Duplex, options: StreamHalfOptions) {
    this.#stream = stream;
    this.#options = options;
    // An error may come before anybody starts the half, and must find a listener.
    stream.on('error', (error: Error) => {
      this.#failure ??= options.explain?.(error) ?? 'reset';
      this.#drop();
    });
    // One that was lost before says so to nobody any more, or will say it in vain.
    this.#gone = stream.destroyed;
    stream.on('close', () => {
      if (!this.#gone) this.#events?.closed(this.#outcome());
      this.#gone = true;
    });
  }

  get queued(): number {
    return this.#stream.writableLength;
  }

  start(events: HalfEvents): void {
    const stream = this.#stream;
    this.#events = events;
    if (this.#gone) {
      queueMicrotask(() => events.closed(this.#outcome()));
      return;
    }
    // The end was read with the handshake, and said to nobody.
    if (stream.readableEnded) queueMicrotask(() => events.ended());
    stream.on('data', (chunk: Buffer) => events.data(chunk, false));
    stream.on('end', () => this.#peerEnded(events));
    stream.on('drain', () => events.drained());
    // An accepted socket was paused explicitly, which a data handler alone does not undo.
    stream.resume();
  }

  write(bytes: Uint8Array, lent: boolean): boolean {
    const stream = this.#stream;
    if (!stream.writable) return true;
    return stream.write(lent ? Buffer.from(bytes) : bytes);
  }

  end(): void {
    const stream = this.#stream;
    const { unread } = this.#options;
    // The read that is to come ends it.
    if (!stream.readableEnded && unread?.beforeEnd() === true) return;
    stream.end(() => {
      const { readableFlowing, readableLength, readableEnded } = stream;
      if (readableFlowing === true && readableLength === 0 && !readableEnded) unread?.ended();
    });
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#released) this.#stream.resume();
  }

  reset(): void {
    this.#failure ??= 'reset';
    this.#release();
    if (!this.#stream.destroyed) this.#options.reset();
  }

  abort(): void {
    const stream = this.#stream;
    this.#failure ??= 'reset';
    this.#release();
    if (stream.destroyed) return;
    if (stream.writableLength === 0) return this.reset();
    const timer = setTimeout(() => this.reset(), LINGER_MS).unref();
    stream.on('close', () => clearTimeout(timer));
    if (stream.writableEnded) stream.once('finish', () => this.reset());
    else stream.write('', () => this.reset());
  }

  destroy(): void {
    const stream = this.#stream;
    this.#release();
    if (stream.destroyed) return;
    const timer = setTimeout(() => this.#drop(), LINGER_MS).unref();
    stream.on('close', () => clearTimeout(timer));
    stream.end(() => this.#drop());
  }

  /** See handlehalf.ts: OpenSSL's state must not be freed with OpenSSL on the stack. */
  #drop(): void {
    if (this.#options.under?.destroyed !== true) this.#stream.destroy();
  }

  /** Nothing more is read. */
  #release(): void {
    this.#released = true;
    this.#stream.pause();
  }

  #peerEnded(events: HalfEvents): void {
    const { unread } = this.#options;
    const isReset = this.#stream.writableFinished ? unread?.afterBothEnds() : unread?.afterPeersEnd();
    if (isReset !== true) return events.ended();
    this.#failure ??= 'reset';
    this.#drop();
  }

  #outcome(): Reason | undefined {
    if (this.#failure !== undefined) return this.#failure;
    const { readableEnded, writableFinished } = this.#stream;
    // Closed without having ended both ways: somebody destroyed it, or the peer went away without a word.
    return this.#released || (readableEnded && writableFinished) ? undefined : 'reset';
  }
}

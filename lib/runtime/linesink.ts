// Standard output that never blocks and never grows: where nobody reads the pipe, lines are kept up to a bound, and what comes then is dropped and
// counted. Every log of a pod goes through one pipe to the container runtime; one that is slow must not stop traffic.
import { fstatSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { DestinationStream } from 'pino';
import { systemCode } from '../errors.ts';

/** How a sink behaves. */
export interface LineSinkOptions {
  /** Characters that may wait. */
  readonly capacity?: number;
  /** Writes some of the octets at once; how many. Throws `EAGAIN` when the reader takes none. */
  readonly write: (octets: Uint8Array) => number;
  /** A line was dropped. */
  onDrop?(): void;
  /** Lines flow again: so many were dropped since they last did. */
  onFlow?(dropped: number): void;
}

const CAPACITY = 1_048_576;
/** From so many characters on lines leave at once; else together with those of the next moments, which costs a system call less for each. */
const AT_ONCE = 16_384;
const GATHER_MS = 20;
/** How often a reader that is slow is asked again. */
const RETRY_MS = 50;
/** What is left when the process ends has so long to leave. */
const FAREWELL_MS = 250;

/** Takes lines. */
export class LineSink implements DestinationStream {
  readonly #options: LineSinkOptions;
  #lines: string[] = [];
  #waiting = 0;
  /** Octets that a write has left over. */
  #rest: Uint8Array = new Uint8Array(0);
  /** How many lines those were made of. */
  #restLines = 0;
  #timer: NodeJS.Timeout | undefined;
  #stuck = false;
  #gone = false;
  #dropped = 0;

  constructor(options: LineSinkOptions) {
    this.#options = options;
  }

  /** Takes a line with its end; drops it when too many wait. Never throws, never blocks. */
  write(line: string): void {
    if (this.#gone || this.#waiting + this.#rest.length + line.length > (this.#options.capacity ?? CAPACITY)) {
      this.#dropped += 1;
      return this.#options.onDrop?.();
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    if (this.#stuck) return;
    if (this.#waiting >= AT_ONCE) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS).unref();
  }

  /** Writes what waits, for a quarter of a second at most. For the end of the process. */
  end(): void {
    const until = performance.now() + FAREWELL_MS;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (this.#flush(); this.#stuck && !this.#gone && performance.now() < until; this.#flush()) {
      Atomics.wait(pause, 0, 0, 5);
    }
    clearTimeout(this.#timer);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stuck = !this.#drain();
    if (this.#stuck) this.#timer = setTimeout(() => this.#flush(), RETRY_MS).unref();
    else if (this.#dropped > 0 && !this.#gone) {
      const dropped = this.#dropped;
      this.#dropped = 0;
      this.#options.onFlow?.(dropped);
    }
  }

  /** False when the reader takes no more. */
  #drain(): boolean {
    try {
      while (this.#rest.length > 0 || this.#lines.length > 0) {
        if (this.#rest.length === 0) this.#take();
        this.#rest = this.#rest.subarray(this.#options.write(this.#rest));
      }
      return true;
    } catch (error) {
      if (systemCode(error) === 'EAGAIN') return false;
      this.#giveUp();
      return true;
    }
  }

  #take(): void {
    this.#rest = Buffer.from(this.#lines.join(''));
    this.#restLines = this.#lines.length;
    this.#lines = [];
    this.#waiting = 0;
  }

  /** Nobody will ever read (EPIPE): what would have been said is counted, and the process goes on. */
  #giveUp(): void {
    this.#gone = true;
    for (let left = this.#lines.length + this.#restLines; left > 0; left -= 1) this.#options.onDrop?.();
    this.#lines = [];
    this.#rest = new Uint8Array(0);
  }
}

/** A sink for a file descriptor. Pipes and sockets are made non-blocking; files take what they are given. */
export function outputSink(fd: number, options: Omit<LineSinkOptions, 'write'>): LineSink {
  const kind = fstatSync(fd);
  // Node makes what it opens as a socket non-blocking; this one is never written to by itself.
  if (kind.isFIFO() || kind.isSocket()) new Socket({ fd, readable: false, writable: true }).unref();
  const sink = new LineSink({ ...options, write: (octets) => writeSync(fd, octets) });
  process.once('exit', () => sink.end());
  return sink;
}

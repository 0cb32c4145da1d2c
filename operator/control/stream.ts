// One held-open response. At most one line is on its way and at most one waits, the newest: a reader that is slow, or reads
// nothing at all, costs two references to shared buffers.
import type { Writable } from 'node:stream';
import type { Line } from './snapshot.ts';

/** What happened to lines, for metrics. */
export interface LineEvents {
  /** Handed to the connection. `changedMs` as in Deliver. */
  sent(changedMs: number | undefined): void;
  /** Replaced by a newer one before it was sent. */
  superseded(): void;
}

interface Waiting {
  readonly line: Line;
  readonly changedMs: number | undefined;
}

/** Writes lines to a stream, newest only. */
export class LineStream {
  readonly #stream: Writable;
  readonly #events: LineEvents;
  #busy = false;
  #waiting: Waiting | undefined;

  constructor(stream: Writable, events: LineEvents) {
    this.#stream = stream;
    this.#events = events;
  }

  /** Sends the line now, or when the one on its way has been taken by the reader. */
  offer(line: Line, changedMs: number | undefined): void {
    if (!this.#busy) {
      this.#write({ line, changedMs });
      return;
    }
    if (this.#waiting !== undefined) this.#events.superseded();
    // The oldest change counts: that is how long the reader has been behind.
    this.#waiting = { line, changedMs: this.#waiting?.changedMs ?? changedMs };
  }

  #write({ line, changedMs }: Waiting): void {
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    this.#busy = true;
    this.#stream.write(line.bytes, () => this.#next());
    this.#events.sent(changedMs);
  }

  #next(): void {
    this.#busy = false;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#write(waiting);
  }
}

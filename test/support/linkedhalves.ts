// Two halves that lead to each other in memory: what one is given comes out of the other in a later turn, split as the test says, with
// back-pressure like a socket's. Its bytes are lent as those of the fast path are: the memory is overwritten after the call.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Half, HalfEvents } from '../../sidecar/relay/half.ts';

/** How a link behaves. */
export interface LinkOptions {
  /** Length of the next piece that comes out; the whole by default. */
  readonly split?: (length: number) => number;
  /** Bytes under way beyond which a writer is told to wait. */
  readonly highWater?: number;
}

/** One end of a link. */
export class LinkedHalf implements Half {
  other: LinkedHalf | undefined;
  /** Nothing comes out while it is true, and nobody is told: a network that has gone away. */
  isBlackHole = false;
  resets = 0;
  readonly #options: LinkOptions;
  #events: HalfEvents | undefined;
  #bytes: Uint8Array = new Uint8Array();
  #paused = true;
  #blocked = false;
  #ended = false;
  #gotEnd = false;
  #closed = false;
  #scheduled = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Bytes on their way to the other end. */
  get queued(): number {
    return this.other?.waiting ?? 0;
  }

  /** Bytes that have not come out of this end yet. */
  get waiting(): number {
    return this.#bytes.length;
  }

  start(events: HalfEvents): void {
    this.#events = events;
    this.resume();
  }

  write(bytes: Uint8Array, _lent: boolean): boolean {
    if (this.#ended || this.#closed || this.other === undefined) return true;
    this.other.take(bytes);
    this.#blocked = this.queued > (this.#options.highWater ?? 65_536);
    return !this.#blocked;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.other?.takeEnd();
    this.#maybeClose();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  reset(): void {
    if (this.#closed) return;
    this.resets += 1;
    this.other?.lose();
    this.#close('reset');
  }

  abort(): void {
    this.reset();
  }

  destroy(): void {
    this.end();
    this.#close(undefined);
  }

  /** Bytes from the other end. */
  take(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + bytes.length);
    joined.set(this.#bytes);
    joined.set(bytes, this.#bytes.length);
    this.#bytes = joined;
    this.#schedule();
  }

  takeEnd(): void {
    this.#gotEnd = true;
    this.#schedule();
  }

  lose(): void {
    if (!this.isBlackHole) setImmediate(() => this.#close('reset'));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#paused || this.#closed || this.isBlackHole || this.#events === undefined) return;
    if (this.#bytes.length > 0) {
      const count = Math.max(
        1,
        Math.min(this.#bytes.length, this.#options.split?.(this.#bytes.length) ?? this.#bytes.length),
      );
      const piece = this.#bytes.slice(0, count);
      this.#bytes = this.#bytes.subarray(count);
      this.#events.data(piece, true);
      piece.fill(0xaa);
      this.other?.relieved();
      return this.#schedule();
    }
    if (!this.#gotEnd || this.#closed) return undefined;
    this.#gotEnd = false;
    this.#events.ended();
    return this.#maybeClose();
  }

  relieved(): void {
    if (!this.#blocked || this.queued > 0) return;
    this.#blocked = false;
    if (!this.#closed) this.#events?.drained();
  }

  #maybeClose(): void {
    if (this.#ended && this.#bytes.length === 0 && this.other !== undefined && this.other.#ended)
      this.#close(undefined);
  }

  #close(reason: Reason | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    setImmediate(() => this.#events?.closed(reason));
  }
}

/** A link. */
export function linkedHalves(options: LinkOptions = {}): readonly [LinkedHalf, LinkedHalf] {
  const [a, b] = [new LinkedHalf(options), new LinkedHalf(options)];
  a.other = b;
  b.other = a;
  return [a, b];
}

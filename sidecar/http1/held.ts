// Octets that have to wait: the beginning of a head, or requests behind one that is still answered.

const nothing = Buffer.alloc(0);

/** What there is to read: what was held, and what has come after it. */
export interface Piece {
  readonly octets: Buffer;
  /** How many of them an earlier look has seen. */
  readonly seen: number;
  /** They are somebody else's: valid only until the call returns. */
  readonly lent: boolean;
}

/** Room that is taken beyond what is needed, in octets: at the least and at the most. */
const leastRoom = 1_024;
const mostRoom = 16_384;

/** Keeps octets until more come. Those that come one at a time are put behind the others where they lie, so that they do not cost the square of them. */
export class Held {
  #octets: Buffer = nothing;
  /** Octets behind those that are held, in the same memory, which nobody else knows of. */
  #room = 0;
  #memory: ArrayBufferLike | undefined;

  get length(): number {
    return this.#octets.length;
  }

  /** What is held and what came after it, in one piece. Nothing is held any more. */
  pieceWith(bytes: Uint8Array, lent: boolean): Piece {
    const more = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const before = this.#octets;
    this.#octets = nothing;
    if (before.length === 0) return { octets: more, seen: 0, lent };
    return { octets: this.#joined(before, more), seen: before.length, lent: false };
  }

  /** Holds what is left of a piece from an offset on. */
  keep({ octets, lent }: Piece, from: number): void {
    if (from >= octets.length) return this.#forget();
    this.#octets = lent ? Buffer.from(octets.subarray(from)) : octets.subarray(from);
    // What was joined here ends where the room begins; anything else lies in memory of others.
    if (octets.buffer === this.#memory) return;
    this.#room = 0;
    this.#memory = undefined;
  }

  /** Gives away what is held. */
  empty(): Buffer {
    const octets = this.#octets;
    this.#forget();
    return octets;
  }

  #joined(before: Buffer, more: Buffer): Buffer {
    const length = before.length + more.length;
    if (this.#memory !== undefined && more.length <= this.#room) {
      this.#room -= more.length;
      const whole = Buffer.from(this.#memory, before.byteOffset, length);
      whole.set(more, before.length);
      return whole;
    }
    const room = Math.max(leastRoom, Math.min(length, mostRoom));
    const whole = Buffer.allocUnsafeSlow(length + room);
    whole.set(before);
    whole.set(more, before.length);
    this.#room = room;
    this.#memory = whole.buffer;
    return whole.subarray(0, length);
  }

  #forget(): void {
    this.#octets = nothing;
    this.#room = 0;
    this.#memory = undefined;
  }
}

/** Up to this many octets a copy costs less than a TLS record of their own. */
const pieceToCopy = 16_384;

/** Forwards octets of our own and what came behind them, in one piece where that is short. */
export function forwardBehind(
  own: Buffer,
  through: Buffer,
  lent: boolean,
  sink: { forward(octets: Buffer, lent: boolean): void },
): void {
  if (through.length === 0) return sink.forward(own, false);
  if (through.length <= pieceToCopy) return sink.forward(Buffer.concat([own, through]), false);
  sink.forward(own, false);
  return sink.forward(through, lent);
}

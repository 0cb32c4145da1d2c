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

/** Keeps octets until more come. */
export class Held {
  #octets: Buffer = nothing;

  get length(): number {
    return this.#octets.length;
  }

  /** What is held and what came after it, in one piece. Nothing is held any more. */
  pieceWith(bytes: Uint8Array, lent: boolean): Piece {
    const more = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const before = this.empty();
    if (before.length === 0) return { octets: more, seen: 0, lent };
    return { octets: Buffer.concat([before, more]), seen: before.length, lent: false };
  }

  /** Holds what is left of a piece from an offset on. */
  keep({ octets, lent }: Piece, from: number): void {
    if (from < octets.length) this.#octets = lent ? Buffer.from(octets.subarray(from)) : octets.subarray(from);
  }

  /** Gives away what is held. */
  empty(): Buffer {
    const octets = this.#octets;
    this.#octets = nothing;
    return octets;
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

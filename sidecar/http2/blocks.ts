// Header blocks of one direction, put together from HEADERS and CONTINUATION (RFC 9113 sections 4.3, 6.2 and 6.10), and said anew where the
// tables on both sides of a gate have come apart: from the first block that does not go on as it came, the next ones do without a table.
import { type ConnectionRule, flags, frameTypes, HEADER_OCTETS } from './codes.ts';
import { type Decoder, MAX_BLOCK } from './decoder.ts';
import { emptyTable, encodeLines, headersFrames, type Line } from './encode.ts';
import type { FrameHead } from './frames.ts';

/** CONTINUATION frames that one block may have; two are enough for the longest one. */
const MAX_CONTINUATIONS = 8;

/** A block that is complete: its lines are those of the decoder. */
export interface Block {
  readonly stream: number;
  readonly endStream: boolean;
  /** What was lifted over several frames, all of them; undefined when the present frame is all of it. */
  readonly frames: Buffer | undefined;
  /** The block alone: valid during the call. */
  readonly octets: Buffer;
}

interface Open {
  readonly stream: number;
  readonly endStream: boolean;
  readonly frames: Buffer[];
  readonly fragments: Buffer[];
  octets: number;
}

/** Puts blocks together and reads them. */
export class Blocks {
  readonly decoder: Decoder;
  /** Blocks no longer go on as they come. */
  #apart = false;
  /** The other decoder was told that its table is empty. */
  #emptied = false;
  #open: Open | undefined;

  constructor(decoder: Decoder) {
    this.decoder = decoder;
  }

  /** A block has begun and is not complete. */
  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  /** What came last goes no further, so that the tables come apart. */
  dropped(): void {
    this.#apart = true;
  }

  /** The rule that a frame breaks by coming now: inside a block there is nothing but CONTINUATION, and outside none (section 6.10). */
  interrupts({ type, stream }: FrameHead): boolean {
    return this.#open === undefined
      ? type === frameTypes.continuation
      : type !== frameTypes.continuation || stream !== this.#open.stream;
  }

  /** Takes HEADERS or CONTINUATION. The block when it is complete and was read, undefined when it goes on, or the rule that is broken. */
  take(head: FrameHead, octets: Buffer, start: number, end: number): Block | ConnectionRule | undefined {
    const fragment = head.type === frameTypes.headers ? fragmentOf(head, octets, start, end) : { start, end };
    if (fragment === undefined) return head.length === 0 ? 'bad_frame_length' : 'bad_padding';
    const isLast = (head.flags & flags.endHeaders) !== 0;
    if (isLast && this.#open === undefined) {
      if (fragment.end - fragment.start > MAX_BLOCK) return 'block_too_large';
      const block = octets.subarray(fragment.start, fragment.end);
      return this.#read({ stream: head.stream, endStream: endsStream(head), frames: undefined, octets: block });
    }
    const open = (this.#open ??= {
      stream: head.stream,
      endStream: endsStream(head),
      frames: [],
      fragments: [],
      octets: 0,
    });
    // The octets are somebody else's after the call.
    const whole = Buffer.from(octets.subarray(start - HEADER_OCTETS, end));
    open.frames.push(whole);
    open.fragments.push(whole.subarray(fragment.start - start + HEADER_OCTETS, fragment.end - start + HEADER_OCTETS));
    open.octets += fragment.end - fragment.start;
    if (open.octets > MAX_BLOCK) return 'block_too_large';
    if (open.frames.length > MAX_CONTINUATIONS + 1) return 'continuation_flood';
    if (!isLast) return undefined;
    this.#open = undefined;
    const { stream, endStream } = open;
    return this.#read({ stream, endStream, frames: Buffer.concat(open.frames), octets: Buffer.concat(open.fragments) });
  }

  /**
   * What goes on for a block whose message does: undefined = the present frame as it is. `without` tells which lines are left out, `more` is
   * put behind them (a block by `encodeLines`).
   */
  onward(
    block: Block,
    edit?: { readonly without?: (line: Line) => boolean; readonly more?: Buffer },
  ): Buffer | undefined {
    const { stream, endStream, frames, octets } = block;
    const { without, more } = edit ?? {};
    const { fields } = this.decoder;
    if (without !== undefined && fields.some(without)) this.#apart = true;
    if (this.#apart) {
      const kept = without === undefined ? fields : fields.filter((line) => !without(line));
      const parts = [this.#emptied ? none : emptyTable, encodeLines(kept), more ?? none];
      this.#emptied = true;
      return headersFrames(stream, endStream, Buffer.concat(parts));
    }
    // A literal without indexing may stand behind any block, and changes no table.
    return more === undefined ? frames : headersFrames(stream, endStream, Buffer.concat([octets, more]));
  }

  #read(block: Block): Block | ConnectionRule {
    return this.decoder.decode(block.octets, 0, block.octets.length) ? block : 'bad_compression';
  }
}

const none: Buffer = Buffer.alloc(0);

function endsStream({ flags: set }: FrameHead): boolean {
  return (set & flags.endStream) !== 0;
}

/** Where the block's part of HEADERS is, between padding and priority; undefined when they are longer than the frame. */
function fragmentOf(
  { flags: set }: FrameHead,
  octets: Buffer,
  start: number,
  end: number,
): { readonly start: number; readonly end: number } | undefined {
  const isPadded = (set & flags.padded) !== 0;
  if (isPadded && end === start) return undefined;
  const padding = isPadded ? (octets[start] ?? 0) : 0;
  const from = start + (isPadded ? 1 : 0) + ((set & flags.priority) !== 0 ? 5 : 0);
  return from + padding > end ? undefined : { start: from, end: end - padding };
}

// HPACK as a reader (RFC 7541): follows every header block of one direction of a connection, whether the message is wanted or not, since each
// block may change what the next ones mean. What comes out is bounded; what is left out for that is only counted.
import { Field } from './field.ts';
import { huffmanDecode } from './huffman.ts';
import { DynamicTable, FIRST_TABLE_SIZE, staticFields } from './table.ts';

/** Bounds of what a block stands for (RFC 9113 section 10.5.1). */
export interface ListLimits {
  /** Octets of names and values, and 32 for each line. */
  readonly octets: number;
  readonly fields: number;
}

/** Longest header block as it is sent. A decoder is never given a longer one. */
export const MAX_BLOCK = 32_768;

/** Room for any string of a block, once it is decoded. */
const scratch = Buffer.allocUnsafeSlow(Math.ceil((MAX_BLOCK * 8) / 5) + 1);
/** Integers above this are nobody's. */
const MOST = 2 ** 28;

/** Reads blocks one after the other. */
export class Decoder {
  /** Lines of the last block, as many as the limits let through. */
  readonly fields: Field[] = [];
  /** Something was left out. */
  overflow: 'octets' | 'fields' | undefined;
  readonly #limits: ListLimits;
  readonly #table = new DynamicTable();
  #allowed = FIRST_TABLE_SIZE;
  #size = 0;
  #bytes: Buffer = scratch;
  #at = 0;
  #end = 0;

  constructor(limits: ListLimits) {
    this.#limits = limits;
  }

  /** The largest table that the encoder may use from now on: what the decoder behind us has said. */
  allow(most: number): void {
    this.#allowed = most;
    if (this.#table.most > most) this.#table.resize(most);
  }

  /** Reads the block in [start, end). False: it is none, and nothing that comes after it can be read (COMPRESSION_ERROR). */
  decode(bytes: Buffer, start: number, end: number): boolean {
    this.fields.length = 0;
    this.overflow = undefined;
    this.#size = 0;
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    let first = true;
    while (this.#at < end) {
      const octet = bytes[this.#at] ?? 0;
      if (octet >= 0x80) {
        const field = this.#indexed(this.#integer(0x7f));
        if (field === undefined) return false;
        this.#take(field);
      } else if (octet < 0x40 && octet >= 0x20) {
        // Section 4.2: at the beginning of a block and nowhere else.
        const size = this.#integer(0x1f);
        if (!first || size < 0 || size > this.#allowed) return false;
        this.#table.resize(size);
        continue;
      } else if (!this.#literal(octet)) return false;
      first = false;
    }
    this.#bytes = scratch;
    return true;
  }

  #take(field: Field): void {
    this.#size += field.size;
    if (this.#size > this.#limits.octets) this.overflow = 'octets';
    else if (this.fields.length === this.#limits.fields) this.overflow ??= 'fields';
    else this.fields.push(field);
  }

  #literal(octet: number): boolean {
    const remembered = octet >= 0x40;
    const index = this.#integer(remembered ? 0x3f : 0x0f);
    if (index < 0) return false;
    const from = index === 0 ? undefined : this.#indexed(index);
    if (index !== 0 && from === undefined) return false;
    const name = from === undefined ? this.#string() : from.name;
    const value = name === undefined ? undefined : this.#string();
    if (name === undefined || value === undefined) return false;
    const field = new Field(name, value, { from, secret: !remembered && octet >= 0x10 });
    if (remembered) this.#table.add(field);
    this.#take(field);
    return true;
  }

  #indexed(index: number): Field | undefined {
    if (index <= 0) return undefined;
    return index <= staticFields.length ? staticFields[index - 1] : this.#table.at(index - staticFields.length - 1);
  }

  /** Section 5.1; -1 when it is cut short or larger than anything can be. */
  #integer(mask: number): number {
    let value = (this.#bytes[this.#at++] ?? 0) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 28; shift += 7) {
      if (this.#at >= this.#end) return -1;
      const octet = this.#bytes[this.#at++] ?? 0;
      value += (octet & 0x7f) * 2 ** shift;
      if (octet < 0x80) return value <= MOST ? value : -1;
    }
    return -1;
  }

  #string(): string | undefined {
    if (this.#at >= this.#end) return undefined;
    const isCoded = (this.#bytes[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(0x7f);
    const start = this.#at;
    const end = start + length;
    if (length < 0 || end > this.#end) return undefined;
    this.#at = end;
    if (!isCoded) return this.#bytes.toString('latin1', start, end);
    const decoded = huffmanDecode(this.#bytes, start, end, scratch);
    return decoded < 0 ? undefined : scratch.toString('latin1', 0, decoded);
  }
}

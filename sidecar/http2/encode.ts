// Header blocks that leave no trace in any table (RFC 7541 sections 6.1, 6.2.2 and 6.2.3): what a gate says itself, adds to a message, or has to say
// anew because the tables on both sides of it are no longer the same. Pure.
import { flags, frameTypes, HEADER_OCTETS, MIN_MAX_FRAME } from './codes.ts';
import type { Field } from './field.ts';
import { staticFields } from './table.ts';

/** A line to be written. */
export type Line = Pick<Field, 'name' | 'value'> & { readonly secret?: boolean };

/** The first index of each name of the static table, and the index of each of its whole lines. */
const names = new Map<string, number>();
const lines = new Map<string, ReadonlyMap<string, number>>();
for (const [at, { name, value }] of staticFields.entries()) {
  if (!names.has(name)) names.set(name, at + 1);
  lines.set(name, new Map([...(lines.get(name) ?? []), [value, at + 1]]));
}

/** Sets the size of the decoder's table to nothing, so that no later limit of it has to be said. */
export const emptyTable: Buffer = Buffer.of(0x20);

/** Lines as a header block. */
export function encodeLines(all: readonly Line[]): Buffer {
  let room = 0;
  for (const { name, value } of all) room += name.length + value.length + 12;
  const out = Buffer.allocUnsafe(room);
  let at = 0;
  for (const { name, value, secret = false } of all) {
    const whole = secret ? undefined : lines.get(name)?.get(value);
    if (whole !== undefined) {
      out[at++] = 0x80 | whole;
      continue;
    }
    const index = names.get(name) ?? 0;
    at = writeInteger(out, at, index, secret ? literalSecret : literal);
    if (index === 0) at = writeString(out, at, name);
    at = writeString(out, at, value);
  }
  return out.subarray(0, at);
}

/** What an integer begins with: bits of the representation, and the room beside them. */
interface Prefix {
  readonly bits: number;
  readonly mask: number;
}

const literal: Prefix = { bits: 0x00, mask: 0x0f };
const literalSecret: Prefix = { bits: 0x10, mask: 0x0f };
const plainString: Prefix = { bits: 0x00, mask: 0x7f };

function writeString(out: Buffer, start: number, text: string): number {
  const at = writeInteger(out, start, text.length, plainString);
  return at + out.write(text, at, 'latin1');
}

/** Section 5.1. The offset behind it. */
function writeInteger(out: Buffer, start: number, value: number, { bits, mask }: Prefix): number {
  let at = start;
  if (value < mask) {
    out[at++] = bits | value;
    return at;
  }
  out[at++] = bits | mask;
  let left = value - mask;
  for (; left >= 0x80; left >>= 7) out[at++] = 0x80 | (left & 0x7f);
  out[at++] = left;
  return at;
}

/** A frame. */
export function frame(
  type: number,
  of: { readonly flags?: number; readonly stream: number },
  payload?: Uint8Array,
): Buffer {
  const length = payload?.length ?? 0;
  const out = Buffer.allocUnsafe(HEADER_OCTETS + length);
  writeHeader(out, 0, { length, type, flags: of.flags ?? 0, stream: of.stream });
  if (payload !== undefined) out.set(payload, HEADER_OCTETS);
  return out;
}

/** A frame whose payload is one number of 32 bits: RST_STREAM and WINDOW_UPDATE. */
export function numberFrame(type: number, stream: number, value: number): Buffer {
  const out = Buffer.allocUnsafe(HEADER_OCTETS + 4);
  writeHeader(out, 0, { length: 4, type, flags: 0, stream });
  out.writeUInt32BE(value, HEADER_OCTETS);
  return out;
}

/** GOAWAY, with a word for whoever reads it. */
export function goawayFrame(last: number, code: number, word: string): Buffer {
  const payload = Buffer.alloc(8 + word.length);
  payload.writeUInt32BE(last, 0);
  payload.writeUInt32BE(code, 4);
  payload.write(word, 8, 'latin1');
  return frame(frameTypes.goaway, { stream: 0 }, payload);
}

/** A header block as HEADERS, and CONTINUATION as far as it needs them. */
export function headersFrames(stream: number, endStream: boolean, block: Buffer): Buffer {
  const count = Math.max(1, Math.ceil(block.length / MIN_MAX_FRAME));
  const out = Buffer.allocUnsafe(block.length + count * HEADER_OCTETS);
  for (let index = 0, at = 0; index < count; index += 1) {
    const part = block.subarray(index * MIN_MAX_FRAME, (index + 1) * MIN_MAX_FRAME);
    const first = index === 0 && endStream ? flags.endStream : 0;
    const last = index === count - 1 ? flags.endHeaders : 0;
    const type = index === 0 ? frameTypes.headers : frameTypes.continuation;
    at = writeHeader(out, at, { length: part.length, type, flags: first | last, stream });
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function writeHeader(
  out: Buffer,
  at: number,
  head: { readonly length: number; readonly type: number; readonly flags: number; readonly stream: number },
): number {
  out.writeUIntBE(head.length, at, 3);
  out[at + 3] = head.type;
  out[at + 4] = head.flags;
  out.writeUInt32BE(head.stream, at + 5);
  return at + HEADER_OCTETS;
}

// Frames of tabard/1 (docs/tunnel-protocol.md sections 3 and 4): constants, and a frame as bytes. Pure.

/** Bytes before a payload: stream (4), type (1), length of the payload (3), big-endian. */
export const HEADER_BYTES = 8;

/** Frame types. Types that are not listed are skipped by a receiver. */
export const frameTypes = {
  open: 1,
  accept: 2,
  refuse: 3,
  data: 4,
  end: 5,
  reset: 6,
  window: 7,
  ping: 8,
  pong: 9,
  goaway: 10,
} as const;

/** Bytes that a sender may have under way in one direction of one stream before it is granted more. */
export const WINDOW_BYTES = 262_144;
/** Longest DATA (and unknown) payload that a receiver takes. */
export const MAX_DATA_BYTES = 65_536;
/** Longest DATA payload that is sent where others wait, too: with its header it fills one TLS record (RFC 8446 section 5.1). */
export const DATA_BYTES = 16_384 - HEADER_BYTES;
/**
 * Longest DATA payload that is sent at all. With its header and what TLS adds it is what the kernel sends in one piece, which is as many
 * whole segments as there are in 64 KB: 64,260 bytes over IPv6, 64,308 where an overlay has taken 50 of each packet. A few bytes
 * more would go through all of the network by themselves.
 */
export const BLOCK_BYTES = 64_000 - HEADER_BYTES;
/** Longest payload of every other known type. */
export const MAX_CONTROL_BYTES = 1_024;
/** Streams are numbered from 1 by the side that dialled; a tunnel that has used up its numbers is replaced by another one. */
export const MAX_STREAM = 0x7fff_ffff;
/** Credit never rises above this. */
export const MAX_CREDIT = 0x7fff_ffff;
/** Bytes of a PING or PONG. */
export const PING_BYTES = 8;

/** What a header says. */
export interface FrameHeader {
  readonly type: number;
  readonly stream: number;
  /** Bytes of the payload. */
  readonly length: number;
}

/** One whole frame. */
export interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly payload?: Uint8Array;
}

/** A frame as bytes. Sessions write into a buffer of their own instead; this is for short exchanges and tests. */
export function encodeFrame({ type, stream, payload = new Uint8Array() }: Frame): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, stream);
  view.setUint32(4, ((type << 24) | payload.length) >>> 0);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** Writes a header. */
export function writeHeader(buffer: Uint8Array, at: number, { type, stream, length }: FrameHeader): void {
  buffer[at] = stream >>> 24;
  buffer[at + 1] = stream >>> 16;
  buffer[at + 2] = stream >>> 8;
  buffer[at + 3] = stream;
  buffer[at + 4] = type;
  buffer[at + 5] = length >>> 16;
  buffer[at + 6] = length >>> 8;
  buffer[at + 7] = length;
}

/** Reads four bytes as an unsigned number; missing ones count as zero. */
export function readUint32(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

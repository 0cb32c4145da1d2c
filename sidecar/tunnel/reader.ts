// Cuts the bytes of a tunnel into frames, wherever they are split. DATA is handed on as it comes and never collected; other payloads are
// bounded and handed on whole. The first violation is the last thing that is said. Pure.
import type { Rule } from './codes.ts';
import { frameTypes, HEADER_BYTES, MAX_CONTROL_BYTES, MAX_DATA_BYTES } from './frame.ts';

/** Who takes the frames. Each answers false when nothing more is wanted. */
export interface FrameSink {
  /** Bytes of a DATA frame, a part of it or all. Lent ones are valid only during the call. */
  data(stream: number, bytes: Uint8Array, lent: boolean): boolean;
  /** Any other known frame. The payload is valid only during the call. */
  frame(type: number, stream: number, payload: Uint8Array): boolean;
  violation(rule: Rule): void;
}

const nothing = new Uint8Array();
const MAX_KNOWN = frameTypes.goaway;

/** Reads one direction of one tunnel. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #held = 0;
  #type = 0;
  #stream = 0;
  /** Bytes of the present payload that are still to come. */
  #left = 0;
  /** The payload of a frame that is handed on whole, while it is incomplete. */
  #payload: Uint8Array = nothing;
  #stopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Takes the next bytes. */
  push(bytes: Uint8Array, lent: boolean): void {
    let at = 0;
    while (at < bytes.length && !this.#stopped) {
      at = this.#left > 0 ? this.#takePayload(bytes, at, lent) : this.#takeHeader(bytes, at);
    }
  }

  #takeHeader(bytes: Uint8Array, at: number): number {
    if (this.#held === 0 && bytes.length - at >= HEADER_BYTES) {
      this.#begin(bytes, at);
      return at + HEADER_BYTES;
    }
    const count = Math.min(HEADER_BYTES - this.#held, bytes.length - at);
    this.#header.set(bytes.subarray(at, at + count), this.#held);
    this.#held += count;
    if (this.#held === HEADER_BYTES) {
      this.#held = 0;
      this.#begin(this.#header, 0);
    }
    return at + count;
  }

  #begin(from: Uint8Array, at: number): void {
    const byte = (index: number): number => from[at + index] ?? 0;
    this.#stream = ((byte(0) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3)) >>> 0;
    this.#type = byte(4);
    this.#left = (byte(5) << 16) | (byte(6) << 8) | byte(7);
    const isKnown = this.#type > 0 && this.#type <= MAX_KNOWN;
    const most = isKnown && this.#type !== frameTypes.data ? MAX_CONTROL_BYTES : MAX_DATA_BYTES;
    if (this.#left > most) return this.#violate('frame_too_long');
    if (this.#type === frameTypes.data) {
      if (this.#left === 0) this.#violate('bad_length');
      return undefined;
    }
    if (isKnown && this.#left === 0) this.#stopped = !this.#sink.frame(this.#type, this.#stream, nothing);
    return undefined;
  }

  #takePayload(bytes: Uint8Array, at: number, lent: boolean): number {
    const count = Math.min(this.#left, bytes.length - at);
    const end = at + count;
    const isWhole = this.#payload === nothing && count === this.#left;
    this.#left -= count;
    if (this.#type === frameTypes.data) {
      const part = at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end);
      this.#stopped = !this.#sink.data(this.#stream, part, lent);
    } else if (this.#type > 0 && this.#type <= MAX_KNOWN) {
      const part = bytes.subarray(at, end);
      if (isWhole) this.#stopped = !this.#sink.frame(this.#type, this.#stream, part);
      else this.#collect(part);
    }
    return end;
  }

  #collect(part: Uint8Array): void {
    const whole = new Uint8Array(this.#payload.length + part.length);
    whole.set(this.#payload);
    whole.set(part, this.#payload.length);
    this.#payload = whole;
    if (this.#left > 0) return;
    this.#payload = nothing;
    this.#stopped = !this.#sink.frame(this.#type, this.#stream, whole);
  }

  #violate(rule: Rule): void {
    this.#stopped = true;
    this.#sink.violation(rule);
  }
}

// What a tunnel sends: frames are written behind each other and leave once per event-loop turn, as few TLS records. No more than one
// buffer is handed to the connection before it says that there is room again, so that what is small never waits behind much. A large block
// that finds nothing in front of it leaves at once, from where it was read.
import type { Half } from '../relay/half.ts';
import { withRoom } from '../relay/headroom.ts';
import { BLOCK_BYTES, DATA_BYTES, frameTypes, HEADER_BYTES, writeHeader } from './frame.ts';

/** Bytes of DATA that are collected before they have to leave; streams wait for their turn then. */
const BATCH_BYTES = 65_536;
/** Bytes that are never reached but by answers to a peer that asks and does not read. */
const FLOOD_BYTES = 1_048_576;

/** Settings of an outbox. */
export interface OutboxOptions {
  readonly half: Half;
  /** Calls back at the end of the present turn. */
  readonly defer: (callback: () => void) => void;
  /** There is room for DATA. */
  readonly onRoom: () => void;
  /** A turn of the event loop has ended, and there is still room. */
  readonly onIdle: () => void;
  readonly onFlood: () => void;
}

/** Collects frames of one tunnel. */
export class Outbox {
  readonly #options: OutboxOptions;
  #buffer: Uint8Array = new Uint8Array(4_096);
  #length = 0;
  #busy = false;
  #armed = false;
  #closed = false;
  /** Bytes that were handed to the connection, for figures. */
  sent = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Longest payload of DATA that may be added now; 0 when none may. A long one only where it makes nobody else wait. */
  get room(): number {
    if (this.#busy || this.#length >= BATCH_BYTES) return 0;
    return this.#length === 0 ? BLOCK_BYTES : DATA_BYTES;
  }

  /** Bytes that wait here. */
  get length(): number {
    return this.#length;
  }

  /** Adds a frame without payload or with one of a few bytes. */
  control(type: number, stream: number, payload?: Uint8Array): void {
    const at = this.#begin(type, stream, payload?.length ?? 0);
    if (payload !== undefined) this.#buffer.set(payload, at);
    if (this.#length > FLOOD_BYTES && !this.#closed) this.#options.onFlood();
  }

  /** Adds a frame with one number of 32 bits. */
  number(type: number, stream: number, value: number): void {
    const at = this.#begin(type, stream, 4);
    const buffer = this.#buffer;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
  }

  /** Adds a frame with these bytes, which are copied. */
  data(type: number, stream: number, bytes: Uint8Array): void {
    const at = this.#begin(type, stream, bytes.length);
    this.#buffer.set(bytes, at);
  }

  /**
   * Sends a large block as one frame of DATA, without a copy. False when it would have to be copied: other bytes are before it, or there is
   * no room for a header in front of it.
   */
  block(stream: number, bytes: Uint8Array): boolean {
    const { half } = this.#options;
    if (this.#busy || this.#closed || this.#length > 0 || bytes.length > BLOCK_BYTES || half.queued > 0) return false;
    const frame = withRoom(bytes, HEADER_BYTES);
    if (frame === undefined) return false;
    writeHeader(frame, 0, { type: frameTypes.data, stream, length: bytes.length });
    this.sent += frame.length;
    this.#busy = !half.write(frame, true);
    return true;
  }

  /** The connection has room again. */
  drained(): void {
    this.#busy = false;
    if (this.#closed) return;
    this.flush();
    if (this.room > 0) this.#options.onRoom();
    this.arm();
  }

  /** Sees to it that the present turn ends with a flush and with room for those who wait. */
  arm(): void {
    if (this.#armed || this.#busy || this.#closed) return;
    this.#armed = true;
    this.#options.defer(this.#turnEnds);
  }

  /** Hands over what was collected, unless the connection is busy. */
  flush(): void {
    if (this.#busy || this.#length === 0) return;
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    this.sent += bytes.length;
    this.#busy = !this.#options.half.write(bytes, true);
    // One that has grown for a while does not stay large.
    if (this.#buffer.length > BATCH_BYTES * 2) this.#buffer = new Uint8Array(BATCH_BYTES);
  }

  /** Hands over everything, busy or not: the last bytes of a tunnel. */
  finish(): void {
    this.#busy = false;
    this.#closed = true;
    this.flush();
  }

  #begin(type: number, stream: number, length: number): number {
    const at = this.#length;
    const end = at + HEADER_BYTES + length;
    if (end > this.#buffer.length) this.#grow(end);
    writeHeader(this.#buffer, at, { type, stream, length });
    this.#length = end;
    this.arm();
    return at + HEADER_BYTES;
  }

  readonly #turnEnds = (): void => {
    this.#armed = false;
    if (this.#closed) return;
    this.flush();
    if (this.room > 0) this.#options.onRoom();
    if (this.room > 0) this.#options.onIdle();
  };

  #grow(least: number): void {
    const larger = new Uint8Array(Math.max(least, this.#buffer.length * 2));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

// The fast path: a half on the handle below a socket's streams. Bytes go from one C++ handle to the other with one call of JavaScript,
// plaintext is read into one buffer that all connections share, and nothing is allocated for a read. All that is used here and is
// no public API of Node: `socket._handle`, its `onread`, `reading`, `useUserBuffer`, `readStart`, `readStop`, `writeBuffer` and `writev`, the
// members of the write request that those return, and `stream_wrap`'s shared state. selftest.ts proves on the running Node that they
// do what is meant here; without that proof nobody uses this file (docs/adr/0021-fast-path.md).
import type { Reason } from '../../lib/api/reasons.ts';
import { type Half, type HalfEvents, LINGER_MS, type OpenHalf } from './half.ts';
import { BareConnections } from './handlebare.ts';
import { type HandleOwner, SocketOwner } from './handleowner.ts';
import { type HandleParts, handleOf, type StreamHandle, type WriteRequest } from './handles.ts';
import { HEADROOM, memoryWithRoom } from './headroom.ts';
import { openStreamHalf } from './streamhalf.ts';

/** libuv's "the peer ended its direction". */
const UV_EOF = -4095;
/** A TLS socket's own read buffer begins small and grows to the largest record, for most connections are idle. */
const FIRST_BUFFER = 4 * 1024;
const LAST_BUFFER = 16 * 1024;
/** From this size on a block that cannot leave at once holds its source: what would come next would only have to be copied. */
const LARGE = 16 * 1024;
/** Of the buffer that plain sockets share: a full read is one frame of a tunnel (`BLOCK_BYTES`), which the kernel sends in one piece. */
const SHARED = 64_000 - HEADROOM;
/** More than this waiting holds the source, too. */
const HIGH = 128 * 1024;
/** Lent bytes up to this size are copied exactly; larger ones go through the stage. */
const SMALL = 8 * 1024;

/** What all halves of a process share. */
interface Shared {
  readonly parts: HandleParts;
  /** Every plain socket reads into it: safe because bytes in it are sent or copied before the next read. */
  readonly plain: Uint8Array;
  /** Large lent bytes are put here to be sent; taken over, and replaced, by a write that could not end at once. */
  stage: Uint8Array<ArrayBuffer>;
  /** The half that is lending its own buffer at this moment. */
  lender: HandleHalf | undefined;
}

/**
 * Makes halves of sockets on their handles, and of connections that never become sockets. A socket that has no handle, or still sends what
 * its stream was given, gets a half on the stream.
 */
export function handleHalves(parts: HandleParts): OpenHalf {
  const [plain, stage] = [memoryWithRoom(SHARED), new Uint8Array(SHARED)];
  const shared: Shared = { parts, plain, stage, lender: undefined };
  const open: OpenHalf = (socket, options = {}) => {
    const handle = socket.destroyed || socket.writableLength > 0 || socket.writableEnded ? null : handleOf(socket);
    if (handle === null) return openStreamHalf(socket, options);
    return new HandleHalf(new SocketOwner(socket, handle, options), shared);
  };
  return Object.assign(open, { bare: new BareConnections(parts, (owner) => new HandleHalf(owner, shared)) });
}

class HandleHalf implements Half {
  readonly #owner: HandleOwner;
  readonly #handle: StreamHandle;
  readonly #shared: Shared;
  readonly #encrypted: boolean;
  #events: HalfEvents | undefined;
  /** Own read buffer (TLS). The handle holds its address alone: it has to be referred to from here as long as the handle lives. */
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  /** A write still reads from the lent buffer: the next read needs another one. */
  #bufferKept = false;
  /** One write at a time: a second one aborts the process (TLSWrap). */
  #inFlight = 0;
  #queue: Uint8Array[] = [];
  #waiting = 0;
  /** `write` has answered false. */
  #owesDrained = false;
  #paused = false;
  #reading = false;
  #begun = false;
  #ended = false;
  #ending = false;
  #endSent = false;
  #gone = false;
  /** It is we who are ending it: nothing more is read. `reset` once what was taken has left, where it is an abort. */
  #leaving: 'no' | 'in order' | 'by reset' = 'no';
  #failure: Reason | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(owner: HandleOwner, shared: Shared) {
    this.#owner = owner;
    this.#handle = owner.handle;
    this.#shared = shared;
    this.#encrypted = owner.encrypted;
    owner.watch(this);
  }

  get queued(): number {
    return this.#inFlight + this.#waiting;
  }

  start(events: HalfEvents): void {
    this.#events = events;
    // Lost since it was made.
    if (this.#gone) return queueMicrotask(() => this.gone());
    const owner = this.#owner;
    if (owner.destroyed) return undefined;
    const handle = this.#handle;
    if (!owner.isBare) {
      // It may be reading already, and says no to being told twice.
      handle.readStop();
      // So that the stream above does not start to read when what it holds is taken out of it.
      handle.reading = true;
    }
    handle.onread = () => this.#read();
    if (this.#encrypted) this.#buffer = new Uint8Array(FIRST_BUFFER);
    handle.useUserBuffer(this.#buffer ?? this.#shared.plain);
    if (!owner.isBare) return queueMicrotask(() => this.#begin());
    this.#begun = true;
    return this.#readOn();
  }

  write(bytes: Uint8Array, lent: boolean): boolean {
    if (this.#ending || this.#leaving !== 'no' || this.#owner.destroyed || bytes.length === 0) return true;
    if (this.#inFlight > 0) {
      this.#queue.push(lent ? new Uint8Array(bytes) : bytes);
      this.#waiting += bytes.length;
    } else {
      this.#send(bytes, lent);
    }
    if (this.#inFlight > 0 && (bytes.length >= LARGE || this.#waiting > HIGH)) this.#owesDrained = true;
    return !this.#owesDrained;
  }

  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    if (this.#inFlight === 0) this.#sendEnd();
  }

  pause(): void {
    this.#paused = true;
    this.#stopReading();
  }

  resume(): void {
    this.#paused = false;
    this.#readOn();
  }

  reset(): void {
    this.#failure ??= 'reset';
    this.#leaving = 'by reset';
    this.#owner.reset();
  }

  abort(): void {
    if (this.#owner.destroyed) return;
    this.#failure ??= 'reset';
    if (this.#inFlight === 0) return this.reset();
    this.#leave('by reset', () => this.reset());
  }

  destroy(): void {
    const owner = this.#owner;
    if (owner.destroyed || this.#leaving !== 'no') return;
    this.#leave('in order', () => owner.destroy());
    if (this.#endSent) owner.destroy();
    else this.end();
  }

  /** Called by the owner, and here when the handle says no. */
  failed(reason: Reason): void {
    this.#failure ??= reason;
    this.#owner.destroy();
  }

  /** Called by the owner. */
  gone(): void {
    clearTimeout(this.#timer);
    const events = this.#events;
    this.#gone = true;
    this.#events = undefined;
    this.#reading = false;
    this.#queue = [];
    this.#waiting = 0;
    this.#inFlight = 0;
    // Closed without having ended both ways: somebody destroyed it, or the peer went away without a word.
    const orderly = this.#leaving === 'in order' || (this.#ended && this.#endSent);
    events?.closed(this.#failure ?? (orderly ? undefined : 'reset'));
  }

  #leave(how: 'in order' | 'by reset', late: () => void): void {
    this.#leaving = how;
    this.#stopReading();
    this.#timer ??= setTimeout(late, LINGER_MS).unref();
  }

  /** Takes over from the stream above the handle what that had read before, then reads on. */
  #begin(): void {
    const owner = this.#owner;
    this.#begun = true;
    if (owner.destroyed) return;
    owner.handOver(
      (chunk) => {
        if (this.#leaving === 'no') this.#events?.data(chunk, false);
      },
      () => this.#peerEnded(),
    );
    this.#readOn();
  }

  #readOn(): void {
    if (this.#reading || this.#paused || !this.#begun || this.#ended) return;
    if (this.#leaving !== 'no' || this.#owner.destroyed) return;
    this.#reading = true;
    const error = this.#handle.readStart();
    if (error !== 0) this.failed('reset');
  }

  #stopReading(): void {
    if (!this.#reading) return;
    this.#reading = false;
    if (!this.#owner.destroyed) this.#handle.readStop();
  }

  /** Called by the handle; another buffer that is returned is read into from now on. */
  #read(): Uint8Array | undefined {
    const { state, readIndex } = this.#shared.parts;
    const count = state[readIndex] ?? 0;
    if (count > 0) return this.#buffer === undefined ? this.#lendShared(count) : this.#lendOwn(this.#buffer, count);
    if (count === UV_EOF) this.#peerEnded();
    else if (count < 0) this.failed('reset');
    return undefined;
  }

  #lendShared(count: number): undefined {
    const { plain } = this.#shared;
    if (this.#leaving === 'no') this.#events?.data(count === plain.length ? plain : plain.subarray(0, count), true);
  }

  #lendOwn(buffer: Uint8Array<ArrayBuffer>, count: number): Uint8Array | undefined {
    if (this.#leaving !== 'no') return undefined;
    const shared = this.#shared;
    const outer = shared.lender;
    shared.lender = this;
    this.#events?.data(buffer.subarray(0, count), true);
    shared.lender = outer;
    const full = count === buffer.length && count < LAST_BUFFER;
    if (!this.#bufferKept && !full) return undefined;
    this.#bufferKept = false;
    this.#buffer = new Uint8Array(full ? LAST_BUFFER : buffer.length);
    return this.#buffer;
  }

  #peerEnded(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopReading();
    if (this.#leaving === 'no') {
      const { unread } = this.#owner;
      const isReset = this.#endSent ? unread?.afterBothEnds() : unread?.afterPeersEnd();
      if (isReset === true) return this.failed('reset');
      this.#events?.ended();
    }
    this.#doneIfBoth();
  }

  #send(bytes: Uint8Array, lent: boolean): void {
    // TLS encrypts at once, and keeps a copy of its own where it cannot.
    if (!lent || this.#encrypted) return this.#sent(this.#handle.writeBuffer(null, bytes), bytes, bytes.length);
    const shared = this.#shared;
    const { lender } = shared;
    if (lender !== undefined && bytes.buffer === lender.#buffer?.buffer) {
      this.#sent(this.#handle.writeBuffer(null, bytes), bytes, bytes.length);
      if (this.#inFlight > 0) lender.#bufferKept = true;
      return;
    }
    const staged = bytes.length > SMALL && bytes.length <= shared.stage.length;
    const copy = staged ? shared.stage.subarray(0, bytes.length) : new Uint8Array(bytes);
    if (staged) copy.set(bytes);
    this.#sent(this.#handle.writeBuffer(null, copy), copy, copy.length);
    if (staged && this.#inFlight > 0) shared.stage = new Uint8Array(shared.stage.length);
  }

  #sendQueue(): void {
    const [queue, size] = [this.#queue, this.#waiting];
    this.#queue = [];
    this.#waiting = 0;
    const [only] = queue;
    const request =
      queue.length === 1 && only !== undefined
        ? this.#handle.writeBuffer(null, only)
        : this.#handle.writev(null, queue, true);
    this.#sent(request, queue, size);
  }

  /** Takes note of a write: done, failed, or under way with `memory`, which has to stay as it is. */
  #sent(request: number | WriteRequest, memory: unknown, size: number): void {
    if (typeof request === 'number') {
      if (request !== 0) this.failed('reset');
      return;
    }
    const { state, errorIndex } = this.#shared.parts;
    if (state[errorIndex] !== 0) return this.failed('reset');
    this.#inFlight = size;
    request.handle = this.#handle;
    request.buffer = memory;
    request.oncomplete = (status) => this.#written(status);
    const status = request.writeStatus;
    if (status === null || status === undefined) return;
    // It ended before anybody could be told.
    request.writeStatus = null;
    this.#written(status);
  }

  #written(status: number): void {
    this.#inFlight = 0;
    if (this.#owner.destroyed) return;
    if (status < 0) return this.failed('reset');
    if (this.#queue.length > 0) this.#sendQueue();
    if (this.#inFlight > 0 || this.#owner.destroyed) return;
    if (this.#leaving === 'by reset') return this.reset();
    if (this.#ending) return this.#sendEnd();
    if (!this.#owesDrained) return;
    this.#owesDrained = false;
    this.#events?.drained();
  }

  #sendEnd(): void {
    const owner = this.#owner;
    if (owner.destroyed) return;
    // Nothing more can come, so closing it says the same in one call.
    if (this.#ended && owner.isBare) return this.#endIsSent();
    // The read that is to come ends it.
    if (!this.#ended && this.#leaving === 'no' && owner.unread?.beforeEnd() === true) return;
    owner.end(() => this.#endIsSent());
  }

  #endIsSent(): void {
    this.#endSent = true;
    if (!this.#ended) this.#owner.unread?.ended();
    if (this.#leaving === 'in order') this.#owner.destroy();
    else this.#doneIfBoth();
  }

  #doneIfBoth(): void {
    if (this.#ended && this.#endSent) this.#owner.destroy();
  }
}

// Who a handle belongs to, for the half on it: Node's own socket, whose streams are passed by, or nobody but the fast path (handlebare.ts).
// Only the owner ends a handle.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Reason } from '../../lib/api/reasons.ts';
import type { HalfOptions } from './half.ts';
import type { StreamHandle } from './handles.ts';
import { resetSocket } from './reset.ts';
import { UnreadReset } from './unread.ts';

/** What an owner tells. */
export interface OwnerEvents {
  /** It broke. Who hears it ends it. */
  failed(reason: Reason): void;
  /** It is closed: the last event, never inside a call to the owner. */
  gone(): void;
}

/** The owner of a handle. */
export interface HandleOwner {
  readonly handle: StreamHandle;
  readonly encrypted: boolean;
  /** No stream stands above the handle: nobody else has read from it or is going to. */
  readonly isBare: boolean;
  /** It is over: its handle may not be touched any more. */
  readonly destroyed: boolean;
  /** Tells of its end from now on. */
  watch(events: OwnerEvents): void;
  /** Hands over what was read before, and the end, whether it was read or is still to be taken note of. */
  handOver(data: (chunk: Uint8Array) => void, ended: () => void): void;
  /** Resets that no read tells of; a bare one has none. */
  readonly unread?: UnreadReset;
  /** Ends our direction; calls back when that has left. Nothing may be under way. */
  end(done: () => void): void;
  destroy(): void;
  reset(): void;
}

/** A socket of Node's. */
export class SocketOwner implements HandleOwner {
  readonly handle: StreamHandle;
  readonly encrypted: boolean;
  readonly isBare = false;
  readonly unread: UnreadReset;
  readonly #socket: Socket | TLSSocket;
  readonly #options: HalfOptions;

  constructor(socket: Socket | TLSSocket, handle: StreamHandle, options: HalfOptions) {
    this.#socket = socket;
    this.handle = handle;
    this.encrypted = 'encrypted' in socket;
    this.#options = options;
    this.unread = new UnreadReset(socket, options);
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  watch(events: OwnerEvents): void {
    const { explain } = this.#options;
    this.#socket.on('error', (error: Error) => events.failed(explain?.(error) ?? 'reset'));
    this.#socket.on('close', () => events.gone());
  }

  handOver(data: (chunk: Uint8Array) => void, ended: () => void): void {
    const socket = this.#socket;
    if (socket.readableEnded) return ended();
    // The end may have been read, too; the stream says so once it is empty.
    socket.once('end', ended);
    for (let chunk: unknown = socket.read(); chunk !== null; chunk = socket.read()) data(chunk as Buffer);
    return undefined;
  }

  end(done: () => void): void {
    this.#socket.end(done);
  }

  /**
   * A TLS socket only while the one under it stands, which else takes it along: OpenSSL's state would be freed at once, perhaps with
   * OpenSSL on the stack.
   */
  destroy(): void {
    if (this.#options.under?.destroyed !== true) this.#socket.destroy();
  }

  reset(): void {
    resetSocket(this.#options.under ?? this.#socket, this.#socket);
  }
}

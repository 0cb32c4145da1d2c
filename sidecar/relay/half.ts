// One half of an application connection, as relays see it: a plain socket, a TLS socket or a stream inside a tunnel. Bytes are handed
// over by calls and not through stream objects, so that a half costs little and may lend its read buffer for the time of one call.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Reason } from '../../lib/api/reasons.ts';
import type { BareHalves } from './bare.ts';

/** How long bytes that were taken may need to leave before a half that was to flush them is reset after all. */
export const LINGER_MS = 1_000;

/** What a half tells whoever started it. No event fires inside a call of `start`. */
export interface HalfEvents {
  /** Bytes came. Lent ones are valid only during the call: who keeps them copies them. Others may be kept and passed on. */
  data(bytes: Uint8Array, lent: boolean): void;
  /** The peer ended its direction (FIN, close_notify, END): no more data. Our direction stays open. */
  ended(): void;
  /** After `write` answered false: there is room again. */
  drained(): void;
  /**
   * It is gone: exactly once, the last event. Without a reason both directions ended in order, or we ended it with `destroy`; after
   * `reset` the reason is `reset`.
   */
  closed(reason?: Reason): void;
}

/** One half. Whoever holds it has to end it: with `end` after the peer's end, with `destroy` or with `reset`. */
export interface Half {
  /** Begins to read; nothing was read from the peer before. Once only. A half that was lost before says `closed` in a later turn. */
  start(events: HalfEvents): void;
  /**
   * Takes all bytes. False: stop until `drained` (the bytes are taken all the same). What cannot leave at once of lent bytes is copied.
   * Never throws; after `end`, `reset`, `destroy` or the loss of the half bytes are dropped.
   */
  write(bytes: Uint8Array, lent: boolean): boolean;
  /** Ends our direction, after what was written. */
  end(): void;
  /** Holds reading. Data that is being handed over may still come. */
  pause(): void;
  /** Goes on reading. */
  resume(): void;
  /** Bytes taken that have not left this process. */
  readonly queued: number;
  /**
   * Ends the half at once so that its peer sees a reset, never an orderly end. Any time, more than once, also before `start`. A peer
   * that can be told gets the reason (a stream of a tunnel); without one it is `reset`.
   */
  reset(reason?: Reason): void;
  /** Like `reset`, but what was taken leaves first, for `LINGER_MS` at most: a reset must not overtake the bytes before it. */
  abort(reason?: Reason): void;
  /** Ends both directions in order: flushes what is queued, for `LINGER_MS` at most, reads no more, then is gone. */
  destroy(): void;
}

/** What the maker of a half has to know of a socket. */
export interface HalfOptions {
  /** What an error of the socket means; `reset` where nothing is said. */
  readonly explain?: (error: Error) => Reason;
  /** The TCP socket under a TLS socket: only it can be reset, and it takes the other along. */
  readonly under?: Socket;
  /** Over TLS: the peer says where its direction ends (close_notify), as every sidecar does. A connection that is over without that was cut. */
  readonly peerSaysEnd?: boolean;
}

/** Makes a half of a connected socket that nobody reads. Which kind it makes was decided when the process started. */
export interface OpenHalf {
  (socket: Socket | TLSSocket, options?: HalfOptions): Half;
  /** Where it has them: connections that need no socket. */
  readonly bare?: BareHalves;
}

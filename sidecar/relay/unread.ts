// Resets of the connection under a TLS socket that no read tells of. The kernel tells a reset once, to whoever asks first. Where that is the
// write of OpenSSL's close_notify, which tells nobody, the next read finds an end in order: what was cut would pass for whole. Two questions
// find it. As long as our own direction has not ended, a kernel that no more knows the peer (getpeername(2), ENOTCONN) has had a reset; it may come
// between that question and the write. And a peer that says where its direction ends has not said so where no byte came after ours had ended
// (RFC 8446 section 6.1: an end of the connection without close_notify is a truncation). What stays unnoticed is a reset within the microseconds of that write
// before which something had come that nobody had read.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { HalfOptions } from './half.ts';

/** Looks at one TLS socket. The kernel is asked each question once: Node remembers an answer. */
export class UnreadReset {
  readonly #socket: Socket | TLSSocket;
  readonly #under: Socket | undefined;
  readonly #peerSaysEnd: boolean;
  /** What had come when our direction was ended. */
  #cameBefore: number | undefined;

  /** For a socket that carries no TLS the answer is always no: no write of ours goes unheard there. */
  constructor(socket: Socket | TLSSocket, { under, peerSaysEnd = false }: HalfOptions) {
    this.#socket = socket;
    this.#under = 'encrypted' in socket ? under : undefined;
    this.#peerSaysEnd = peerSaysEnd;
  }

  /** Before our direction is ended: a read is to tell of a reset, if nobody writes any more. */
  beforeEnd(): boolean {
    return this.#under !== undefined && isForgotten(this.#socket);
  }

  /** Our direction has ended, the peer's has not, and all that has come was read. */
  ended(): void {
    this.#cameBefore = this.#under?.bytesRead;
  }

  /** When the peer's direction has ended and ours has not: it was no end but a reset. No, where somebody asked before for the peer's name. */
  afterPeersEnd(): boolean {
    return this.#under !== undefined && isForgotten(this.#under);
  }

  /** When the peer's direction has ended after ours: it was no end but a reset. */
  afterBothEnds(): boolean {
    return this.#peerSaysEnd && this.#cameBefore !== undefined && this.#under?.bytesRead === this.#cameBefore;
  }
}

function isForgotten(socket: Socket): boolean {
  return !socket.destroyed && socket.remotePort === undefined;
}

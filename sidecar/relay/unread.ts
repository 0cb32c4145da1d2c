// Resets of the connection under a TLS socket that no read tells of. The kernel tells a reset once, to whoever asks first. Where that is the
// write of OpenSSL's close_notify, which tells nobody, the next read finds an end in order: what was cut would pass for whole. As long as our
// own direction has not ended, a kernel that no more knows the peer (getpeername(2), ENOTCONN) has had a reset. What stays unnoticed is one
// that comes in the microseconds between the question and that write.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** Looks at one TLS socket, before the end of our direction is sent. Each question is asked once: Node remembers an answer. */
export class UnreadReset {
  readonly #socket: Socket | TLSSocket;
  readonly #under: Socket | undefined;

  /** `under` is the TCP socket under a TLS socket. For any other socket the answer is always no: no write of ours goes unheard there. */
  constructor(socket: Socket | TLSSocket, under: Socket | undefined) {
    this.#socket = socket;
    this.#under = 'encrypted' in socket ? under : undefined;
  }

  /** Before our direction is ended: a read is to tell of a reset, if nobody writes any more. */
  beforeEnd(): boolean {
    return this.#under !== undefined && isForgotten(this.#socket);
  }

  /** When the peer's direction has ended and ours has not: it was no end but a reset. No, where somebody asked before for the peer's name. */
  afterPeersEnd(): boolean {
    return this.#under !== undefined && isForgotten(this.#under);
  }
}

function isForgotten(socket: Socket): boolean {
  return !socket.destroyed && socket.remotePort === undefined;
}

// How connections come in: as sockets, for whoever has to look into them before he knows what they are, or as halves, for whoever carries
// them whatever they are.
import type { Server, Socket } from 'node:net';
import { type CapturedSocket, descriptorOf } from './destination/original.ts';
import type { Half, OpenHalf } from './relay/half.ts';
import { reset } from './transport/plain.ts';

/** What a connection came as. Nobody has read from it. */
export type Near = NearSocket | NearHalf;
/** A socket of Node's. */
export type NearSocket = { readonly socket: Socket };
/** A half. */
export type NearHalf = { readonly half: Half };

/** A connection that was accepted. */
export interface Incoming<N extends Near> extends CapturedSocket {
  readonly near: N;
  readonly remotePort?: number | undefined;
  /** Ends it with a reset, whatever state it is in. */
  reset(): void;
  /** Calls back once when it is closed. */
  onGone(run: () => void): void;
}

/** Has everything that a listening server accepts come in; `failed` gets the system's code of what could not be accepted. */
export type Door<N extends Near> = (
  server: Server,
  take: (incoming: Incoming<N>) => void,
  failed: (code: string) => void,
) => void;

/** As sockets. */
export const socketDoor: Door<NearSocket> = (server, take) => {
  server.on('connection', (socket) => {
    // It needs a listener from its first moment on.
    socket.on('error', () => socket.destroy());
    take(new SocketIncoming(socket, { socket }));
  });
};

/** As halves, without a socket of Node's where the relay can do so. */
export function halfDoor(openHalf: OpenHalf): Door<NearHalf> {
  const { bare } = openHalf;
  if (bare === undefined) {
    return (server, take) => {
      server.on('connection', (socket) => take(new SocketIncoming(socket, { half: openHalf(socket) })));
    };
  }
  return (server, take, failed) => bare.accept(server, take, failed);
}

class SocketIncoming<N extends Near> implements Incoming<N> {
  readonly near: N;
  readonly #socket: Socket;

  constructor(socket: Socket, near: N) {
    this.#socket = socket;
    this.near = near;
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort;
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  get descriptor(): number {
    return descriptorOf(this.#socket) ?? -1;
  }

  reset(): void {
    reset(this.#socket);
  }

  onGone(run: () => void): void {
    this.#socket.once('close', run);
  }
}

// Connections of this process with itself, over loopback: one end for a relay, the other for whoever speaks to it. The self-test and
// the tests of relays stand on them. TLS is keyed by a secret that both ends know, so that no certificate is needed.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import {
  connect as connectTls,
  createSecureContext,
  createServer as createTlsServer,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';

/** How bytes travel, and for TLS which end the relay is. */
export type LinkKind = 'plain' | 'tls server' | 'tls client';

/** One connection. */
export interface Link {
  /** The relay's end. */
  readonly socket: Socket;
  /** The TCP socket under it, where it is TLS. */
  readonly under: Socket | undefined;
  readonly peer: Socket;
  /** Resets the connection from the peer's end. */
  reset(): void;
}

const psk = Buffer.alloc(32, 'tabard');
// An empty list of CAs: without any Node would read all that come with it.
const settings: TlsOptions = { ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3', ca: [] };

/** Makes links, one after the other, so that each accepted end belongs to the dialled one. */
export class LoopbackLinks {
  readonly #server: Server;
  readonly #tls = createTlsServer({ ...settings, pskCallback: () => psk });
  readonly #context = createSecureContext(settings);
  readonly #sockets = new Set<Socket>();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens. Rejects with the system's error where there is no loopback. */
  static async start(): Promise<LoopbackLinks> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new LoopbackLinks(server);
  }

  /** Destroys every link and listens no more. */
  close(): void {
    this.#server.close();
    // The newest first: a TLS socket that is destroyed right after the socket under it frees OpenSSL's state at once, even while
    // OpenSSL is on the stack, as it is in whatever a finished handshake sets off (Node 26.10: the process dies).
    for (const socket of [...this.#sockets].reverse()) socket.destroy();
  }

  /** A connection; for TLS with the handshake done. */
  make(kind: LinkKind): Promise<Link> {
    const made = this.#last.then(() => this.#make(kind));
    this.#last = made.catch(() => undefined);
    return made;
  }

  async #make(kind: LinkKind): Promise<Link> {
    const { port } = this.#server.address() as AddressInfo;
    const accepting = once(this.#server, 'connection') as Promise<[Socket]>;
    const dialled = this.#keep(connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true }));
    const [[accepted]] = await Promise.all([accepting, once(dialled, 'connect')]);
    this.#keep(accepted);
    if (kind === 'plain') {
      return { socket: accepted, under: undefined, peer: dialled, reset: () => void dialled.resetAndDestroy() };
    }
    const { server, client } = await this.#secure(accepted, dialled);
    return kind === 'tls server'
      ? { socket: server, under: accepted, peer: client, reset: () => void dialled.resetAndDestroy() }
      : { socket: client, under: dialled, peer: server, reset: () => void accepted.resetAndDestroy() };
  }

  async #secure(accepted: Socket, dialled: Socket): Promise<{ server: TLSSocket; client: TLSSocket }> {
    const accepting = once(this.#tls, 'secureConnection') as Promise<[TLSSocket]>;
    this.#tls.emit('connection', accepted);
    const client = connectTls({
      ...settings,
      secureContext: this.#context,
      socket: dialled,
      pskCallback: () => ({ psk, identity: 'loopback' }),
      checkServerIdentity: () => undefined,
    });
    const [[server]] = await Promise.all([accepting, once(client, 'secureConnect')]);
    return { server: this.#keep(server), client: this.#keep(client) };
  }

  #keep<S extends Socket>(socket: S): S {
    socket.on('error', () => undefined);
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }
}

// Connections on loopback for tests of halves: one end for the relay, the other for the application or proxy that talks to it.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Half, OpenHalf } from '../../sidecar/relay/half.ts';

/** How bytes travel on a link, and for TLS which end the relay is. */
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

// A key that both know stands for certificates: what is tested here begins after the handshake.
const psk = Buffer.alloc(32, 'tabard');
const suite = { ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3' } as const;
const secureContext = createSecureContext({ ...suite, ca: [] });

/** Makes links; `close` when no more are needed. */
export class Links {
  readonly #server: Server;
  readonly #waiting: ((socket: Socket) => void)[] = [];
  #last: Promise<unknown> = Promise.resolve();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => this.#waiting.shift()?.(socket));
  }

  static async start(): Promise<Links> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Links(server);
  }

  close(): void {
    this.#server.close();
  }

  /** One after the other, so that each accepted end belongs to the dialled one. */
  make(kind: LinkKind): Promise<Link> {
    const made = this.#last.then(() => this.#make(kind));
    this.#last = made;
    return made;
  }

  async #make(kind: LinkKind): Promise<Link> {
    const { promise, resolve } = Promise.withResolvers<Socket>();
    this.#waiting.push(resolve);
    const { port } = this.#server.address() as AddressInfo;
    const dialled = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
    dialled.on('error', () => undefined);
    const accepted = await promise;
    accepted.on('error', () => undefined);
    if (dialled.connecting) await once(dialled, 'connect');
    if (kind === 'plain') {
      return { socket: accepted, under: undefined, peer: dialled, reset: () => void dialled.resetAndDestroy() };
    }
    const ends = await secure(accepted, dialled);
    return kind === 'tls server'
      ? { socket: ends.server, under: accepted, peer: ends.client, reset: () => void dialled.resetAndDestroy() }
      : { socket: ends.client, under: dialled, peer: ends.server, reset: () => void accepted.resetAndDestroy() };
  }
}

/** The relay's half of a link. */
export function halfOf({ socket, under }: Link, openHalf: OpenHalf): Half {
  return openHalf(socket, under === undefined ? {} : { under });
}

const tlsServer = createTlsServer({ ...suite, ca: [], pskCallback: () => psk });

async function secure(accepted: Socket, dialled: Socket): Promise<{ server: TLSSocket; client: TLSSocket }> {
  const made = once(tlsServer, 'secureConnection') as Promise<[TLSSocket]>;
  tlsServer.emit('connection', accepted);
  const client = connectTls({
    ...suite,
    socket: dialled,
    secureContext,
    pskCallback: () => ({ psk, identity: 'link' }),
    checkServerIdentity: () => undefined,
  });
  client.on('error', () => undefined);
  const [[server]] = await Promise.all([made, once(client, 'secureConnect')]);
  server.on('error', () => undefined);
  return { server, client };
}

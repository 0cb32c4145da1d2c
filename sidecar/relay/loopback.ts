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
import type { BareDialled, BareHalves, BareIncoming } from './bare.ts';
import type { Half, OpenHalf } from './half.ts';

/** How bytes travel, and which end the relay is. A bare one has no socket of Node's around it at the relay's end. */
export type LinkKind = 'plain' | 'tls server' | 'tls client' | 'bare accepted' | 'bare dialled';

/** One connection. */
export interface Link {
  /** Makes the half at the relay's end, once; a bare link has its own. */
  half(openHalf: OpenHalf): Half;
  /** Loses the relay's end, before it was made a half; resolves when it is closed. */
  lose(): Promise<void>;
  readonly peer: Socket;
  /** Resets the connection from the peer's end. */
  reset(): void;
}

const psk = Buffer.alloc(32, 'tabard');
// An empty list of CAs: without any Node would read all that come with it.
const settings: TlsOptions = { ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3', ca: [] };

/** What is needed for bare links. */
interface Bare {
  readonly halves: BareHalves;
  /** Accepts the relay's ends. */
  readonly near: Server;
  /** Accepts their peers. */
  readonly far: Server;
}

/** Nothing is far from itself. */
const BARE_DIAL_MS = 10_000;

/** Makes links, one after the other, so that each accepted end belongs to the dialled one. */
export class LoopbackLinks {
  readonly #server: Server;
  readonly #bare: Bare | undefined;
  #takeBare: (incoming: BareIncoming) => void = () => undefined;
  readonly #tls = createTlsServer({ ...settings, pskCallback: () => psk });
  readonly #context = createSecureContext(settings);
  readonly #sockets = new Set<Socket>();
  /** Bare ones, as long as their peers stand. */
  readonly #halves = new Set<Half>();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(server: Server, bare: Bare | undefined) {
    this.#server = server;
    this.#bare = bare;
    const failed = (code: string): void => void this.#server.emit('error', new Error(code));
    bare?.halves.accept(bare.near, (incoming) => this.#takeBare(incoming), failed);
  }

  /** Listens; with `halves` also for bare links. Rejects with the system's error where there is no loopback. */
  static async start(halves?: BareHalves): Promise<LoopbackLinks> {
    const server = await listening({ pauseOnConnect: true });
    const bare = halves && { halves, near: await listening({}), far: await listening({}) };
    return new LoopbackLinks(server, bare);
  }

  /** Destroys every link and listens no more. */
  close(): void {
    this.#server.close();
    this.#bare?.near.close();
    this.#bare?.far.close();
    // The newest first: a TLS socket that is destroyed right after the socket under it frees OpenSSL's state at once, even while
    // OpenSSL is on the stack, as it is in whatever a finished handshake sets off (Node 26.10: the process dies).
    for (const socket of [...this.#sockets].reverse()) socket.destroy();
    for (const half of this.#halves) half.reset();
  }

  /** A connection; for TLS with the handshake done. */
  make(kind: LinkKind): Promise<Link> {
    const made = this.#last.then(() => this.#make(kind));
    this.#last = made.catch(() => undefined);
    return made;
  }

  async #make(kind: LinkKind): Promise<Link> {
    if (kind === 'bare accepted') return this.#accepted(this.#needBare());
    if (kind === 'bare dialled') return this.#dialled(this.#needBare());
    const accepting = once(this.#server, 'connection') as Promise<[Socket]>;
    const dialled = this.#connect(this.#server);
    const [[accepted]] = await Promise.all([accepting, once(dialled, 'connect')]);
    this.#keep(accepted);
    if (kind === 'plain') return link(accepted, undefined, { peer: dialled, bottom: dialled });
    const { server, client } = await this.#secure(accepted, dialled);
    return kind === 'tls server'
      ? link(server, accepted, { peer: client, bottom: dialled })
      : link(client, dialled, { peer: server, bottom: accepted });
  }

  async #accepted({ near }: Bare): Promise<Link> {
    const taken = new Promise<BareIncoming>((resolve) => {
      this.#takeBare = resolve;
    });
    const peer = this.#connect(near);
    const [incoming] = await Promise.all([taken, once(peer, 'connect')]);
    return this.#bareLink(incoming.near.half, peer);
  }

  async #dialled({ halves, far }: Bare): Promise<Link> {
    const accepting = once(far, 'connection') as Promise<[Socket]>;
    const { port } = far.address() as AddressInfo;
    const dialled = await new Promise<BareDialled>((resolve) =>
      halves.dial({ address: '127.0.0.1', port }, BARE_DIAL_MS, resolve),
    );
    if (!dialled.ok) throw new Error(`dialling ended with ${dialled.detail}`);
    const [peer] = await accepting;
    return this.#bareLink(dialled.half, this.#keep(peer));
  }

  #bareLink(half: Half, peer: Socket): Link {
    this.#halves.add(half);
    peer.on('close', () => this.#halves.delete(half));
    const lose = (): Promise<void> => {
      half.reset();
      return new Promise((resolve) => setImmediate(resolve));
    };
    return { half: () => half, lose, peer, reset: () => void peer.resetAndDestroy() };
  }

  #needBare(): Bare {
    if (this.#bare === undefined) throw new Error('these halves are no bare ones');
    return this.#bare;
  }

  #connect(server: Server): Socket {
    const { port } = server.address() as AddressInfo;
    return this.#keep(connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true }));
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

async function listening(options: { readonly pauseOnConnect?: boolean }): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, ...options });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** `bottom` is the peer's TCP socket. */
function link(socket: Socket, under: Socket | undefined, { peer, bottom }: { peer: Socket; bottom: Socket }): Link {
  return {
    half: (openHalf) => openHalf(socket, under === undefined ? {} : { under }),
    lose: async () => {
      const lost = once(socket, 'close');
      socket.destroy();
      await lost;
    },
    peer,
    reset: () => void bottom.resetAndDestroy(),
  };
}

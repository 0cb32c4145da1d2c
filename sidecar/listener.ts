// Accepts captured connections: says where each was going, keeps to the limit, and closes what was not captured or would come
// back to this proxy. Every socket has an error handler from its first moment on; nothing is read before the handler decides.
import { createServer, type Server, type Socket } from 'node:net';
import type { Reason } from '../lib/api/reasons.ts';
import { systemCode } from '../lib/errors.ts';
import type { Place } from './accesslog.ts';
import { unmapped } from './destination/key.ts';
import type { OriginalDestinationReader } from './destination/original.ts';
import type { Direction } from './relay/live.ts';
import { reset } from './transport/plain.ts';

/** A connection with where it comes from and where it was going. */
export interface Captured {
  readonly socket: Socket;
  readonly source: Place;
  readonly destination: Place;
  /** Says that the peer has proved itself or needs no proof: the connection no longer makes room for new ones. */
  admitted(): void;
}

/** Settings of a listener. */
export interface ListenerOptions {
  readonly direction: Direction;
  /** Addresses to listen on; `any` is every address of both families. The first must work, a second one's family may be missing. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly original: OriginalDestinationReader;
  /** Ports of this proxy: a connection that was going there would go round in circles. */
  ownPorts(): readonly number[];
  /** Addresses of this pod. */
  readonly ownAddresses: ReadonlySet<string>;
  /** Most connections at once. */
  limit(): number;
  /** Takes a connection over; must end it, whatever happens. */
  handle(captured: Captured): Promise<void>;
  refused(captured: Pick<Captured, 'source' | 'destination'>, reason: Reason, detail: string): void;
  /** An error that `handle` let out: a bug. */
  failed(error: unknown): void;
}

const BACKLOG = 4_096;

/** Listens on one port for one direction. */
export class CaptureListener {
  readonly #options: ListenerOptions;
  readonly #servers: Server[] = [];
  /** Connections whose peer has not proved itself yet, oldest first. */
  readonly #waiting = new Set<Socket>();
  #open = 0;
  #port: number;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#port = options.port;
  }

  /** The port; the one that was given, once listening, where any was asked for. */
  get port(): number {
    return this.#port;
  }

  /** Starts to listen on every host. */
  async listen(): Promise<void> {
    for (const [index, host] of this.#options.hosts.entries()) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true });
      server.on('connection', (socket) => this.#accept(socket));
      try {
        this.#port = await listen(server, host, this.#port);
        this.#servers.push(server);
        server.on('error', (error) => this.#acceptFailed(error));
      } catch (error) {
        const familyIsMissing = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(systemCode(error) ?? '');
        if (index === 0 || !familyIsMissing) throw error;
      }
    }
  }

  /** Accepts no more; connections that were accepted go on. */
  close(): void {
    for (const server of this.#servers) server.close();
  }

  /** Out of file descriptors: the kernel keeps the backlog, accepting goes on when some are free again. */
  #acceptFailed(error: Error): void {
    const nowhere = { address: '', port: 0 };
    const detail = `accept failed: ${systemCode(error) ?? error.message}`;
    this.#options.refused({ source: nowhere, destination: { ...nowhere, port: this.#port } }, 'overload', detail);
  }

  #accept(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    const { remoteAddress, remotePort } = socket;
    // Reset before it was accepted.
    if (remoteAddress === undefined || remotePort === undefined) return void socket.destroy();
    const source = { address: unmapped(remoteAddress), port: remotePort };
    const original = this.#options.original(socket);
    if (original === undefined) {
      const local = { address: unmapped(socket.localAddress ?? ''), port: socket.localPort ?? 0 };
      return this.#refuse(socket, {
        source,
        destination: local,
        reason: 'malformed',
        detail: 'not a captured connection',
      });
    }
    const destination = { address: unmapped(original.address), port: original.port };
    if (this.#leadsBack(destination)) {
      return this.#refuse(socket, {
        source,
        destination,
        reason: 'malformed',
        detail: "the destination is this proxy's own port",
      });
    }
    if (this.#open >= this.#options.limit() && !this.#makeRoom()) {
      return this.#refuse(socket, {
        source,
        destination,
        reason: 'overload',
        detail: `${this.#open} connections are open`,
      });
    }
    this.#take(socket, source, destination);
  }

  #take(socket: Socket, source: Place, destination: Place): void {
    this.#open += 1;
    this.#waiting.add(socket);
    socket.once('close', () => {
      this.#open -= 1;
      this.#waiting.delete(socket);
    });
    const admitted = (): void => void this.#waiting.delete(socket);
    this.#options.handle({ socket, source, destination, admitted }).catch((error: unknown) => {
      this.#options.failed(error);
      reset(socket);
    });
  }

  #leadsBack({ address, port }: Place): boolean {
    if (!this.#options.ownPorts().includes(port)) return false;
    return this.#options.ownAddresses.has(address) || address === '::1' || address.startsWith('127.');
  }

  /** Peers that only hold connections open must not shut out those that prove themselves: the oldest unproved one goes. */
  #makeRoom(): boolean {
    const [oldest] = this.#waiting;
    if (oldest === undefined) return false;
    this.#waiting.delete(oldest);
    reset(oldest);
    return true;
  }

  #refuse(
    socket: Socket,
    { source, destination, reason, detail }: { source: Place; destination: Place; reason: Reason; detail: string },
  ): void {
    this.#options.refused({ source, destination }, reason, detail);
    reset(socket);
  }
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // Without a host Node takes both families, or IPv4 alone where the system has no other.
  server.listen({ ...(host === 'any' ? {} : { host }), port, backlog: BACKLOG }, resolve);
  await promise;
  server.off('error', reject);
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

// Accepts captured connections: says where each was going, keeps to the limit, and closes what was not captured or would come
// back to this proxy. Nothing is read before the handler decides.
import { createServer, type Server } from 'node:net';
import type { Reason } from '../lib/api/reasons.ts';
import { systemCode } from '../lib/errors.ts';
import type { Place } from './accesslog.ts';
import { ByKey } from './bykey.ts';
import { unmapped } from './destination/key.ts';
import type { OriginalDestinationReader } from './destination/original.ts';
import type { Door, Incoming, Near } from './incoming.ts';
import type { Direction } from './relay/live.ts';
import { watched } from './transport/plain.ts';

/** Where a connection comes from, and where it was going. */
export interface Places {
  readonly source: Place;
  readonly destination: Place;
}

/** A connection with its places. */
export interface Captured<N extends Near> extends Places {
  readonly near: N;
  /** Says that the peer has proved itself or needs no proof: the connection no longer makes room for new ones. */
  readonly admitted: () => void;
  /** Ends it for a fault of this proxy that came later. */
  readonly failed: (error: unknown) => void;
}

/** Settings of a listener. */
export interface ListenerOptions<N extends Near> {
  readonly direction: Direction;
  readonly door: Door<N>;
  /** Addresses to listen on; `any` is every address of both families. The first must work, a second one's family may be missing. */
  readonly hosts: readonly string[];
  readonly port: number;
  /** Other processes of this proxy listen on the same port, and the kernel shares connections out (SO_REUSEPORT, socket(7)). */
  readonly reusePort?: boolean;
  readonly original: OriginalDestinationReader;
  /** Ports of this proxy: a connection that was going there would go round in circles. */
  ownPorts(): readonly number[];
  /** Addresses of this pod. */
  readonly ownAddresses: ReadonlySet<string>;
  /** Most connections at once. */
  limit(): number;
  /** Takes a connection over; must end it, whatever happens. */
  handle(captured: Captured<N>): Promise<void> | void;
  refused(places: Places, reason: Reason, detail: string): void;
  /** An error that `handle` let out: a bug. */
  failed(error: unknown): void;
}

const BACKLOG = 4_096;

/** Listens on one port for one direction. */
export class CaptureListener<N extends Near> {
  readonly #options: ListenerOptions<N>;
  readonly #servers: Server[] = [];
  /** Connections whose peer has not proved itself yet, in the order in which they came. */
  readonly #waiting = new ByKey<number, Incoming<N>>();
  #came = 0;
  #open = 0;
  #port: number;

  constructor(options: ListenerOptions<N>) {
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
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, ...watched });
      try {
        this.#port = await listen(server, host, { port: this.#port, reusePort: this.#options.reusePort ?? false });
        this.#servers.push(server);
        const failed = (code: string): void => this.#acceptFailed(code);
        server.on('error', (error) => failed(systemCode(error) ?? error.message));
        this.#options.door(server, (incoming) => this.#accept(incoming), failed);
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
  #acceptFailed(code: string): void {
    const nowhere = { address: '', port: 0 };
    const places = { source: nowhere, destination: { ...nowhere, port: this.#port } };
    this.#options.refused(places, 'overload', `accept failed: ${code}`);
  }

  #accept(incoming: Incoming<N>): void {
    const { remoteAddress, remotePort } = incoming;
    // Reset before it was accepted.
    if (remoteAddress === undefined || remotePort === undefined) return incoming.reset();
    const source = { address: unmapped(remoteAddress), port: remotePort };
    const original = this.#options.original(incoming);
    if (original === undefined) {
      const { localAddress = '', localPort = 0 } = incoming;
      const destination = { address: unmapped(localAddress), port: localPort };
      return this.#refuse(incoming, { source, destination }, 'malformed', 'not a captured connection');
    }
    const destination = { address: unmapped(original.address), port: original.port };
    const places = { source, destination };
    if (this.#leadsBack(destination)) {
      return this.#refuse(incoming, places, 'malformed', "the destination is this proxy's own port");
    }
    if (this.#open >= this.#options.limit() && !this.#makeRoom()) {
      return this.#refuse(incoming, places, 'overload', `${this.#open} connections are open`);
    }
    return this.#take(incoming, places);
  }

  #take(incoming: Incoming<N>, { source, destination }: Places): void {
    this.#open += 1;
    this.#came += 1;
    const number = this.#came;
    let isAdmitted = false;
    let isGone = false;
    incoming.onGone(() => {
      this.#open -= 1;
      isGone = true;
      this.#waiting.delete(number);
    });
    const admitted = (): void => {
      isAdmitted = true;
      this.#waiting.delete(number);
    };
    const failed = (error: unknown): void => {
      this.#options.failed(error);
      incoming.reset();
    };
    const { near } = incoming;
    try {
      const handling = this.#options.handle({ near, source, destination, admitted, failed });
      handling?.catch(failed);
    } catch (error) {
      failed(error);
    }
    // Most need no proof: they are not put down to be struck out at once.
    if (!isAdmitted && !isGone) this.#waiting.set(number, incoming);
  }

  #leadsBack({ address, port }: Place): boolean {
    if (!this.#options.ownPorts().includes(port)) return false;
    return this.#options.ownAddresses.has(address) || address === '::1' || address.startsWith('127.');
  }

  /** Peers that only hold connections open must not shut out those that prove themselves: the oldest unproved one goes. */
  #makeRoom(): boolean {
    const { oldest } = this.#waiting;
    if (oldest === undefined) return false;
    this.#waiting.get(oldest)?.reset();
    this.#waiting.delete(oldest);
    return true;
  }

  #refuse(incoming: Incoming<N>, places: Places, reason: Reason, detail: string): void {
    this.#options.refused(places, reason, detail);
    incoming.reset();
  }
}

async function listen(server: Server, host: string, at: { port: number; reusePort: boolean }): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // Without a host Node takes both families, or IPv4 alone where the system has no other.
  server.listen({ ...(host === 'any' ? {} : { host }), ...at, backlog: BACKLOG }, resolve);
  await promise;
  server.off('error', reject);
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : at.port;
}

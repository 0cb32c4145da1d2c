// Connections that never become sockets of Node's: accepted and dialled as TCP handles, and halves from the beginning. A socket, its streams
// and their events cost more than all else that is done here for a new connection. Beside what handlehalf.ts names this uses
// `server._handle` with its `onconnection`, and of `tcp_wrap` and `stream_wrap` the TCP handle and its requests (handles.ts).
import { isIP, type Server } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { Crowd, type Placed } from '../crowd.ts';
import type { BareDialled, BareHalves, BareIncoming, BareTarget } from './bare.ts';
import type { Half } from './half.ts';
import type { HandleOwner, OwnerEvents } from './handleowner.ts';
import { type HandleParts, listeningHandleOf, type SocketName, type TcpHandle } from './handles.ts';
import { later } from './later.ts';

/** libuv's "there is no connection any more". */
const UV_ENOTCONN = -107;
/** As `keepAlive` asks for without a delay: the system's own times. */
const KEEP_ALIVE_SECONDS = 0;

/** How exactly the time of a connection that is dialled is kept: it is given up so much later at most. */
const TICK_MS = 250;

/** A connection that does not stand yet. */
interface Dialling extends Placed {
  ticksLeft: number;
  readonly late: () => void;
}

/** Makes the half of a connection. */
type MakeHalf = (owner: HandleOwner) => Half;

/** Accepts and dials. */
export class BareConnections implements BareHalves {
  readonly #parts: HandleParts;
  readonly #makeHalf: MakeHalf;
  /** One timer for all of them: nearly every one stands at once. */
  readonly #dialling = new Crowd<Dialling>();
  #ticking: NodeJS.Timeout | undefined;

  constructor(parts: HandleParts, makeHalf: MakeHalf) {
    this.#parts = parts;
    this.#makeHalf = makeHalf;
  }

  accept(server: Server, take: (incoming: BareIncoming) => void, failed: (code: string) => void): void {
    const listening = listeningHandleOf(server);
    const address = server.address();
    const localPort = typeof address === 'object' ? address?.port : undefined;
    // On Linux what is accepted has these from its listener: two calls less for each connection.
    listening.setNoDelay(true);
    listening.setKeepAlive(true, KEEP_ALIVE_SECONDS);
    listening.onconnection = (status, handle) => {
      if (status !== 0 || handle === undefined) return failed(codeOf(status));
      const remote = this.#peerOf(handle);
      // Reset before it was accepted.
      if (remote === undefined) return handle.close();
      const connection = new BareConnection(handle, this.#parts);
      return take(new Incoming(connection, { half: this.#makeHalf(connection), remote, localPort }));
    };
  }

  #peerOf(handle: TcpHandle): SocketName | undefined {
    const known = this.#parts.calls?.peer(handle.fd);
    if (known !== undefined) return known;
    const asked: SocketName = {};
    return handle.getpeername(asked) === 0 ? asked : undefined;
  }

  dial({ address, port }: BareTarget, timeoutMs: number, done: (dialled: BareDialled) => void): void {
    const handle = this.#parts.newTcp();
    const fail = (detail: string): void => {
      this.#dialling.delete(dialling);
      handle.close();
      done({ ok: false, detail });
    };
    // The tick that comes next may be about to.
    const ticksLeft = Math.ceil(timeoutMs / TICK_MS) + 1;
    const dialling: Dialling = { ticksLeft, late: () => fail('connect timeout'), place: -1 };
    this.#dialling.add(dialling);
    this.#ticking ??= setInterval(() => this.#tick(), TICK_MS);
    const request = this.#parts.newConnect();
    request.oncomplete = (status) => {
      // Given up before.
      if (dialling.place < 0) return;
      if (status !== 0) return fail(codeOf(status));
      this.#dialling.delete(dialling);
      handle.setNoDelay(true);
      handle.setKeepAlive(true, KEEP_ALIVE_SECONDS);
      done({ ok: true, half: this.#makeHalf(new BareConnection(handle, this.#parts)) });
    };
    const isV6 = isIP(address) === 6;
    const error = isV6 ? handle.connect6(request, address, port) : handle.connect(request, address, port);
    if (error !== 0) fail(codeOf(error));
  }

  /** Stops when there is nothing to wait for, so that it holds up no process that ends. */
  #tick(): void {
    for (const dialling of this.#dialling) {
      dialling.ticksLeft -= 1;
      if (dialling.ticksLeft <= 0) dialling.late();
    }
    if (this.#dialling.size > 0) return;
    clearInterval(this.#ticking);
    this.#ticking = undefined;
  }
}

/** The system's name of an error, as a socket's error would have it. */
function codeOf(error: number): string {
  return error < 0 ? getSystemErrorName(error) : 'UNKNOWN';
}

/** Owns the handle of one connection. */
class BareConnection implements HandleOwner {
  readonly handle: TcpHandle;
  readonly encrypted = false;
  readonly isBare = true;
  /** Called once when it is closed. */
  onGone: (() => void) | undefined;
  readonly #parts: HandleParts;
  #events: OwnerEvents | undefined;
  #destroyed = false;
  /** Our direction is being ended, which nothing but `close` may disturb. */
  #isEnding = false;
  #resetsThen = false;

  constructor(handle: TcpHandle, parts: HandleParts) {
    this.handle = handle;
    this.#parts = parts;
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  watch(events: OwnerEvents): void {
    this.#events = events;
  }

  /** Nobody has read before. */
  handOver(): void {}

  end(done: () => void): void {
    const { calls } = this.#parts;
    if (calls !== undefined) {
      calls.end(this.handle.fd);
      return done();
    }
    const request = this.#parts.newShutdown();
    request.oncomplete = () => {
      this.#isEnding = false;
      if (this.#resetsThen) this.#reset();
      else if (!this.#destroyed) done();
    };
    this.#isEnding = true;
    const error = this.handle.shutdown(request);
    if (error === 0) return undefined;
    this.#isEnding = false;
    // Done at once, or there is nobody left to be told.
    if (error === 1 || error === UV_ENOTCONN) return done();
    return this.#events?.failed('reset');
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.handle.close();
    this.#isOver();
  }

  reset(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    // It takes a turn of the event loop at most: all that was written has left.
    if (this.#isEnding) this.#resetsThen = true;
    else this.#reset();
  }

  #reset(): void {
    this.handle.reset();
    this.#isOver();
  }

  #isOver(): void {
    later(() => {
      this.onGone?.();
      this.#events?.gone();
    });
  }
}

/** What is known of a connection when it is accepted. */
interface Known {
  readonly half: Half;
  readonly remote: SocketName;
  /** The listener's own: it is asked for with each connection. */
  readonly localPort: number | undefined;
}

/** A connection as its listener sees it. */
class Incoming implements BareIncoming {
  readonly near: { readonly half: Half };
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number | undefined;
  readonly #connection: BareConnection;

  constructor(connection: BareConnection, { half, remote, localPort }: Known) {
    this.#connection = connection;
    this.near = { half };
    this.remoteAddress = remote.address ?? '';
    this.remotePort = remote.port ?? 0;
    this.localPort = localPort;
  }

  get localAddress(): string | undefined {
    const name: SocketName = {};
    if (!this.#connection.destroyed) this.#connection.handle.getsockname(name);
    return name.address;
  }

  get descriptor(): number {
    return this.#connection.destroyed ? -1 : this.#connection.handle.fd;
  }

  reset(): void {
    this.near.half.reset();
  }

  onGone(run: () => void): void {
    this.#connection.onGone = run;
  }
}

// Who sends a flood: so many connections, acts at a bounded rate, and another connection for each that is ended, at a bounded rate as well.
import type { Duplex } from 'node:stream';
import type { Flood } from './kinds.ts';

/** What came of it so far. */
export interface FloodCounts {
  readonly opened: number;
  readonly ended: number;
  readonly acts: number;
}

const TICK_MS = 20;
/** Connections that are opened a second, until all were opened once. */
const opensFirst = 100;
/** A connection that takes nothing gets no more than this. */
const mostWaiting = 262_144;

interface Connection {
  readonly socket: Duplex;
  acts: number;
}

/** One flood at work. */
export class Hostile {
  readonly #flood: Flood;
  readonly #dial: () => Promise<Duplex>;
  readonly #live: Connection[] = [];
  #timer: NodeJS.Timeout | undefined;
  #acting = false;
  #dialling = 0;
  #toOpen = 0;
  #toAct = 0;
  #next = 0;
  #opened = 0;
  #ended = 0;
  #acts = 0;

  /** `dial` resolves with a connection on which HTTP can be spoken, or a bare one for floods that are silent. */
  constructor(flood: Flood, dial: () => Promise<Duplex>) {
    this.#flood = flood;
    this.#dial = dial;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  get counts(): FloodCounts {
    return { opened: this.#opened, ended: this.#ended, acts: this.#acts };
  }

  /** Every connection was opened once. */
  get complete(): boolean {
    return this.#opened >= this.#flood.connections;
  }

  /** Begins with the acts. */
  act(): void {
    this.#acting = true;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const { socket } of this.#live.splice(0)) socket.destroy();
  }

  #tick(): void {
    const { connections, rate, opens } = this.#flood;
    const perTick = TICK_MS / 1_000;
    this.#toOpen = Math.min(5, this.#toOpen + (this.complete ? opens : opensFirst) * perTick);
    for (; this.#toOpen >= 1 && this.#live.length + this.#dialling < connections; this.#toOpen -= 1) this.#open();
    if (!this.#acting) return;
    this.#toAct = Math.min(rate, this.#toAct + rate * perTick);
    for (; this.#toAct >= 1 && this.#live.length > 0; this.#toAct -= 1) this.#actOnce();
  }

  #actOnce(): void {
    this.#next = (this.#next + 1) % this.#live.length;
    const connection = this.#live[this.#next];
    if (connection === undefined || connection.socket.writableLength > mostWaiting) return;
    const octets = this.#flood.act(connection.acts);
    connection.acts += 1;
    this.#acts += 1;
    if (octets.length === 0) connection.socket.end();
    else connection.socket.write(octets);
  }

  #open(): void {
    this.#dialling += 1;
    void this.#dial()
      .then(
        (socket) => this.#add(socket),
        () => void (this.#ended += 1),
      )
      .finally(() => void (this.#dialling -= 1));
  }

  #add(socket: Duplex): void {
    if (this.#timer === undefined) return void socket.destroy();
    const connection = { socket, acts: 0 };
    this.#live.push(connection);
    this.#opened += 1;
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#ended += 1;
      const at = this.#live.indexOf(connection);
      if (at !== -1) this.#live.splice(at, 1);
    });
    socket.once('end', () => socket.end());
    if (this.#flood.reads) socket.resume();
    else socket.pause();
    if (this.#flood.begin.length > 0) socket.write(this.#flood.begin);
    return undefined;
  }
}

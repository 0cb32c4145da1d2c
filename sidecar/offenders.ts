// Addresses whose connections were ended for floods. Whoever is cut comes back with another handshake, which costs more than what it was cut for: new
// connections of such an address are let in one a second, before anything is read of them. That delays, it never bans: addresses are shared (NAT, load
// balancers), and whoever stops is forgiven. Others are not even asked for (docs/adr/0037-turns-of-handshakes.md).
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import { Lru } from './lru.ts';
import type { SidecarMetrics } from './metrics.ts';

/** A second flood within so long begins the pause. */
export const WITHIN_MS = 10_000;
/** How long the pause lasts after the last flood. */
export const PAUSE_MS = 30_000;
/** One connection is let in each so often meanwhile. */
export const EVERY_MS = 1_000;
/** Of the allowances of a connection (docs/http.md) one that is let in meanwhile gets so much: what a second costs is what that one may send. */
export const SHARE = 0.1;
/** Connections of one address that wait to be let in; further ones are refused. The last is let in before clients give up (ten seconds are usual). */
export const MOST_WAITING = 8;
/** Addresses that are remembered. Whoever has many can have the oldest forgotten. */
const MOST_ADDRESSES = 1_024;

/** What becomes of a connection. */
export type Entrance = 'admitted' | 'refused';

/** A pause that begins. */
export interface Pause {
  readonly address: string;
  /** The rule that was broken last (docs/http.md). */
  readonly flood: string;
}

/** What is told. */
export interface OffendersEvents {
  /** A pause begins; not again for floods that prolong it. */
  paused(pause: Pause): void;
  /** A connection has to wait, or is refused. */
  held(): void;
}

interface Waiter {
  readonly isGone: () => boolean;
  readonly let: (entrance: Entrance) => void;
}

interface Offender {
  lastMs: number;
  pausedUntilMs: number;
  /** When the next connection may be let in. */
  nextMs: number;
  readonly waiting: Waiter[];
}

/** Offenders, written to the log and counted. */
export function bookedOffenders(books: {
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
  /** Asked for each time: they are made later. */
  readonly metrics: () => Pick<SidecarMetrics, 'heldBack'>;
}): Offenders {
  const { clock, logger, metrics } = books;
  const facts = { reason: 'overload', pauseMs: PAUSE_MS, everyMs: EVERY_MS } as const;
  return new Offenders(clock, {
    // Once in half a minute for an address: it needs no limit of its own.
    paused: ({ address, flood }) =>
      logger.warn({ address, flood, ...facts }, 'connections of an address that floods are held back'),
    held: () => metrics().heldBack(),
  });
}

/** Remembers offenders, and holds back their connections. */
export class Offenders {
  readonly #clock: Pick<Clock, 'nowMs' | 'after'>;
  readonly #events: OffendersEvents;
  readonly #known = new Lru<Offender>(MOST_ADDRESSES);

  constructor(clock: Pick<Clock, 'nowMs' | 'after'>, events: OffendersEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  /** A connection of this address was ended for a flood. */
  offended(address: string, flood: string): void {
    const nowMs = this.#clock.nowMs();
    const known = this.#known.get(address);
    if (known === undefined) {
      const forgotten = this.#known.set(address, { lastMs: nowMs, pausedUntilMs: 0, nextMs: nowMs, waiting: [] });
      // Nobody would come back to them.
      for (const waiter of forgotten?.waiting.splice(0) ?? []) waiter.let('admitted');
      return;
    }
    const paused = isPaused(known, nowMs);
    const isRepeated = nowMs - known.lastMs <= WITHIN_MS;
    known.lastMs = nowMs;
    if (!paused && !isRepeated) return;
    known.pausedUntilMs = nowMs + PAUSE_MS;
    if (paused) return;
    known.nextMs = nowMs + EVERY_MS;
    this.#events.paused({ address, flood });
  }

  /** How much of what one connection may send at once a new one of this address may: less while it is held back. */
  share(address: string): number {
    const offender = this.#known.get(address);
    return offender !== undefined && isPaused(offender, this.#clock.nowMs()) ? SHARE : 1;
  }

  /**
   * What becomes of a new connection of an address. Undefined: it is nobody's business here, and goes on at once. `isGone` is asked before it is let in: who has
   * given up meanwhile takes nobody's place.
   */
  entrance(address: string, isGone: () => boolean): Promise<Entrance> | undefined {
    if (this.#known.size === 0) return undefined;
    const offender = this.#known.get(address);
    if (offender === undefined) return undefined;
    const nowMs = this.#clock.nowMs();
    if (!isPaused(offender, nowMs)) {
      if (nowMs - offender.lastMs > WITHIN_MS && offender.waiting.length === 0) this.#known.delete(address);
      return undefined;
    }
    if (offender.waiting.length === 0 && nowMs >= offender.nextMs) {
      offender.nextMs = nowMs + EVERY_MS;
      return undefined;
    }
    this.#events.held();
    if (offender.waiting.length >= MOST_WAITING) return Promise.resolve('refused');
    const { promise, resolve } = Promise.withResolvers<Entrance>();
    offender.waiting.push({ isGone, let: resolve });
    if (offender.waiting.length === 1) this.#letInLater(offender, nowMs);
    return promise;
  }

  #letInLater(offender: Offender, nowMs: number): void {
    this.#clock.after(Math.min(EVERY_MS, Math.max(1, offender.nextMs - nowMs)), () => this.#letIn(offender));
  }

  #letIn(offender: Offender): void {
    const nowMs = this.#clock.nowMs();
    const { waiting } = offender;
    const isForgiven = !isPaused(offender, nowMs);
    for (let waiter = waiting.shift(); waiter !== undefined; waiter = waiting.shift()) {
      const isGone = waiter.isGone();
      waiter.let('admitted');
      if (!isGone && !isForgiven) break;
    }
    offender.nextMs = nowMs + EVERY_MS;
    if (waiting.length > 0) this.#letInLater(offender, nowMs);
  }
}

/** A clock that is set back must not make the pause longer. */
function isPaused({ pausedUntilMs }: Offender, nowMs: number): boolean {
  return nowMs < pausedUntilMs && pausedUntilMs - nowMs <= PAUSE_MS;
}

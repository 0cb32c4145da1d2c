// Paces issuing: so many renewals per second and so much at once, the soonest to expire first. Who waits is told when it is
// its turn. First certificates, which pods wait for, come before all renewals and are not held back by their rate; nor are renewals
// that would come too late at that rate, as after an outage that made thousands due at once.
import type { Clock } from '../../lib/clock.ts';
import { type Rate, TokenBucket } from '../../lib/runtime/bucket.ts';
import { Heap } from '../../lib/runtime/heap.ts';

/** How much is let through. */
export interface Pace {
  /** Renewals. */
  readonly rate: Rate;
  /** Issues of any kind at once. */
  readonly concurrency: number;
}

/** Fifty renewals a second is about what the API server stores without others noticing; two hundred thousand an hour. */
export const defaultPace: Pace = { rate: { perSecond: 50, burst: 100 }, concurrency: 16 };

/** A renewal is urgent when its certificate expires within this many times the time that all who wait take at the stated rate. */
const urgentTimes = 2;
/** How often to look whether the rate lets the next one through. */
const tickMs = 20;

interface Entry {
  readonly key: string;
  readonly expiresMs: number;
  /** Who came first goes first, of those that expire together. */
  readonly order: number;
}

/** Turns by key. A key that was given its turn keeps it until `done`. */
export class Pacer {
  readonly #clock: Clock;
  readonly #pace: Pace;
  readonly #bucket: TokenBucket;
  readonly #call: (key: string) => void;
  /** Keys that wait, with when their certificate expires (ms); 0 = there is none. */
  readonly #waiting = new Map<string, number>();
  /** The same in order, with entries that no longer hold. */
  readonly #order = new Heap<Entry>(
    (a, b) => a.expiresMs < b.expiresMs || (a.expiresMs === b.expiresMs && a.order < b.order),
  );
  #asked = 0;
  readonly #turns = new Set<string>();
  #ticking = false;

  /** `call` is told of a key that waited and has its turn now. */
  constructor(clock: Clock, call: (key: string) => void, pace: Pace = defaultPace) {
    this.#clock = clock;
    this.#call = call;
    this.#pace = pace;
    this.#bucket = new TokenBucket(pace.rate);
  }

  /** Keys that wait for their turn. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** True: go ahead now, and say `done` after. False: it waits and will be called. */
  ask(key: string, expiresMs: number): boolean {
    if (this.#turns.has(key)) return true;
    if (this.#waiting.get(key) !== expiresMs) {
      this.#waiting.set(key, expiresMs);
      this.#order.push({ key, expiresMs, order: (this.#asked += 1) });
    }
    this.#advance(key);
    return this.#turns.has(key);
  }

  /** The key's turn is over, or it no longer wants one. */
  done(key: string): void {
    this.#waiting.delete(key);
    if (this.#turns.delete(key)) this.#advance();
  }

  /** Gives out turns while there are any; `asking` is told by ask's return value, not by a call. */
  #advance(asking?: string): void {
    const nowMs = this.#clock.now().getTime();
    while (this.#turns.size < this.#pace.concurrency) {
      const next = this.#soonest();
      if (next === undefined) return;
      // What is urgent counts against the rate, too, where there is something left of it.
      const may = next.expiresMs === 0 || this.#bucket.take(nowMs) || this.#isUrgent(next, nowMs);
      if (!may) {
        this.#tick();
        return;
      }
      const { key } = next;
      this.#order.pop();
      this.#waiting.delete(key);
      this.#turns.add(key);
      if (key !== asking) this.#call(key);
    }
  }

  #isUrgent({ expiresMs }: Entry, nowMs: number): boolean {
    const drainMs = (this.#waiting.size / this.#pace.rate.perSecond) * 1_000;
    return expiresMs - nowMs < urgentTimes * drainMs;
  }

  /** The soonest to expire of those that wait. */
  #soonest(): Entry | undefined {
    for (let top = this.#order.peek(); top !== undefined; top = this.#order.peek()) {
      if (this.#waiting.get(top.key) === top.expiresMs) return top;
      this.#order.pop();
    }
    return undefined;
  }

  #tick(): void {
    if (this.#ticking) return;
    this.#ticking = true;
    this.#clock.sleep(tickMs).then(
      () => {
        this.#ticking = false;
        this.#advance();
      },
      () => undefined,
    );
  }
}

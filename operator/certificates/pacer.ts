// Paces issuing: so many renewals per second and so much at once, the soonest to expire first. Who waits is told when it is
// its turn. First certificates, which pods wait for, come before all renewals and are not held back by their rate.
import type { Clock } from '../../lib/clock.ts';
import { type Rate, TokenBucket } from '../../lib/runtime/bucket.ts';

/** How much is let through. */
export interface Pace {
  /** Renewals. */
  readonly rate: Rate;
  /** Issues of any kind at once. */
  readonly concurrency: number;
}

/** Fifty renewals a second is about what the API server stores without others noticing; two hundred thousand an hour. */
export const defaultPace: Pace = { rate: { perSecond: 50, burst: 100 }, concurrency: 16 };

/** How often to look whether the rate lets the next one through. */
const tickMs = 20;

/** Turns by key. A key that was given its turn keeps it until `done`. */
export class Pacer {
  readonly #clock: Clock;
  readonly #pace: Pace;
  readonly #bucket: TokenBucket;
  readonly #call: (key: string) => void;
  /** Keys that wait, with when their certificate expires (ms); 0 = there is none. */
  readonly #waiting = new Map<string, number>();
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
    this.#waiting.set(key, expiresMs);
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
    while (this.#turns.size < this.#pace.concurrency) {
      const key = this.#soonest();
      if (key === undefined) return;
      const isFirst = this.#waiting.get(key) === 0;
      if (!isFirst && !this.#bucket.take(this.#clock.now().getTime())) {
        this.#tick();
        return;
      }
      this.#waiting.delete(key);
      this.#turns.add(key);
      if (key !== asking) this.#call(key);
    }
  }

  #soonest(): string | undefined {
    let soonest: string | undefined;
    let expiresMs = Infinity;
    for (const [key, each] of this.#waiting) {
      if (each < expiresMs) [soonest, expiresMs] = [key, each];
      if (each === 0) break;
    }
    return soonest;
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

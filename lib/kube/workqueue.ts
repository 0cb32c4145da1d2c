// The keyed work queue between seeing and doing (client-go util/workqueue): a key waits once however often it is added,
// never runs twice at once, and runs once more if it was added while it ran. Failed keys come back later and later.
import type { Clock } from '../clock.ts';
import { type BackoffOptions, backoffMs } from '../runtime/backoff.ts';
import { type Rate, TokenBucket } from '../runtime/bucket.ts';
import { Delays } from './delays.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Wait of one key after failures in a row; 5 ms doubling to 1000 s by default. */
  readonly backoff?: BackoffOptions;
  /** Limit over all keys that come back after a failure; 10 per second and 100 at once by default. */
  readonly rate?: Rate;
}

/** Longest single sleep, so that far-off times neither overflow a timer nor miss a clock that was set. */
const longestSleepMs = 60_000;

/** Keys to work on. One process, no persistence. */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #backoff: BackoffOptions;
  readonly #bucket: TokenBucket;
  /** Keys that wait or are to run again, with the time they were first asked for. */
  readonly #dirty = new Map<string, number>();
  readonly #processing = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #delays = new Delays();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  /** Keys ready to be taken, first in first out. A Set keeps the order and removes from the front in constant time. */
  readonly #ready = new Set<string>();
  #timer: { readonly dueMs: number; readonly callOff: () => void } | undefined;
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#backoff = options.backoff ?? { initialMs: 5, maxMs: 1_000_000, jitter: 0.2 };
    this.#bucket = new TokenBucket(options.rate ?? { perSecond: 10, burst: 100 });
  }

  /** Keys that are ready to be taken. */
  get depth(): number {
    return this.#ready.size;
  }

  /** Keys that wait for their time. */
  get delayed(): number {
    return this.#delays.size;
  }

  /** How long the longest-waiting ready key has waited, in milliseconds; 0 when there is none. */
  get oldestMs(): number {
    const first = this.#ready.values().next().value;
    const since = first === undefined ? undefined : this.#dirty.get(first);
    return since === undefined ? 0 : Math.max(0, this.#nowMs() - since);
  }

  /** Adds a key to be worked on as soon as somebody is free. */
  add(key: string): void {
    if (this.#closed || this.#dirty.has(key)) return;
    this.#dirty.set(key, this.#nowMs());
    if (!this.#processing.has(key)) this.#offer(key);
  }

  /** Adds a key after a while. An earlier time that was already asked for stays. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    this.#delays.add(key, this.#nowMs() + ms);
    this.#arm();
  }

  /** Adds a key that failed: after its back-off, the overall limit and `atLeastMs`, whichever is longest. The wait. */
  addFailed(key: string, atLeastMs: number = 0): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const ms = Math.max(backoffMs(failures, this.#backoff), this.#bucket.reserve(this.#nowMs()), atLeastMs);
    this.addAfter(key, ms);
    return ms;
  }

  /** Failures of a key in a row. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Ends a key's back-off; its next failure counts as the first. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key, as soon as there is one; undefined once the queue is closed and empty. Call `done` with it after. */
  take(): Promise<string | undefined> {
    const key = this.#ready.values().next().value;
    if (key !== undefined) return Promise.resolve(this.#start(key));
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** Says that work on a taken key ended. If it was added meanwhile it becomes ready again. */
  done(key: string): void {
    this.#processing.delete(key);
    if (this.#dirty.has(key)) this.#offer(key);
  }

  /** Takes no more keys and drops the delayed ones; what is ready is still handed out. */
  close(): void {
    this.#closed = true;
    this.#delays.clear();
    this.#timer?.callOff();
    this.#timer = undefined;
    for (const take of this.#takers.splice(0)) take(undefined);
  }

  /** Drops what is ready, too. Only after `close`. */
  drop(): void {
    this.#ready.clear();
    this.#dirty.clear();
  }

  #start(key: string): string {
    this.#ready.delete(key);
    this.#dirty.delete(key);
    this.#processing.add(key);
    return key;
  }

  #offer(key: string): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#ready.add(key);
    else taker(this.#start(key));
  }

  /** Sleeps until the earliest delayed key is due; a sleep that is no longer the right one is given up. */
  #arm(): void {
    const dueMs = this.#delays.next();
    if (dueMs === this.#timer?.dueMs) return;
    this.#timer?.callOff();
    this.#timer = undefined;
    if (dueMs === undefined || this.#closed) return;
    const ms = Math.min(longestSleepMs, Math.max(0, dueMs - this.#nowMs()));
    this.#timer = { dueMs, callOff: this.#clock.after(ms, () => this.#ring()) };
  }

  #ring(): void {
    this.#timer = undefined;
    for (const key of this.#delays.takeDue(this.#nowMs())) this.add(key);
    this.#arm();
  }

  #nowMs(): number {
    return this.#clock.now().getTime();
  }
}

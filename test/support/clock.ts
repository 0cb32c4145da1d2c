// A clock that stands still until a test moves it. Sleepers wake in the order of their times, and what they start is
// given the chance to run before the next one wakes.
import type { Clock } from '../../lib/clock.ts';

interface Sleeper {
  readonly dueMs: number;
  wake(): void;
}

/** A Clock for unit tests. */
export class TestClock implements Clock {
  #nowMs: number;
  readonly #sleepers = new Set<Sleeper>();

  constructor(start: string = '2026-01-01T00:00:00Z') {
    this.#nowMs = Date.parse(start);
  }

  now(): Date {
    return new Date(this.#nowMs);
  }

  nowMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => {
      this.#sleepers.delete(sleeper);
      reject(signal?.reason);
    };
    const sleeper: Sleeper = {
      dueMs: this.#nowMs + ms,
      wake: () => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', abort);
        resolve();
      },
    };
    signal?.addEventListener('abort', abort, { once: true });
    this.#sleepers.add(sleeper);
    return promise;
  }

  after(ms: number, run: () => void): () => void {
    const sleeper: Sleeper = {
      dueMs: this.#nowMs + ms,
      wake: () => {
        this.#sleepers.delete(sleeper);
        run();
      },
    };
    this.#sleepers.add(sleeper);
    return () => this.#sleepers.delete(sleeper);
  }

  /** Milliseconds until the next sleeper wakes; undefined when nobody sleeps. */
  get nextMs(): number | undefined {
    const due = [...this.#sleepers].map((sleeper) => sleeper.dueMs);
    return due.length === 0 ? undefined : Math.min(...due) - this.#nowMs;
  }

  /** Sleepers that wait. */
  get sleepers(): number {
    return this.#sleepers.size;
  }

  /** Moves time on, waking sleepers on the way. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (let next = this.#earliest(untilMs); next !== undefined; next = this.#earliest(untilMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.wake();
      await settle();
    }
    this.#nowMs = untilMs;
    await settle();
  }

  /** Sets the time without waking anybody, as when an administrator sets a machine's clock. */
  set(time: string): void {
    this.#nowMs = Date.parse(time);
  }

  #earliest(untilMs: number): Sleeper | undefined {
    let earliest: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (sleeper.dueMs <= untilMs && (earliest === undefined || sleeper.dueMs < earliest.dueMs)) earliest = sleeper;
    }
    return earliest;
  }
}

/** Lets everything run that needs no time and no input. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

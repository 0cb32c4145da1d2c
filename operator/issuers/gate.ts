// Lets so many through at a time; the others wait in the order in which they came.
import { orAborted } from '../../lib/runtime/signals.ts';

/** A gate for work of one kind. */
export class Gate {
  #free: number;
  readonly #waiting: PromiseWithResolvers<void>[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  /** Does the work when it is its turn. Rejects with the signal's reason if that comes first, or with what the work does. */
  async through<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(signal);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    const turn = Promise.withResolvers<void>();
    this.#waiting.push(turn);
    try {
      await orAborted(turn.promise, signal);
    } catch (error) {
      const place = this.#waiting.indexOf(turn);
      // Its turn had come in the same moment: the next one has it.
      if (place < 0) this.#leave();
      else this.#waiting.splice(place, 1);
      throw error;
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next.resolve();
  }
}

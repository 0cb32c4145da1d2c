// A further worker's end of the channel to the first one. The first one gone, this process ends with it.
import { AppError } from '../../lib/errors.ts';
import type { Said, Told } from './link.ts';

/** Sends and receives. */
export class Channel {
  #early: Told[] = [];
  #take: ((told: Told) => void) | undefined;
  #isClosed = false;

  /** Throws AppError `config_invalid` in a process that no worker has started. */
  constructor() {
    if (process.send === undefined) {
      throw new AppError('config_invalid', 'a further worker is started by the first one, and not by hand');
    }
    process.on('message', (told) => {
      if (this.#take === undefined) this.#early.push(told as Told);
      else this.#take(told as Told);
    });
    process.on('disconnect', () => {
      if (!this.#isClosed) process.exit(1);
    });
  }

  /** What cannot be sent any more was for a process that is gone, and so is this one in a moment. */
  say(said: Said): void {
    if (process.connected) process.send?.(said, undefined, undefined, () => undefined);
  }

  /** The next thing that is told. Further ones are held until `take`. */
  next(): Promise<Told> {
    const { promise, resolve } = Promise.withResolvers<Told>();
    const [first, ...rest] = this.#early;
    if (first !== undefined) {
      this.#early = rest;
      return Promise.resolve(first);
    }
    this.#take = (told) => {
      this.#take = undefined;
      resolve(told);
    };
    return promise;
  }

  /** Has everything that is told, what was held first. */
  take(listener: (told: Told) => void): void {
    this.#take = listener;
    const early = this.#early;
    this.#early = [];
    for (const told of early) listener(told);
  }

  /** Lets the process end by itself. */
  close(): void {
    this.#isClosed = true;
    if (process.connected) process.disconnect?.();
  }
}

// Whose turn it is to send: streams with something to send go round, one frame each, so that none waits for another to be done.
import type { TunnelStream } from './stream.ts';

/** The streams of one tunnel that wait for room. */
export class Turns {
  #waiting: TunnelStream[] = [];
  #head = 0;

  /** Puts a stream at the end of the line, if it does not stand in it. */
  add(stream: TunnelStream): void {
    if (stream.isQueued) return;
    stream.isQueued = true;
    this.#waiting.push(stream);
  }

  /** Gives turns for as long as `hasRoom` says so. */
  run(hasRoom: () => boolean): void {
    while (this.#head < this.#waiting.length && hasRoom()) {
      const stream = this.#waiting[this.#head];
      this.#head += 1;
      if (stream === undefined) continue;
      stream.isQueued = false;
      if (stream.turn()) this.add(stream);
      if (this.#head > 1_024) this.#compact();
    }
    this.#compact();
  }

  #compact(): void {
    if (this.#head === 0) return;
    this.#waiting = this.#waiting.slice(this.#head);
    this.#head = 0;
  }
}

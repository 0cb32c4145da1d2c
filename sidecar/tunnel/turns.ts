// Whose turn it is to send: streams with something to send go round, one frame each, so that none waits for another to be done. Sources
// that were told to wait go on a few at a time, so that a block finds the tunnel free when it comes and need not be copied to wait.
import type { TunnelStream } from './stream.ts';

/** Of the sources that wait, so many go on in one turn of the event loop: all of them soon, however many have nothing to send. */
const SHARE = 16;

/** Streams in the order in which they came, with a cheap way to take the first. */
class Line {
  #streams: TunnelStream[] = [];
  #head = 0;

  get length(): number {
    return this.#streams.length - this.#head;
  }

  push(stream: TunnelStream): void {
    this.#streams.push(stream);
  }

  shift(): TunnelStream | undefined {
    const stream = this.#streams[this.#head];
    if (stream === undefined) return undefined;
    this.#head += 1;
    if (this.#head === this.#streams.length || this.#head > 1_024) {
      this.#streams = this.#streams.slice(this.#head);
      this.#head = 0;
    }
    stream.isQueued = false;
    return stream;
  }
}

/** The streams of one tunnel that wait for room. */
export class Turns {
  readonly #sending = new Line();
  readonly #sources = new Line();

  /** Puts a stream at the end of its line, if it does not stand in one. */
  add(stream: TunnelStream): void {
    if (stream.isQueued) return;
    stream.isQueued = true;
    (stream.queued > 0 ? this.#sending : this.#sources).push(stream);
  }

  /** Gives turns to what waits, for as long as `hasRoom` says so. */
  run(hasRoom: () => boolean): void {
    while (this.#sending.length > 0 && hasRoom()) {
      const stream = this.#sending.shift();
      if (stream?.turn() === true) this.add(stream);
    }
  }

  /** Lets some sources go on. True: others are left. */
  goOn(): boolean {
    for (let most = Math.ceil(this.#sources.length / SHARE); most > 0; most -= 1) {
      const stream = this.#sources.shift();
      if (stream?.turn() === true) this.add(stream);
    }
    return this.#sources.length > 0;
  }
}

// Whose turn it is to send: streams with something to send go round, one frame each, so that none waits for another to be done. Sources
// that were told to wait go on a few at a time, so that a block finds the tunnel free when it comes and need not be copied to wait. One that
// sends block after block is followed by the next after some of them: each change costs the kernel two calls and the cache a new reader.

/** What turns have to know of a stream. */
export interface TurnTaker {
  /** Stands in a line; kept here. */
  isQueued: boolean;
  /** Bytes that wait in it; without any it is its source that waits. */
  readonly queued: number;
  /** Sends at most one frame, or lets the source go on. True: wants another turn. */
  turn(): boolean;
}

/** Of the sources that wait, so many go on in one turn of the event loop: all of them soon, however many have nothing to send. */
const SHARE = 16;
/** Blocks with which a source that went on may come again before another does: with its first, as much as a window. */
const AGAIN = 3;

/** Streams in the order in which they came, with a cheap way to take the first. */
class Line {
  #streams: TurnTaker[] = [];
  #head = 0;

  get length(): number {
    return this.#streams.length - this.#head;
  }

  push(stream: TurnTaker): void {
    this.#streams.push(stream);
  }

  shift(): TurnTaker | undefined {
    const stream = this.#streams[this.#head];
    if (stream === undefined) return undefined;
    this.#head += 1;
    if (this.#head === this.#streams.length || this.#head > 1_024) {
      this.#streams = this.#streams.slice(this.#head);
      this.#head = 0;
    }
    return stream;
  }
}

/** The streams of one tunnel that wait for room. */
export class Turns {
  readonly #sending = new Line();
  readonly #sources = new Line();
  /** The source that went on last, how often it may yet come again, and who waits for that. */
  #last: TurnTaker | undefined;
  #left = 0;
  #again: TurnTaker | undefined;

  /** Puts a stream at the end of its line, if it does not stand in one. */
  add(stream: TurnTaker): void {
    if (stream.isQueued) return;
    stream.isQueued = true;
    if (stream.queued > 0) this.#sending.push(stream);
    else if (stream === this.#last && this.#left > 0 && this.#again === undefined) this.#again = stream;
    else this.#sources.push(stream);
  }

  /** Gives turns to what waits, for as long as `hasRoom` says so. */
  run(hasRoom: () => boolean): void {
    while (this.#sending.length > 0 && hasRoom()) {
      this.#take(this.#sending.shift());
    }
  }

  /** Lets some sources go on. True: others are left. */
  goOn(): boolean {
    const again = this.#again;
    if (again !== undefined) {
      this.#again = undefined;
      this.#left -= 1;
      this.#take(again);
    } else {
      for (let most = Math.ceil(this.#sources.length / SHARE); most > 0; most -= 1) {
        this.#last = this.#sources.shift();
        this.#left = AGAIN;
        this.#take(this.#last);
      }
    }
    return this.#sources.length > 0 || this.#again !== undefined;
  }

  #take(stream: TurnTaker | undefined): void {
    if (stream === undefined) return;
    stream.isQueued = false;
    if (stream.turn()) this.add(stream);
  }
}

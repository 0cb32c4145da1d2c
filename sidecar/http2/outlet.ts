// Frames of a gate's own on their way to one side, until they may be put between those of the other one.

/** Collects them. */
export class Outlet {
  readonly #send: (octets: Buffer) => void;
  #frames: Buffer[] = [];
  #octets = 0;

  constructor(send: (octets: Buffer) => void) {
    this.#send = send;
  }

  /** Octets that wait. */
  get waiting(): number {
    return this.#octets;
  }

  add(frames: Buffer): void {
    this.#frames.push(frames);
    this.#octets += frames.length;
  }

  /** Puts frames before those that wait. */
  first(frames: Buffer): void {
    this.#frames.unshift(frames);
    this.#octets += frames.length;
  }

  /** Sends what waits, in one piece. */
  flush(): void {
    if (this.#octets === 0) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#octets = 0;
    this.#send(Buffer.concat(frames));
  }
}

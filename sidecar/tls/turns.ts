// Turns of full handshakes. Each costs the one thread that serves everybody the better part of a millisecond, twice: so many that come at once are done one
// piece at a time, and between two pieces everything else that has come is served. Who has begun is finished first; who waits to begin is taken in turns by
// address, so that an address that floods waits behind itself and another's client is next (docs/adr/0037-turns-of-handshakes.md).

/** Connections that wait for their turn. The newest of the address that has the most is turned away beyond it: at a millisecond and a half each, six seconds. */
export const MOST_WAITING = 4_096;

/** What can be replaced. */
export interface TurnsOptions {
  /** Runs something once everything else that has come was served. */
  readonly later?: (run: () => void) => void;
  readonly most?: number;
}

type Begin = (taken: boolean) => void;

/** Hands out turns. */
export class HandshakeTurns {
  readonly #later: (run: () => void) => void;
  readonly #most: number;
  /** Who waits to go on with a handshake, oldest first. */
  readonly #finishing: (() => void)[] = [];
  /** Who waits to begin with one, oldest first, by address; the address whose turn is next is first. */
  readonly #beginning = new Map<string, Begin[]>();
  #waiting = 0;
  /** A piece was done, and others were not served since. */
  #isTaken = false;

  constructor({ later = afterOthers, most = MOST_WAITING }: TurnsOptions = {}) {
    this.#later = later;
    this.#most = most;
  }

  /** How many wait to begin. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Resolves when a handshake may begin: at once where nobody else does. False: too many wait, and this one is not to be done at all. */
  begin(address: string): Promise<boolean> {
    if (!this.#isTaken) {
      this.#take();
      return Promise.resolve(true);
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const ofAddress = this.#beginning.get(address);
    if (ofAddress === undefined) this.#beginning.set(address, [resolve]);
    else ofAddress.push(resolve);
    this.#waiting += 1;
    if (this.#waiting > this.#most) this.#turnAway();
    return promise;
  }

  /** Resolves when what follows the client's last message may be done: never in the same piece as the verification of that message. */
  finish(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#finishing.push(resolve);
    if (!this.#isTaken) this.#take();
    return promise;
  }

  #take(): void {
    this.#isTaken = true;
    this.#later(() => this.#next());
  }

  #next(): void {
    this.#isTaken = false;
    const finish = this.#finishing.shift();
    if (finish !== undefined) {
      this.#take();
      return finish();
    }
    const [next] = this.#beginning;
    if (next === undefined) return undefined;
    const [address, ofAddress] = next;
    const begin = ofAddress.shift();
    // To the end of the round.
    this.#beginning.delete(address);
    if (ofAddress.length > 0) this.#beginning.set(address, ofAddress);
    this.#waiting -= 1;
    this.#take();
    return begin?.(true);
  }

  #turnAway(): void {
    let most: readonly [string, Begin[]] = ['', []];
    for (const entry of this.#beginning) if (entry[1].length >= most[1].length) most = entry;
    const [address, ofAddress] = most;
    const begin = ofAddress.pop();
    if (ofAddress.length === 0) this.#beginning.delete(address);
    this.#waiting -= 1;
    begin?.(false);
  }
}

/** Two turns of the event loop: what came while a piece was done is read in the one between. */
function afterOthers(run: () => void): void {
  setImmediate(() => setImmediate(run));
}

// How soon a source may be asked again because a token came whose key is not known. Whoever invents key ids could otherwise make the operator ask an
// issuer as often as he likes: there is a least time between two fetches, longer after each that brought nothing new. Pure but for what it holds.

/** Least time between two fetches of one source: at first, and after fetches in vain. */
export const hurryMs = { least: 10_000, most: 60_000 } as const;

/** Of one source. */
export class Hurry {
  #vain = 0;

  /** The earliest time for another fetch, when the last one was made at `triedMs`. */
  earliestMs(triedMs: number): number {
    // One look too early is what a rotation looks like.
    return triedMs + Math.min(hurryMs.most, hurryMs.least * 2 ** Math.max(0, this.#vain - 1));
  }

  /** A fetch for which somebody asked has ended. */
  ended(broughtNews: boolean): void {
    this.#vain = broughtNews ? 0 : this.#vain + 1;
  }

  /** A fetch was made when its time had come: nobody is in a hurry. */
  calm(): void {
    this.#vain = 0;
  }
}

// Things by their numbers that come and go by the thousand, as streams of a connection do. The Map in it leads from numbers to places and not to the
// things themselves: V8 makes a Map anew every few dozen entries, and what was in one that it leaves behind may be kept alive for as
// long as what is old (crowd.ts).

/** Things with numbers, in no order. Any may leave while they are gone through; who comes then may be missed. */
export class ByNumber<T extends object> {
  readonly #places = new Map<number, number>();
  readonly #things: (T | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.size;
  }

  get(number: number): T | undefined {
    const place = this.#places.get(number);
    return place === undefined ? undefined : this.#things[place];
  }

  /** Adds one under a number that is not in use. */
  add(number: number, thing: T): void {
    const place = this.#free.pop() ?? this.#things.length;
    this.#things[place] = thing;
    this.#places.set(number, place);
  }

  /** Drops what has this number. False: there was nothing. */
  delete(number: number): boolean {
    const place = this.#places.get(number);
    if (place === undefined) return false;
    this.#places.delete(number);
    this.#things[place] = undefined;
    this.#free.push(place);
    return true;
  }

  *values(): Generator<T, void, undefined> {
    for (const thing of this.#things) if (thing !== undefined) yield thing;
  }
}

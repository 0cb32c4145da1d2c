// Things by their numbers or names that come and go by the thousand, as connections do and their streams. The Map in it leads to places and not to the
// things themselves: V8 makes a Map anew every few dozen entries, and what was in one that it leaves behind may be kept alive for as
// long as what is old (crowd.ts).

/** Things with keys. Any may leave while they are gone through; who comes then may be missed. */
export class ByKey<K extends number | string, T extends object> {
  readonly #places = new Map<K, number>();
  readonly #things: (T | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.size;
  }

  /** The key of the one that has been here the longest. */
  get oldest(): K | undefined {
    return this.#places.keys().next().value;
  }

  get(key: K): T | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.#things[place];
  }

  /** Puts one under a key, in the place of what was there. */
  set(key: K, thing: T): void {
    const place = this.#places.get(key) ?? this.#free.pop() ?? this.#things.length;
    this.#things[place] = thing;
    this.#places.set(key, place);
  }

  /** Drops what has this key. False: there was nothing. */
  delete(key: K): boolean {
    const place = this.#places.get(key);
    if (place === undefined) return false;
    this.#places.delete(key);
    this.#things[place] = undefined;
    this.#free.push(place);
    return true;
  }

  /** All of them, in no order. */
  *values(): Generator<T, void, undefined> {
    for (const thing of this.#things) if (thing !== undefined) yield thing;
  }
}

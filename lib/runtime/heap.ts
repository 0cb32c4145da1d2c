// A binary heap: the smallest entry first, in logarithmic time. Entries that became void stay until they are met; who uses it
// knows which those are.

/** Entries in the order of `before`. */
export class Heap<T> {
  readonly #entries: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  /** `before` says whether the first of two comes out earlier. */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** The first entry; undefined when empty. */
  peek(): T | undefined {
    return this.#entries[0];
  }

  push(entry: T): void {
    const entries = this.#entries;
    let at = entries.push(entry) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = entries[above];
      if (parent === undefined || !this.#before(entry, parent)) break;
      entries[at] = parent;
      at = above;
    }
    entries[at] = entry;
  }

  /** Takes the first entry out. */
  pop(): T | undefined {
    const top = this.#entries[0];
    const last = this.#entries.pop();
    if (last !== undefined && this.#entries.length > 0) this.#sink(last);
    return top;
  }

  clear(): void {
    this.#entries.length = 0;
  }

  /** Puts an entry in at the top and moves it to its place. */
  #sink(entry: T): void {
    const entries = this.#entries;
    for (let at = 0; ; ) {
      const [left, right] = [entries[2 * at + 1], entries[2 * at + 2]];
      const isRight = right !== undefined && left !== undefined && this.#before(right, left);
      const child = isRight ? right : left;
      if (child === undefined || !this.#before(child, entry)) {
        entries[at] = entry;
        return;
      }
      entries[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
  }
}

// A many-to-many index with counts: a value stays filed under a key until it was removed as often as it was added. Most keys have
// one value, filed once, and cost no more than that. Pure; holds nothing for a key without values.

/** Which values each key refers to. */
export class RefIndex {
  /** A lone value that was added once stands for itself. */
  readonly #values = new Map<string, string | Map<string, number>>();

  /** Files `value` under `key` once more. */
  add(key: string, value: string): void {
    const values = this.#values.get(key);
    if (values === undefined) this.#values.set(key, value);
    else if (typeof values !== 'string') values.set(value, (values.get(value) ?? 0) + 1);
    else if (values === value) this.#values.set(key, new Map([[value, 2]]));
    else {
      const both = new Map([
        [values, 1],
        [value, 1],
      ]);
      this.#values.set(key, both);
    }
  }

  /** Takes back one `add`. Removing what is not there changes nothing. */
  remove(key: string, value: string): void {
    const values = this.#values.get(key);
    if (values === value) this.#values.delete(key);
    if (values === undefined || typeof values === 'string') return;
    const count = values.get(value);
    if (count === undefined) return;
    if (count > 1) values.set(value, count - 1);
    else values.delete(value);
    if (values.size === 0) this.#values.delete(key);
  }

  /** The values under `key`; empty when there are none. Removing while iterating is fine, adding is not. */
  of(key: string): Iterable<string> {
    const values = this.#values.get(key);
    if (values === undefined) return [];
    return typeof values === 'string' ? [values] : values.keys();
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** Number of keys with at least one value. */
  get size(): number {
    return this.#values.size;
  }
}

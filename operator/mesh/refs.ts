// A many-to-many index with counts: a value stays filed under a key until it was removed as often as it was added.
// Pure; holds nothing for a key without values.

/** Which values each key refers to. */
export class RefIndex {
  readonly #counts = new Map<string, Map<string, number>>();

  /** Files `value` under `key` once more. */
  add(key: string, value: string): void {
    const values = this.#counts.get(key);
    if (values === undefined) this.#counts.set(key, new Map([[value, 1]]));
    else values.set(value, (values.get(value) ?? 0) + 1);
  }

  /** Takes back one `add`. Removing what is not there changes nothing. */
  remove(key: string, value: string): void {
    const values = this.#counts.get(key);
    const count = values?.get(value);
    if (values === undefined || count === undefined) return;
    if (count > 1) values.set(value, count - 1);
    else values.delete(value);
    if (values.size === 0) this.#counts.delete(key);
  }

  /** The values under `key`; empty when there are none. Removing while iterating is fine, adding is not. */
  of(key: string): Iterable<string> {
    return this.#counts.get(key)?.keys() ?? [];
  }

  has(key: string): boolean {
    return this.#counts.has(key);
  }

  /** Number of keys with at least one value. */
  get size(): number {
    return this.#counts.size;
  }
}

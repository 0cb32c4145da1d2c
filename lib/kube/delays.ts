// Keys with the time they are due, soonest first. A key is in it once; of two times the earlier one holds.

interface Entry {
  readonly key: string;
  readonly dueMs: number;
}

/** A binary heap of keys by due time (milliseconds since the epoch). */
export class Delays {
  readonly #heap: Entry[] = [];
  // The time that holds for a key. Heap entries that say otherwise were overtaken and are skipped when met.
  readonly #due = new Map<string, number>();

  get size(): number {
    return this.#due.size;
  }

  /** Adds a key, or brings its time forward. */
  add(key: string, dueMs: number): void {
    const present = this.#due.get(key);
    if (present !== undefined && present <= dueMs) return;
    this.#due.set(key, dueMs);
    this.#heap.push({ key, dueMs });
    this.#up(this.#heap.length - 1);
  }

  /** The earliest time; undefined when empty. */
  next(): number | undefined {
    this.#dropOvertaken();
    return this.#heap[0]?.dueMs;
  }

  /** Takes out and returns the keys that are due. */
  takeDue(nowMs: number): readonly string[] {
    const keys: string[] = [];
    for (let due = this.next(); due !== undefined && due <= nowMs; due = this.next()) {
      const entry = this.#pop();
      if (entry === undefined) break;
      this.#due.delete(entry.key);
      keys.push(entry.key);
    }
    return keys;
  }

  clear(): void {
    this.#heap.length = 0;
    this.#due.clear();
  }

  #dropOvertaken(): void {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (this.#due.get(top.key) === top.dueMs) return;
      this.#pop();
    }
  }

  #pop(): Entry | undefined {
    const top = this.#heap[0];
    const last = this.#heap.pop();
    if (top === undefined || last === undefined || this.#heap.length === 0) return top;
    this.#heap[0] = last;
    this.#down();
    return top;
  }

  #up(start: number): void {
    for (let child = start; child > 0; ) {
      const parent = (child - 1) >> 1;
      if (this.#at(parent) <= this.#at(child)) return;
      this.#swap(parent, child);
      child = parent;
    }
  }

  #down(): void {
    for (let parent = 0; ; ) {
      const left = 2 * parent + 1;
      const child = this.#at(left + 1) < this.#at(left) ? left + 1 : left;
      if (this.#at(parent) <= this.#at(child)) return;
      this.#swap(parent, child);
      parent = child;
    }
  }

  #at(index: number): number {
    return this.#heap[index]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const first = this.#heap[a];
    const second = this.#heap[b];
    if (first === undefined || second === undefined) return;
    this.#heap[a] = second;
    this.#heap[b] = first;
  }
}

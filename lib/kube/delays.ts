// Keys with the time they are due, soonest first. A key is in it once; of two times the earlier one holds.
import { Heap } from '../runtime/heap.ts';

interface Entry {
  readonly key: string;
  readonly dueMs: number;
}

/** Keys by due time (milliseconds since the epoch). */
export class Delays {
  readonly #heap = new Heap<Entry>((a, b) => a.dueMs < b.dueMs);
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
  }

  /** The earliest time; undefined when empty. */
  next(): number | undefined {
    for (let top = this.#heap.peek(); top !== undefined; top = this.#heap.peek()) {
      if (this.#due.get(top.key) === top.dueMs) return top.dueMs;
      this.#heap.pop();
    }
    return undefined;
  }

  /** Takes out and returns the keys that are due. */
  takeDue(nowMs: number): readonly string[] {
    const keys: string[] = [];
    for (let due = this.next(); due !== undefined && due <= nowMs; due = this.next()) {
      const entry = this.#heap.pop();
      if (entry === undefined) break;
      this.#due.delete(entry.key);
      keys.push(entry.key);
    }
    return keys;
  }

  clear(): void {
    this.#heap.clear();
    this.#due.clear();
  }
}

// The cache of one kind: the last known objects by key, indexes over them, and a feed of changes.
// Objects are deeply frozen JSON; the reflector writes, everybody else reads. It decides nothing and does no I/O.
import { orAborted } from '../runtime/signals.ts';
import { type KubeObject, keyOf } from './object.ts';
import type { Texts } from './texts.ts';

/** Told of each change. `before` undefined = new, `after` undefined = gone (`before` is the last known state). */
export type StoreListener<T> = (before: T | undefined, after: T | undefined) => void;

/** The values under which an object is found in an index; none = not in it. */
export type IndexFunction<T> = (object: T) => readonly string[];

/** The read side of a cache. */
export interface Store<T extends KubeObject> {
  /** By `namespace/name` (or `name` when cluster-scoped). */
  get(key: string): T | undefined;
  /** All objects, in no particular order. */
  list(): readonly T[];
  readonly size: number;
  /**
   * The version of the collection that the content is of, as the API server states it; empty before the first list. It is set before
   * listeners are told. Within one kind, versions can be compared as numbers (KEP-5504).
   */
  readonly version: string;
  /** The objects that the named index files under `value`. Throws a RangeError for an index that was not declared. */
  byIndex(index: string, value: string): readonly T[];
  /**
   * Calls the listener for every object that is there (as new) and then for each change, in order, synchronously.
   * A listener must be quick and must not throw; one that does is reported and does not disturb the others.
   * Returns the function that ends the subscription.
   */
  subscribe(listener: StoreListener<T>): () => void;
  /** True once a complete first list was put in and every listener has seen it. Never turns false again. */
  readonly hasSynced: boolean;
  /** Resolves when hasSynced turns true; rejects with the signal's reason. */
  synced(signal: AbortSignal): Promise<void>;
}

export interface StoreOptions<T extends KubeObject> {
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
  /** Where equal texts of objects are kept once; several stores can share it. */
  readonly texts?: Texts;
  /** Told of a listener or an index function that threw: a bug in that function. */
  readonly onListenerError?: (error: unknown) => void;
}

/** A Store and its write side, for the reflector and for tests. */
export class ObjectStore<T extends KubeObject> implements Store<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, { readonly values: IndexFunction<T>; readonly keys: Map<string, Set<string>> }>();
  readonly #listeners = new Set<StoreListener<T>>();
  readonly #onListenerError: (error: unknown) => void;
  readonly #texts: Texts | undefined;
  readonly #synced = Promise.withResolvers<void>();
  #hasSynced = false;
  #version = '';

  constructor(options: StoreOptions<T> = {}) {
    for (const [name, values] of Object.entries(options.indexes ?? {})) {
      this.#indexes.set(name, { values, keys: new Map() });
    }
    this.#onListenerError = options.onListenerError ?? (() => undefined);
    this.#texts = options.texts;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  get size(): number {
    return this.#objects.size;
  }

  get version(): string {
    return this.#version;
  }

  byIndex(index: string, value: string): readonly T[] {
    const found = this.#indexes.get(index);
    if (found === undefined) throw new RangeError(`the store has no index "${index}"`);
    const objects: T[] = [];
    for (const key of found.keys.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object !== undefined) objects.push(object);
    }
    return objects;
  }

  subscribe(listener: StoreListener<T>): () => void {
    // A wrapper of its own per subscription, so that one function may subscribe twice.
    const entry: StoreListener<T> = (before, after) => listener(before, after);
    for (const object of this.list()) this.#tell(entry, undefined, object);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  async synced(signal: AbortSignal): Promise<void> {
    if (!this.#hasSynced) await orAborted(this.#synced.promise, signal);
  }

  /**
   * Puts an object in, or replaces the one of its name. The same name with another uid is a deletion and a new object:
   * listeners see both. An object of the version already held changes nothing.
   */
  set(object: T, version: string = this.#version): void {
    this.#version = version;
    const key = keyOf(object.metadata);
    const before = this.#objects.get(key);
    const reborn = before !== undefined && before.metadata.uid !== object.metadata.uid;
    if (reborn) this.delete(key);
    else if (before !== undefined && before.metadata.resourceVersion === object.metadata.resourceVersion) return;
    const after = deepFreeze(object, this.#texts);
    const old = reborn ? undefined : before;
    this.#objects.set(key, after);
    this.#reindex(key, old, after);
    this.#publish(old, after);
  }

  /** Takes an object out. `last` is its final state when the server sent it; else listeners get the last known one. */
  delete(key: string, last?: T, version: string = this.#version): void {
    this.#version = version;
    const before = this.#objects.get(key);
    if (before === undefined) return;
    this.#objects.delete(key);
    this.#reindex(key, before, undefined);
    this.#publish(last === undefined ? before : deepFreeze(last, undefined), undefined);
  }

  /** Makes the content exactly `items`: what is missing from them is deleted with its last known state. Then synced. */
  replace(items: Iterable<T>, version: string = this.#version): void {
    this.#version = version;
    const seen = new Set<string>();
    for (const item of items) {
      seen.add(keyOf(item.metadata));
      this.set(item);
    }
    for (const key of this.#objects.keys()) if (!seen.has(key)) this.delete(key);
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  #reindex(key: string, before: T | undefined, after: T | undefined): void {
    for (const { values, keys } of this.#indexes.values()) {
      for (const value of this.#valuesOf(values, before)) {
        const set = keys.get(value);
        set?.delete(key);
        if (set?.size === 0) keys.delete(value);
      }
      for (const value of this.#valuesOf(values, after)) {
        const set = keys.get(value);
        if (set === undefined) keys.set(value, new Set([key]));
        else set.add(key);
      }
    }
  }

  #valuesOf(values: IndexFunction<T>, object: T | undefined): readonly string[] {
    if (object === undefined) return [];
    try {
      return values(object);
    } catch (error) {
      this.#onListenerError(error);
      return [];
    }
  }

  #publish(before: T | undefined, after: T | undefined): void {
    // A copy: who subscribes meanwhile was already given the new state.
    const listeners = [...this.#listeners];
    for (const listener of listeners) {
      if (this.#listeners.has(listener)) this.#tell(listener, before, after);
    }
  }

  #tell(listener: StoreListener<T>, before: T | undefined, after: T | undefined): void {
    try {
      listener(before, after);
    } catch (error) {
      this.#onListenerError(error);
    }
  }
}

function deepFreeze<T>(value: T, texts: Texts | undefined): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const [name, member] of Object.entries(value)) {
    if (typeof member !== 'string') deepFreeze(member, texts);
    else if (texts !== undefined) Reflect.set(value, name, texts.of(member));
  }
  return Object.freeze(value);
}

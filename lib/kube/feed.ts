// From objects to keys: a feed maps each change in a store to the keys of the objects that must be looked at again.
// It does nothing else; whatever it means is decided when the key is reconciled.
import { type KubeObject, keyOf } from './object.ts';
import type { Store } from './store.ts';

/** Where a controller's keys come from. */
export interface Feed {
  /** Calls `add` with the keys of everything there is and then of each change. Returns the function that ends it. */
  subscribe(add: (key: string) => void): () => void;
  /** The keys of everything there is, for the resync. */
  keys(): Iterable<string>;
  /** Resolves when the store behind it holds a complete first list. */
  synced(signal: AbortSignal): Promise<void>;
}

/**
 * A feed from a store. `keysOf` says which keys an object concerns (owner, index, selector; its own key by default);
 * on a change both the old and the new object's keys are added. It must be quick and must not throw.
 */
export function feed<T extends KubeObject>(
  store: Store<T>,
  keysOf: (object: T) => Iterable<string> = (object) => [keyOf(object.metadata)],
): Feed {
  return {
    subscribe: (add) =>
      store.subscribe((before, after) => {
        const keys = new Set<string>(before === undefined ? [] : keysOf(before));
        for (const key of after === undefined ? [] : keysOf(after)) keys.add(key);
        for (const key of keys) add(key);
      }),
    *keys() {
      for (const object of store.list()) yield* keysOf(object);
    },
    synced: (signal) => store.synced(signal),
  };
}

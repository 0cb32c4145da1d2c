// From objects to keys: a feed maps each change in a store to the keys of the objects that must be looked at again.
// It does nothing else; whatever it means is decided when the key is reconciled.
import { isDeepStrictEqual } from 'node:util';
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
export function feed<T extends KubeObject>(store: Store<T>, keysOf: (object: T) => Iterable<string> = ownKey): Feed {
  return feedOf(store, keysOf, () => true);
}

/** A feed for which a change of status alone is none: of objects whose status says how far the many have come that the spec concerns. */
export function specFeed<T extends KubeObject>(
  store: Store<T>,
  keysOf: (object: T) => Iterable<string> = ownKey,
): Feed {
  return feedOf(store, keysOf, isOtherSpec);
}

const ownKey = ({ metadata }: KubeObject): readonly string[] => [keyOf(metadata)];

function feedOf<T extends KubeObject>(
  store: Store<T>,
  keysOf: (object: T) => Iterable<string>,
  matters: (before: T | undefined, after: T | undefined) => boolean,
): Feed {
  return {
    subscribe: (add) =>
      store.subscribe((before, after) => {
        if (!matters(before, after)) return;
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

/** Whether an object came, went or is wanted otherwise: by its generation, and by annotations and labels, which no generation counts. */
function isOtherSpec(before: KubeObject | undefined, after: KubeObject | undefined): boolean {
  if (before === undefined || after === undefined) return true;
  return !isDeepStrictEqual(wanted(before), wanted(after));
}

function wanted({ metadata }: KubeObject): object {
  const { generation = 0, annotations = {}, labels = {}, deletionTimestamp = '' } = metadata;
  return { generation, annotations, labels, deletionTimestamp };
}

/**
 * Calls the listener when an object comes, goes or has another spec (by its generation); what is written into a status is no such change.
 * Returns the function that ends it.
 */
export function onSpecChange<T extends KubeObject>(store: Store<T>, listener: () => void): () => void {
  return store.subscribe((before, after) => {
    if (isOtherSpec(before, after)) listener();
  });
}

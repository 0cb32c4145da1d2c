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
export function feed<T extends KubeObject>(store: Store<T>, keysOf: (object: T) => Iterable<string> = ownKey): Feed {
  return feedOf(store, keysOf, () => true);
}

/** A feed that passes a change on only if what `matters` of the object, as JSON, differs, and not to an object that `isKnown`. */
export function selectiveFeed<T extends KubeObject>(
  store: Store<T>,
  matters: (object: T) => unknown,
  keysOf: (object: T) => Iterable<string> = ownKey,
  isKnown: (object: T) => boolean = () => false,
): Feed {
  return feedOf(
    store,
    keysOf,
    (before, after) => !(after !== undefined && isKnown(after)) && differs(before, after, matters),
  );
}

/** A feed for which a change of status alone is none: of objects whose status says how far the many have come that the spec concerns. */
export function specFeed<T extends KubeObject>(store: Store<T>, keysOf?: (object: T) => Iterable<string>): Feed {
  return selectiveFeed(store, wanted, keysOf);
}

/**
 * Calls the listener when an object comes, goes or is wanted otherwise; what is written into a status is no such change. Returns the
 * function that ends it.
 */
export function onSpecChange<T extends KubeObject>(store: Store<T>, listener: () => void): () => void {
  return store.subscribe((before, after) => {
    if (differs(before, after, wanted)) listener();
  });
}

const ownKey = ({ metadata }: KubeObject): readonly string[] => [keyOf(metadata)];

function feedOf<T extends KubeObject>(
  store: Store<T>,
  keysOf: (object: T) => Iterable<string>,
  passes: (before: T | undefined, after: T | undefined) => boolean,
): Feed {
  return {
    subscribe: (add) =>
      store.subscribe((before, after) => {
        if (!passes(before, after)) return;
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

/** Whether an object came, went, or is another in what matters. */
function differs<T>(before: T | undefined, after: T | undefined, matters: (object: T) => unknown): boolean {
  if (before === undefined || after === undefined) return true;
  return JSON.stringify(matters(before)) !== JSON.stringify(matters(after));
}

/** What persons say of an object: its generation, and annotations and labels, which no generation counts. */
function wanted({ metadata }: KubeObject): unknown {
  const { uid, generation, annotations, labels, deletionTimestamp } = metadata;
  return [uid, generation, annotations, labels, deletionTimestamp];
}

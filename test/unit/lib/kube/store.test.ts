// The cache: what listeners see, in which order, and that nobody can change what they were given.
import { describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../../../../lib/kube/object.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';

interface Thing extends KubeObject {
  readonly owner?: string;
}

const thing = (name: string, version: number, more: { uid?: string; owner?: string } = {}): Thing => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: {
    name,
    namespace: 'shop',
    uid: more.uid ?? `uid-${name}`,
    resourceVersion: String(version),
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  ...(more.owner === undefined ? {} : { owner: more.owner }),
});

function recorded(store: ObjectStore<Thing>): string[] {
  const seen: string[] = [];
  const text = (object: Thing | undefined) =>
    object === undefined ? '-' : `${object.metadata.name}@${object.metadata.resourceVersion}`;
  store.subscribe((before, after) => seen.push(`${text(before)} > ${text(after)}`));
  return seen;
}

describe('the store', () => {
  test('tells of new, changed and deleted objects with the state before', () => {
    const store = new ObjectStore<Thing>();
    const seen = recorded(store);
    store.set(thing('a', 1));
    store.set(thing('a', 2));
    store.delete('shop/a');
    store.delete('shop/a');
    expect(seen).toEqual(['- > a@1', 'a@1 > a@2', 'a@2 > -']);
    expect(store.size).toBe(0);
  });

  test('gives a deletion the final state when the server sent it', () => {
    const store = new ObjectStore<Thing>();
    store.set(thing('a', 1));
    const seen = recorded(store);
    store.delete('shop/a', thing('a', 5));
    expect(seen).toEqual(['- > a@1', 'a@5 > -']);
  });

  test('says nothing about a version that it already holds', () => {
    const store = new ObjectStore<Thing>();
    const seen = recorded(store);
    store.set(thing('a', 1));
    store.set(thing('a', 1));
    expect(seen).toEqual(['- > a@1']);
  });

  test('shows the same name with another uid as a deletion and a new object', () => {
    const store = new ObjectStore<Thing>({
      indexes: { owner: (each) => (each.owner === undefined ? [] : [each.owner]) },
    });
    store.set(thing('a', 1, { owner: 'x' }));
    const seen = recorded(store);
    store.set(thing('a', 7, { uid: 'other', owner: 'y' }));
    expect(seen).toEqual(['- > a@1', 'a@1 > -', '- > a@7']);
    expect(store.byIndex('owner', 'x')).toEqual([]);
    expect(store.byIndex('owner', 'y')).toHaveLength(1);
  });

  test('a relist is the difference: missing objects are deleted with their last known state', () => {
    const store = new ObjectStore<Thing>();
    store.replace([thing('a', 1), thing('b', 1), thing('c', 1)]);
    const seen = recorded(store);
    seen.length = 0;
    store.replace([thing('b', 1), thing('c', 2), thing('d', 1)]);
    expect(seen.toSorted()).toEqual(['- > d@1', 'a@1 > -', 'c@1 > c@2']);
  });

  test('has synced only after every listener saw the first list', async () => {
    const store = new ObjectStore<Thing>();
    const atTheTime: boolean[] = [];
    store.subscribe(() => atTheTime.push(store.hasSynced));
    const synced = store.synced(new AbortController().signal);
    expect(store.hasSynced).toBe(false);
    store.replace([thing('a', 1), thing('b', 1)]);
    expect(store.hasSynced).toBe(true);
    expect(atTheTime).toEqual([false, false]);
    await synced;
    await store.synced(AbortSignal.abort());
  });

  test('waiting for the first list ends with the signal', async () => {
    const store = new ObjectStore<Thing>();
    const stop = new AbortController();
    const synced = store.synced(stop.signal);
    stop.abort(new Error('stopped'));
    await expect(synced).rejects.toThrow('stopped');
    await expect(store.synced(stop.signal)).rejects.toThrow('stopped');
  });

  test('a new subscriber is first given what is there; one that left hears nothing more', () => {
    const store = new ObjectStore<Thing>();
    store.set(thing('a', 1));
    const seen: unknown[] = [];
    const leave = store.subscribe((before, after) => seen.push([before, after?.metadata.name]));
    leave();
    store.set(thing('b', 1));
    expect(seen).toEqual([[undefined, 'a']]);
  });

  test('who subscribes while a change is told gets each object once', () => {
    const store = new ObjectStore<Thing>();
    const late: string[] = [];
    let first = true;
    store.subscribe(() => {
      if (first) store.subscribe((_, after) => late.push(`${after?.metadata.name}`));
      first = false;
    });
    store.set(thing('a', 1));
    expect(late).toEqual(['a']);
  });

  test('a listener that throws is reported and does not disturb the others', () => {
    const errors: unknown[] = [];
    const store = new ObjectStore<Thing>({ onListenerError: (error) => errors.push(error) });
    store.subscribe(() => {
      throw new Error('bug');
    });
    const seen = recorded(store);
    store.set(thing('a', 1));
    expect(seen).toEqual(['- > a@1']);
    expect(errors).toHaveLength(1);
  });

  test('an index function that throws is reported and files nothing', () => {
    const errors: unknown[] = [];
    const bad = () => {
      throw new Error('bug');
    };
    const store = new ObjectStore<Thing>({ indexes: { bad }, onListenerError: (error) => errors.push(error) });
    store.set(thing('a', 1));
    expect(store.get('shop/a')?.metadata.name).toBe('a');
    expect(store.byIndex('bad', 'x')).toEqual([]);
    expect(errors).toHaveLength(1);
  });

  test('objects are frozen through and through', () => {
    const store = new ObjectStore<Thing>();
    store.set(thing('a', 1));
    const held = store.get('shop/a');
    expect(Object.isFrozen(held)).toBe(true);
    expect(Object.isFrozen(held?.metadata)).toBe(true);
  });

  test('an index finds by value and follows changes; an undeclared one is a mistake', () => {
    const store = new ObjectStore<Thing>({
      indexes: { owner: (each) => (each.owner === undefined ? [] : [each.owner]) },
    });
    store.set(thing('a', 1, { owner: 'x' }));
    store.set(thing('b', 1, { owner: 'x' }));
    store.set(thing('a', 2, { owner: 'y' }));
    const names = (value: string) => store.byIndex('owner', value).map((each) => each.metadata.name);
    expect([names('x'), names('y'), names('z')]).toEqual([['b'], ['a'], []]);
    store.delete('shop/b');
    expect(names('x')).toEqual([]);
    expect(() => store.byIndex('nope', 'x')).toThrow(RangeError);
  });
});

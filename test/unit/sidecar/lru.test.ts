import { expect, test } from '@jest/globals';
import { Lru } from '../../../sidecar/lru.ts';

test('what was used least recently goes when it is full', () => {
  const lru = new Lru<number>(2);
  expect(lru.set('a', 1)).toBeUndefined();
  lru.set('b', 2);
  lru.get('a');
  expect(lru.set('c', 3)).toBe(2);
  expect([lru.get('a'), lru.get('b'), lru.get('c'), lru.size]).toEqual([1, undefined, 3, 2]);
});

test('setting again replaces and does not push out', () => {
  const lru = new Lru<number>(2);
  lru.set('a', 1);
  lru.set('b', 2);
  expect(lru.set('a', 3)).toBeUndefined();
  expect([...lru.values()]).toEqual([2, 3]);
  lru.delete('b');
  expect(lru.size).toBe(1);
});

test('what is asked for again and again stays the most recently used, also after others were set', () => {
  const lru = new Lru<number>(2);
  lru.set('a', 1);
  lru.get('a');
  lru.set('b', 2);
  expect([lru.get('a'), lru.get('a')]).toEqual([1, 1]);
  expect(lru.set('c', 3)).toBe(2);
  lru.delete('c');
  expect(lru.get('c')).toBeUndefined();
});

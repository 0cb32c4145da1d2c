import { afterEach, expect, test } from '@jest/globals';
import { settleMemory } from '../../../sidecar/memory.ts';
import { TestClock } from '../../support/clock.ts';

const collector = Object.getOwnPropertyDescriptor(globalThis, 'gc');
let collections: number;

/** Stands in for what Node gives out with --expose-gc. */
function countCollections(onEach: () => void = () => undefined): void {
  collections = 0;
  const gc = async (): Promise<void> => {
    collections += 1;
    onEach();
  };
  Object.defineProperty(globalThis, 'gc', { value: gc, configurable: true });
}

afterEach(() => {
  if (collector === undefined) Reflect.deleteProperty(globalThis, 'gc');
  else Object.defineProperty(globalThis, 'gc', collector);
});

test('memory of the start is given back once, when the start is over', async () => {
  countCollections();
  const clock = new TestClock();
  const settled = settleMemory(clock, new AbortController().signal);
  await clock.advance(2_900);
  expect(collections).toBe(0);
  await clock.advance(200);
  await settled;
  expect(collections).toBe(7);
});

test('a process that stops collects no more', async () => {
  const stop = new AbortController();
  countCollections(() => stop.abort());
  const clock = new TestClock();
  const settled = settleMemory(clock, stop.signal);
  await clock.advance(3_000);
  await settled;
  expect(collections).toBe(1);
});

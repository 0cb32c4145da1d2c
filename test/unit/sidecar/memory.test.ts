import { expect, test } from '@jest/globals';
import { settleMemory } from '../../../sidecar/memory.ts';
import { TestClock } from '../../support/clock.ts';

/** A process whose work the test makes up. */
function aProcess() {
  const clock = new TestClock();
  const stop = new AbortController();
  const given: number[] = [];
  const work = { usedMs: 200 };
  const settled = settleMemory(
    { clock, usedMs: () => work.usedMs, giveBack: async (collections) => void given.push(collections) },
    stop.signal,
  ).catch((reason: unknown) => reason);
  const second = async (usedMs: number): Promise<void> => {
    work.usedMs += usedMs;
    await clock.advance(1_000);
  };
  return { second, given, stop, settled };
}

test('memory of the start is given back in the first quiet second, and thoroughly', async () => {
  const { second, given } = aProcess();
  await second(100);
  expect(given).toEqual([]);
  await second(5);
  expect(given).toEqual([7]);
});

test('that of later work is given back when it is over, and only where there was much', async () => {
  const { second, given } = aProcess();
  await second(5);
  await second(100);
  await second(5);
  expect(given).toEqual([7]);
  await second(100);
  await second(5);
  expect(given).toEqual([7, 1]);
  for (let idle = 0; idle < 5; idle += 1) await second(1);
  expect(given).toEqual([7, 1]);
});

test('half a minute after the start nothing is given back any more', async () => {
  const { second, given, settled } = aProcess();
  for (let looks = 0; looks < 15; looks += 1) {
    await second(200);
    await second(1);
  }
  expect(given).toHaveLength(15);
  await second(200);
  await second(1);
  expect(given).toHaveLength(15);
  expect(await settled).toBeUndefined();
});

test('a process that stops looks no more', async () => {
  const { given, stop, settled } = aProcess();
  stop.abort(new Error('stopped'));
  expect(await settled).toEqual(new Error('stopped'));
  expect(given).toEqual([]);
});

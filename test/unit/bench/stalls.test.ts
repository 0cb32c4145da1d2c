// Time in which the machine stood still, which suites in real time do not hold against the product.
import { expect, test } from '@jest/globals';
import { Stalls } from '../../support/mixedtraffic.ts';

/** A stall that ended at a moment. */
const stall = (end: number, ms: number) => ({ who: 'somebody', at: new Date(end), ms });

test.each([
  ['none', [], 0],
  ['one that was over before', [stall(900, 500)], 0],
  ['one that began before', [stall(1_200, 500)], 200],
  ['one within', [stall(1_600, 300)], 300],
  ['one that lasted longer', [stall(5_000, 4_800)], 1_000],
  ['two at once', [stall(1_600, 300), stall(1_700, 300)], 600],
] as const)('%s counts as far as it lies between the two moments', (_, seen, expected) => {
  const stalls = new Stalls(100);
  stalls.end();
  stalls.seen.push(...seen);
  expect(stalls.during(1_000, 2_000)).toBe(expected);
});

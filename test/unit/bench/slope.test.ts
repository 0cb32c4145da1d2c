// The judgement of growth: what grows is found, what only shakes is not.
import { describe, expect, test } from '@jest/globals';
import { grows, median, type Point, slopeOf } from '../../../bench/churn/slope.ts';

/** Values a minute apart. */
const series = (count: number, value: (minute: number) => number): readonly Point[] =>
  Array.from({ length: count }, (_, minute) => ({ hours: minute / 60, value: value(minute) }));
/** Values between -1 and 1 without order, the same every time. */
function noise(): () => number {
  let seed = 7;
  return () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 31 - 1;
  };
}

describe('the slope', () => {
  test('of a straight line is the line, without spread', () => {
    const { perHour, low, high } = slopeOf(series(40, (minute) => 10 + minute / 20));
    for (const each of [perHour, low, high]) expect(each).toBeCloseTo(3, 9);
  });

  test('does not mind a third of mad values', () => {
    const { perHour } = slopeOf(series(40, (minute) => (minute % 3 === 0 ? 1_000 : minute / 60)));
    expect(perHour).toBeGreaterThan(0.5);
    expect(perHour).toBeLessThan(1.5);
  });

  test.each([
    ['an hour', 60],
    ['a day', 1_440],
  ])('of what only shakes is not told from none in %s, and one beneath the shaking is found', (_, minutes) => {
    const shaking = noise();
    const still = slopeOf(series(minutes, () => 50 + shaking()));
    expect([still.low < 0, still.high > 0]).toEqual([true, true]);
    const leaking = slopeOf(series(minutes, (minute) => 50 + shaking() + 5 * (minute / 60)));
    expect([leaking.low < 5, leaking.high > 5, leaking.low > 2]).toEqual([true, true, true]);
  });

  test('of a day has a narrower spread than that of an hour', () => {
    const [hour = NaN, day = NaN] = [60, 1_440].map((minutes) => {
      const { low, high } = slopeOf(series(minutes, noise()));
      return high - low;
    });
    expect(day).toBeLessThan(hour / 5);
  });
});

describe('what grows', () => {
  test.each([
    ['fast and surely', { perHour: 2, low: 1, high: 3 }, true],
    ['fast, and perhaps not at all', { perHour: 2, low: -1, high: 5 }, false],
    ['surely, and no faster than is allowed', { perHour: 0.4, low: 0.3, high: 0.5 }, false],
    ['backwards', { perHour: -2, low: -3, high: -1 }, false],
  ])('%s', (_, slope, expected) => {
    expect(grows(slope, 0.5)).toBe(expected);
  });
});

test('the median of an even number of values lies between the two in the middle', () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([2, 2.5]);
});

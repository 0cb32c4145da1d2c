// Waits that grow, with jitter, up to a ceiling; and a bucket of tokens.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Backoff, backoffMs } from '../../../../lib/runtime/backoff.ts';
import { TokenBucket } from '../../../../lib/runtime/bucket.ts';

describe('the back-off', () => {
  test('doubles up to the ceiling and starts anew when reset', () => {
    const backoff = new Backoff({ initialMs: 800, maxMs: 30_000, jitter: 0 });
    expect(Array.from({ length: 8 }, () => backoff.next())).toEqual([
      800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000,
    ]);
    expect(backoff.failures).toBe(8);
    backoff.reset();
    expect(backoff.next()).toBe(800);
  });

  test('jitter spreads the wait evenly around its middle', () => {
    const options = { initialMs: 1_000, maxMs: 60_000, jitter: 0.5 };
    expect([0, 0.5, 1].map((random) => backoffMs(1, options, random))).toEqual([750, 1_000, 1_250]);
  });

  test('whatever is asked, the wait is a whole number from 0 to the ceiling', () => {
    const numbers = fc.record({
      failures: fc.integer({ min: 0, max: 1_000_000 }),
      initialMs: fc.integer({ min: 0, max: 10_000 }),
      maxMs: fc.integer({ min: 1, max: 1_000_000 }),
      jitter: fc.double({ min: 0, max: 1, noNaN: true }),
      random: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(numbers, ({ failures, random, ...options }) => {
        const ms = backoffMs(failures, options, random);
        expect(Number.isInteger(ms) && ms >= 0 && ms <= options.maxMs).toBe(true);
      }),
    );
  });
});

describe('the token bucket', () => {
  test('gives the burst at once, then one token at a time', () => {
    const bucket = new TokenBucket({ perSecond: 2, burst: 3 });
    expect(Array.from({ length: 4 }, () => bucket.take(0))).toEqual([true, true, true, false]);
    expect([bucket.take(499), bucket.take(500), bucket.take(501)]).toEqual([false, true, false]);
  });

  test('never holds more than the burst', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 2 });
    expect(Array.from({ length: 3 }, () => bucket.take(1_000_000))).toEqual([true, true, false]);
  });

  test('says how long to wait for tokens that are reserved ahead', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 1 });
    expect([bucket.reserve(0), bucket.reserve(0), bucket.reserve(0), bucket.reserve(50)]).toEqual([0, 100, 200, 250]);
  });

  test('a clock that is set back takes no tokens away', () => {
    const bucket = new TokenBucket({ perSecond: 1, burst: 2 });
    bucket.take(10_000);
    expect(bucket.take(0)).toBe(true);
    expect(bucket.take(1_000)).toBe(true);
  });
});

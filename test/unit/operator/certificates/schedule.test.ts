import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { issuedAt, renewalTime, retryWaitMs } from '../../../../operator/certificates/schedule.ts';

const hour = 3_600_000;
const issued = new Date('2026-11-22T12:00:00Z');
const times = (serial: string, lifeMs = 24 * hour) => ({
  serial,
  notBefore: new Date(issued.getTime() - 120_000),
  notAfter: new Date(issued.getTime() + lifeMs),
});
const serials = fc.stringMatching(/^[0-9A-F]{32}$/);

describe('the moment of renewal', () => {
  test('counts from the moment of issue, not from the backdated notBefore', () => {
    expect(issuedAt(times('A'))).toEqual(issued);
  });

  test('lies 0 to 10 points before the percentage, for any serial', () => {
    fc.assert(
      fc.property(serials, fc.integer({ min: 20, max: 90 }), (serial, renewAt) => {
        const part = (renewalTime(times(serial), renewAt).getTime() - issued.getTime()) / (24 * hour);
        expect(part).toBeLessThanOrEqual(renewAt / 100);
        expect(part).toBeGreaterThan((renewAt - 10) / 100 - 1e-6);
      }),
    );
  });

  test('a low percentage is never cut by more than half of itself', () => {
    fc.assert(
      fc.property(serials, (serial) => {
        const part = (renewalTime(times(serial), 10).getTime() - issued.getTime()) / (24 * hour);
        expect(part).toBeGreaterThan(0.05 - 1e-6);
        expect(part).toBeLessThanOrEqual(0.1);
      }),
    );
  });

  test('is the same every time it is asked for, and spread over certificates', () => {
    const at = (serial: string): number => renewalTime(times(serial), 66).getTime();
    expect(at('AB')).toBe(at('AB'));
    const moments = Array.from({ length: 1_000 }, (_, index) => at(index.toString(16)));
    const width = 0.1 * 24 * hour;
    const buckets = Array.from({ length: 10 }, () => 0);
    for (const each of moments) {
      const index = Math.min(9, Math.floor(((issued.getTime() + 0.66 * 24 * hour - each) / width) * 10));
      buckets[index] = (buckets[index] ?? 0) + 1;
    }
    expect(Math.min(...buckets)).toBeGreaterThan(50);
    expect(Math.max(...buckets)).toBeLessThan(160);
  });

  test('works for lives of seconds', () => {
    const at = renewalTime(times('AB', 20_000), 66).getTime() - issued.getTime();
    expect(at).toBeGreaterThan(11_000);
    expect(at).toBeLessThanOrEqual(13_200);
  });
});

describe('the wait before another try', () => {
  test('never exceeds a twentieth of the remaining life nor five minutes, however often it failed', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2_000, max: 90 * 24 * hour }),
        fc.integer({ min: 1, max: 1_000 }),
        fc.string(),
        (remainingMs, failures, seed) => {
          const wait = retryWaitMs({ failures, remainingMs, seed });
          expect(wait).toBeLessThanOrEqual(Math.min(remainingMs / 20, 300_000));
          expect(wait).toBeGreaterThan(0);
        },
      ),
    );
  });

  test('never exceeds 30 s while pods wait for their first certificate', () => {
    fc.assert(
      fc.property(fc.integer({ min: -hour, max: 0 }), fc.integer({ min: 1, max: 100 }), (remainingMs, failures) => {
        expect(retryWaitMs({ failures, remainingMs, seed: 'shop/web' })).toBeLessThanOrEqual(30_000);
      }),
    );
  });

  test('grows', () => {
    const waits = [1, 2, 3, 4, 5, 6].map((failures) =>
      retryWaitMs({ failures, remainingMs: 24 * hour, seed: 'shop/web' }),
    );
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits[0]).toBeLessThanOrEqual(6_000);
    expect(waits[5]).toBeGreaterThan(100_000);
  });
});

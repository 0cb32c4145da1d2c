import { describe, expect, test } from '@jest/globals';
import { type Pace, Pacer } from '../../../../operator/certificates/pacer.ts';
import { TestClock } from '../../../support/clock.ts';

function bench(pace: Pace) {
  const clock = new TestClock();
  const called: string[] = [];
  const pacer = new Pacer(clock, (key) => called.push(key), pace);
  return { clock, called, pacer };
}

/** Expiry of certificates that have time. */
const dayMs = Date.parse('2026-01-02T00:00:00Z');

const wide: Pace = { rate: { perSecond: 1_000, burst: 1_000 }, concurrency: 100 };

describe('the pacer', () => {
  test('lets the first ones go ahead at once', () => {
    const { pacer } = bench({ ...wide, concurrency: 2 });
    expect([pacer.ask('a', 5), pacer.ask('b', 5), pacer.ask('c', 5)]).toEqual([true, true, false]);
    expect(pacer.waiting).toBe(1);
  });

  test('calls the soonest to expire when a turn is over, whatever the order of asking', () => {
    const { pacer, called } = bench({ ...wide, concurrency: 1 });
    pacer.ask('first', 1);
    for (const [key, expires] of [
      ['late', 30],
      ['soon', 10],
      ['middle', 20],
    ] as const)
      pacer.ask(key, expires);
    for (const key of ['first', 'soon', 'middle']) pacer.done(key);
    expect(called).toEqual(['soon', 'middle', 'late']);
  });

  test('takes those without a valid certificate before all others', () => {
    const { pacer, called } = bench({ ...wide, concurrency: 1 });
    pacer.ask('first', 1);
    pacer.ask('renewal', 2);
    pacer.ask('missing', 0);
    pacer.done('first');
    expect(called).toEqual(['missing']);
  });

  test('a key keeps its turn until it is done, and may ask again meanwhile', () => {
    const { pacer, called } = bench({ ...wide, concurrency: 1 });
    expect(pacer.ask('a', 1)).toBe(true);
    expect(pacer.ask('a', 1)).toBe(true);
    expect(pacer.ask('b', 1)).toBe(false);
    expect(called).toEqual([]);
    pacer.done('a');
    expect(called).toEqual(['b']);
    expect(pacer.ask('b', 1)).toBe(true);
  });

  test('a key that was called and wants nothing any more gives its turn away', () => {
    const { pacer, called } = bench({ ...wide, concurrency: 1 });
    pacer.ask('a', 1);
    pacer.ask('b', 2);
    pacer.ask('c', 3);
    pacer.done('a');
    pacer.done('b');
    expect(called).toEqual(['b', 'c']);
  });

  test('a key that waits and wants nothing any more is not called', () => {
    const { pacer, called } = bench({ ...wide, concurrency: 1 });
    pacer.ask('a', 1);
    pacer.ask('b', 2);
    pacer.done('b');
    pacer.done('a');
    expect(called).toEqual([]);
    expect(pacer.waiting).toBe(0);
  });

  test('holds renewals to their rate', async () => {
    const { pacer, called, clock } = bench({ rate: { perSecond: 10, burst: 5 }, concurrency: 100 });
    const went = Array.from({ length: 20 }, (_, index) => pacer.ask(`k${index}`, dayMs + index));
    expect(went.filter(Boolean)).toHaveLength(5);
    await clock.advance(1_000);
    expect(called.length).toBeGreaterThanOrEqual(9);
    expect(called.length).toBeLessThanOrEqual(11);
    await clock.advance(1_000);
    expect(called).toHaveLength(15);
    expect(called[0]).toBe('k5');
  });

  test('does not hold first certificates to the rate of renewals', () => {
    const { pacer } = bench({ rate: { perSecond: 1, burst: 0 }, concurrency: 100 });
    expect(pacer.ask('renewal', dayMs)).toBe(false);
    expect(Array.from({ length: 50 }, (_, index) => pacer.ask(`k${index}`, 0)).every(Boolean)).toBe(true);
  });

  test('sleeps only while somebody waits for the rate', async () => {
    const { pacer, clock } = bench({ rate: { perSecond: 10, burst: 1 }, concurrency: 100 });
    pacer.ask('a', dayMs);
    expect(clock.sleepers).toBe(0);
    pacer.ask('b', dayMs);
    expect(clock.sleepers).toBe(1);
    await clock.advance(1_000);
    expect(clock.sleepers).toBe(0);
  });

  test('goes through ten thousand in the order of their expiry', async () => {
    const { pacer, called, clock } = bench({ rate: { perSecond: 50, burst: 100 }, concurrency: 8 });
    const order = Array.from({ length: 10_000 }, (_, index) => (index * 7_919) % 10_000);
    for (const each of order) pacer.ask(`k${each}`, dayMs + each);
    for (let index = 0; index < 8; index += 1) pacer.done(`k${order[index]}`);
    let handled = 0;
    for (let second = 0; second < 10; second += 1) {
      await clock.advance(1_000);
      for (; handled < called.length; handled += 1) pacer.done(called[handled] ?? '');
    }
    const expiries = called.map((key) => Number(key.slice(1)));
    expect(expiries.length).toBeGreaterThan(80);
    expect(expiries).toEqual([...expiries].sort((a, b) => a - b));
  });

  test('lets those go that would be late at the stated rate, and no others', async () => {
    const { pacer, called, clock } = bench({ rate: { perSecond: 10, burst: 1 }, concurrency: 8 });
    const nowMs = clock.now().getTime();
    // A hundred take ten seconds: who expires within twice that may not wait.
    const soon = Array.from({ length: 50 }, (_, index) => `soon-${index}`);
    for (let index = 0; index < 50; index += 1) pacer.ask(`late-${index}`, dayMs + index);
    const went = soon.filter((key, index) => pacer.ask(key, nowMs + 5_000 + index));
    for (const key of went) pacer.done(key);
    for (let handled = 0; handled < called.length; handled += 1) pacer.done(called[handled] ?? '');
    expect([...went, ...called].sort()).toEqual([...soon].sort());
    await clock.advance(1_000);
    expect(called.filter((key) => key.startsWith('late-')).length).toBeGreaterThan(5);
    expect(called.filter((key) => key.startsWith('late-')).length).toBeLessThan(15);
  });

  test('a key that asks again with another expiry has that one', () => {
    const { pacer, called } = bench({ ...wide, concurrency: 1 });
    pacer.ask('first', 1);
    pacer.ask('a', 10);
    pacer.ask('b', 20);
    pacer.ask('a', 30);
    for (const key of ['first', 'b']) pacer.done(key);
    expect(called).toEqual(['b', 'a']);
    expect(pacer.waiting).toBe(0);
  });
});

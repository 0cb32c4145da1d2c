// A time limit as a signal.
import { describe, expect, test } from '@jest/globals';
import { deadline } from '../../../../lib/runtime/deadline.ts';
import { TestClock } from '../../../support/clock.ts';

describe('the deadline', () => {
  test('aborts when the time is up, and says what took so long', async () => {
    const clock = new TestClock();
    const limit = deadline(clock, 1_000, 'the handshake');
    await clock.advance(999);
    expect(limit.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(limit.expired).toBe(true);
    expect(limit.signal.reason).toMatchObject({ code: 'timeout', message: 'the handshake took longer than 1000 ms' });
  });

  test('follows the outer signal, with its reason', async () => {
    const clock = new TestClock();
    const outer = new AbortController();
    const limit = deadline(clock, 1_000, 'x', outer.signal);
    outer.abort('stopped');
    await clock.advance(2_000);
    expect([limit.signal.reason, limit.expired]).toEqual(['stopped', false]);
    expect(deadline(clock, 1_000, 'x', outer.signal).signal.reason).toBe('stopped');
  });

  test('leaves nothing behind when the work is done', async () => {
    const clock = new TestClock();
    const outer = new AbortController();
    const limit = deadline(clock, 1_000, 'x', outer.signal);
    limit.end();
    expect(clock.sleepers).toBe(0);
    outer.abort();
    await clock.advance(2_000);
    expect([limit.signal.aborted, limit.expired]).toEqual([false, false]);
  });
});

// The queue's promises: no key twice at once, none lost, late ones on time, failing ones later and later.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { WorkQueue } from '../../../../lib/kube/workqueue.ts';
import { settle, TestClock } from '../../../support/clock.ts';

const noJitter = { initialMs: 5, maxMs: 1_000_000, jitter: 0 };

describe('the work queue', () => {
  test('hands out keys in the order they came, each once', async () => {
    const queue = new WorkQueue({ clock: new TestClock() });
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    expect(queue.depth).toBe(3);
    expect([await queue.take(), await queue.take(), await queue.take()]).toEqual(['a', 'b', 'c']);
  });

  test('a key that is added while it runs runs once more, after it is done', async () => {
    const queue = new WorkQueue({ clock: new TestClock() });
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('a');
    expect(queue.depth).toBe(0);
    queue.done('a');
    expect(queue.depth).toBe(1);
    expect(await queue.take()).toBe('a');
    queue.done('a');
    expect(queue.depth).toBe(0);
  });

  test('a taker that waits is given the next key', async () => {
    const queue = new WorkQueue({ clock: new TestClock() });
    const taken = queue.take();
    queue.add('a');
    expect(await taken).toBe('a');
  });

  test('delayed keys come when they are due, soonest first, and the earlier time holds', async () => {
    const clock = new TestClock();
    const queue = new WorkQueue({ clock });
    queue.addAfter('late', 3_000);
    queue.addAfter('soon', 1_000);
    queue.addAfter('late', 5_000);
    queue.addAfter('moved', 9_000);
    queue.addAfter('moved', 2_000);
    expect(queue.delayed).toBe(3);
    const seen: string[] = [];
    for (const step of [999, 1, 1_000, 1_000, 10_000]) {
      await clock.advance(step);
      const keys: string[] = [];
      while (queue.depth > 0) keys.push((await queue.take()) ?? '');
      for (const key of keys) queue.done(key);
      seen.push(keys.join());
    }
    expect(seen).toEqual(['', 'soon', 'moved', 'late', '']);
  });

  test('a wait longer than any timer can hold is slept in pieces', async () => {
    const clock = new TestClock();
    const queue = new WorkQueue({ clock });
    queue.addAfter('far', 90 * 86_400_000);
    queue.addAfter('near', 200_000);
    const naps: (number | undefined)[] = [];
    for (const step of [0, 60_000, 60_000, 60_000]) {
      await clock.advance(step);
      naps.push(clock.nextMs);
    }
    expect(naps).toEqual([60_000, 60_000, 60_000, 20_000]);
    await clock.advance(20_000);
    expect([queue.depth, queue.delayed, clock.nextMs]).toEqual([1, 1, 60_000]);
  });

  test('a failing key waits twice as long each time, up to the ceiling, and starts anew when forgotten', () => {
    const queue = new WorkQueue({ clock: new TestClock(), backoff: noJitter });
    const waits = Array.from({ length: 20 }, () => queue.addFailed('a'));
    expect(waits.slice(0, 4)).toEqual([5, 10, 20, 40]);
    expect(waits.at(-1)).toBe(1_000_000);
    expect(queue.failures('a')).toBe(20);
    queue.forget('a');
    expect(queue.addFailed('a')).toBe(5);
  });

  test('many failing keys together are held to the overall rate after the burst', () => {
    const queue = new WorkQueue({ clock: new TestClock(), backoff: noJitter });
    const waits = Array.from({ length: 120 }, (_, index) => queue.addFailed(`k${index}`));
    expect(Math.max(...waits.slice(0, 100))).toBe(5);
    expect(waits[100]).toBe(100);
    expect(waits[119]).toBe(2_000);
  });

  test('a server that says when to come back is obeyed', () => {
    const queue = new WorkQueue({ clock: new TestClock(), backoff: noJitter });
    expect(queue.addFailed('a', 7_000)).toBe(7_000);
  });

  test('the age of the oldest ready key is known', async () => {
    const clock = new TestClock();
    const queue = new WorkQueue({ clock });
    expect(queue.oldestMs).toBe(0);
    queue.add('a');
    await clock.advance(1_500);
    queue.add('b');
    expect(queue.oldestMs).toBe(1_500);
    await queue.take();
    expect(queue.oldestMs).toBe(0);
  });

  test('closed, it takes nothing more, drops what is delayed, hands out the rest, then says it is empty', async () => {
    const clock = new TestClock();
    const queue = new WorkQueue({ clock });
    queue.add('a');
    queue.addAfter('b', 1_000);
    queue.close();
    queue.add('c');
    queue.addAfter('d', 0);
    expect(await queue.take()).toBe('a');
    expect(await queue.take()).toBeUndefined();
    await clock.advance(10_000);
    expect(queue.depth).toBe(0);
    expect(clock.sleepers).toBe(0);
  });

  test('closed, those who wait are told', async () => {
    const queue = new WorkQueue({ clock: new TestClock() });
    const taken = queue.take();
    queue.close();
    expect(await taken).toBeUndefined();
  });

  test('whatever is added whenever, no key runs twice at once and every key runs after its last add', async () => {
    const key = fc.constantFrom('a', 'b', 'c');
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), key, ms: fc.constant(0) }),
      fc.record({ do: fc.constant('after' as const), key, ms: fc.integer({ min: 0, max: 50 }) }),
      fc.record({ do: fc.constant('fail' as const), key, ms: fc.constant(0) }),
      fc.record({ do: fc.constant('pass' as const), key, ms: fc.integer({ min: 0, max: 30 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const clock = new TestClock();
        const queue = new WorkQueue({ clock });
        const running = new Set<string>();
        const owed = new Set<string>();
        const work = async () => {
          for (let taken = await queue.take(); taken !== undefined; taken = await queue.take()) {
            if (running.has(taken)) throw new Error(`${taken} runs twice`);
            running.add(taken);
            owed.delete(taken);
            await clock.sleep(7);
            running.delete(taken);
            queue.done(taken);
          }
        };
        const workers = Promise.all([work(), work(), work()]);
        for (const each of steps) {
          if (each.do === 'pass') await clock.advance(each.ms);
          else owed.add(each.key);
          if (each.do === 'add') queue.add(each.key);
          if (each.do === 'after') queue.addAfter(each.key, each.ms);
          if (each.do === 'fail') queue.addFailed(each.key);
        }
        await clock.advance(2_000_000);
        expect([...owed]).toEqual([]);
        queue.close();
        await settle();
        await workers;
      }),
      { numRuns: 60 },
    );
  });
});

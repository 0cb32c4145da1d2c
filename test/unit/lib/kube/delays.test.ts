// The heap against a list that is simply sorted.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Delays } from '../../../../lib/kube/delays.ts';

describe('the delays', () => {
  test('whatever is added and taken, keys come out when due, soonest first, each at its earliest time', () => {
    const add = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      due: fc.integer({ min: 0, max: 100 }),
    });
    const take = fc.record({ until: fc.integer({ min: 0, max: 100 }) });
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 4, arbitrary: add }, take), { maxLength: 60 }), (steps) => {
        const delays = new Delays();
        const model = new Map<string, number>();
        for (const step of steps) {
          if ('key' in step) {
            delays.add(step.key, step.due);
            model.set(step.key, Math.min(step.due, model.get(step.key) ?? Infinity));
          } else {
            const due = [...model].filter(([, at]) => at <= step.until).sort((a, b) => a[1] - b[1]);
            const taken = delays.takeDue(step.until);
            expect(taken.map((key) => model.get(key))).toEqual(due.map(([, at]) => at));
            expect(new Set(taken)).toEqual(new Set(due.map(([key]) => key)));
            for (const key of taken) model.delete(key);
          }
          expect(delays.size).toBe(model.size);
          expect(delays.next()).toBe(model.size === 0 ? undefined : Math.min(...model.values()));
        }
      }),
    );
  });

  test('cleared, it is empty', () => {
    const delays = new Delays();
    delays.add('a', 1);
    delays.clear();
    expect([delays.size, delays.next(), delays.takeDue(10)]).toEqual([0, undefined, []]);
  });
});

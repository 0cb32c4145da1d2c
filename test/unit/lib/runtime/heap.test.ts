import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Heap } from '../../../../lib/runtime/heap.ts';

test('gives back what was put in, smallest first, however puts and takes are mixed', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer(), { nil: 'take' as const })), (steps) => {
      const heap = new Heap<number>((a, b) => a < b);
      const model: number[] = [];
      for (const step of steps) {
        if (step === 'take') {
          model.sort((a, b) => a - b);
          expect(heap.peek()).toBe(model[0]);
          expect(heap.pop()).toBe(model.shift());
        } else {
          heap.push(step);
          model.push(step);
        }
        expect(heap.size).toBe(model.length);
      }
      model.sort((a, b) => a - b);
      expect(Array.from({ length: heap.size }, () => heap.pop())).toEqual(model);
    }),
  );
});

test('is empty after it was cleared', () => {
  const heap = new Heap<number>((a, b) => a < b);
  heap.push(1);
  heap.clear();
  expect([heap.size, heap.peek(), heap.pop()]).toEqual([0, undefined, undefined]);
});

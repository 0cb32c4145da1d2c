import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RefIndex } from '../../../../operator/mesh/refs.ts';

test('a value stays filed until it was removed as often as it was added', () => {
  const index = new RefIndex();
  index.add('pod', 'api');
  index.add('pod', 'api');
  index.add('pod', 'web');
  index.remove('pod', 'api');
  expect([...index.of('pod')]).toEqual(['api', 'web']);
  index.remove('pod', 'api');
  expect([...index.of('pod')]).toEqual(['web']);
});

test('removing what is not there changes nothing, and nothing is kept for a key without values', () => {
  const index = new RefIndex();
  index.remove('pod', 'api');
  index.add('pod', 'api');
  index.remove('pod', 'web');
  index.remove('other', 'api');
  expect(index.has('pod')).toBe(true);
  index.remove('pod', 'api');
  expect([index.size, index.has('pod'), [...index.of('pod')]]).toEqual([0, false, []]);
});

test('follows a plain count, whatever is added and removed', () => {
  const step = fc.record({ add: fc.boolean(), key: fc.constantFrom('k', 'l'), value: fc.constantFrom('a', 'b', 'c') });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const index = new RefIndex();
      const model = new Map<string, string[]>();
      for (const { add, key, value } of steps) {
        const values = model.get(key) ?? [];
        if (add) index.add(key, value);
        else index.remove(key, value);
        const at = values.indexOf(value);
        model.set(key, add ? [...values, value] : values.filter((_, each) => each !== at));
        for (const [each, expected] of model) {
          expect([...index.of(each)].sort()).toEqual([...new Set(expected)].sort());
          expect(index.has(each)).toBe(expected.length > 0);
        }
      }
    }),
  );
});

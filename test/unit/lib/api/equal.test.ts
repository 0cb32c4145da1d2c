import { describe, expect, test } from '@jest/globals';
import { sameJson } from '../../../../lib/api/equal.ts';

describe('two JSON values', () => {
  test.each<[string, unknown, unknown, boolean]>([
    ['equal texts', 'a', 'a', true],
    ['a text and a number', '1', 1, false],
    ['null and nothing', null, undefined, false],
    ['null and an object', null, {}, false],
    ['members in another order', { a: 1, b: 2 }, { b: 2, a: 1 }, true],
    ['a member more', { a: 1 }, { a: 1, b: 2 }, false],
    ['a member less', { a: 1, b: 2 }, { a: 1 }, false],
    ['a member that is undefined', { a: 1, b: undefined }, { a: 1 }, true],
    ['another member undefined', { a: 1, b: undefined }, { a: 1, c: undefined }, true],
    ['equal lists', [1, { a: [2] }], [1, { a: [2] }], true],
    ['lists in another order', [1, 2], [2, 1], false],
    ['a longer list', [1], [1, 2], false],
    ['a list and an object', [1], { 0: 1 }, false],
    ['a difference deep inside', { a: { b: [{ c: 1 }] } }, { a: { b: [{ c: 2 }] } }, false],
  ])('%s', (_, a, b, same) => {
    expect(sameJson(a, b)).toBe(same);
    expect(sameJson(b, a)).toBe(same);
  });
});

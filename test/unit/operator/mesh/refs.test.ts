import { expect, test } from '@jest/globals';
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

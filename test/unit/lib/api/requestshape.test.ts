// What is kept of requests: nothing that varies or could be about somebody, never more than a bound, and always a pattern that covers what was seen.
import { describe, expect, test } from '@jest/globals';
import { hostShape, pathShape, ShapeBook } from '../../../../lib/api/requestshape.ts';
import { randomFrom } from '../../../support/authorization.ts';

const covers = (pattern: string, path: string): boolean =>
  pattern.endsWith('/*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern;

describe('a path', () => {
  test.each<readonly [string, string]>([
    ['/', '/'],
    ['/items', '/items'],
    ['/items/', '/items/'],
    ['/api/v1/items', '/api/v1/items'],
    ['/x509/oauth2/index.html', '/x509/oauth2/index.html'],
    ['/Orders/Open', '/Orders/Open'],
    ['/items/7', '/items/*'],
    ['/items/7/reviews', '/items/*'],
    ['/items/7/', '/items/*'],
    ['/7', '/*'],
    ['/days/2026-11-22', '/days/*'],
    ['/users/3f2504e0-4f89-11d3-9a0c-0305e82c3301/cart', '/users/*'],
    ['/objects/deadbeef01', '/objects/*'],
    ['/objects/deadbeef', '/objects/deadbeef'],
    ['/orders/order-4711', '/orders/*'],
    ['/reset/c2VjcmV0dG9rZW4xMjM', '/reset/*'],
    ['/reset/AbCdEfGhIjKlMnOpQrStUvWxYz', '/reset/*'],
    ['/users/ann@example.com', '/users/*'],
    ['/users/J%C3%BCrgen', '/users/*'],
    ['/a,b/c', '/*'],
    [`/files/${'a'.repeat(41)}`, '/files/*'],
    [`/${'segment/'.repeat(30)}end`, `/${'segment/'.repeat(20)}*`],
  ])('%s is kept as %s', (path, shape) => {
    expect(pathShape('GET', path)).toBe(shape);
    expect(covers(shape, path)).toBe(true);
  });

  test('of a gRPC method is kept whole, by POST alone', () => {
    const path = '/google.cloud.secretmanager.v1beta2.SecretManagerService/AccessSecretVersion';
    expect(pathShape('POST', path)).toBe(path);
    expect(pathShape('GET', path)).toBe('/*');
  });
});

test.each<readonly [string | undefined, string | undefined]>([
  ['api', 'api'],
  ['api.shop.svc.cluster.local', 'api.shop.svc.cluster.local'],
  ['10.0.0.7', '10.0.0.7'],
  ['[fd00::1]', undefined],
  ['*.shop', undefined],
  ['a'.repeat(101), undefined],
  [undefined, undefined],
])('host %s is kept as %s', (host, shape) => {
  expect(hostShape(host)).toBe(shape);
});

describe('a book', () => {
  const sum = (known: number, other: number): number => known + other;

  test('puts paths together where there is most below one, and goes on covering them', () => {
    const book = new ShapeBook<number>(4, sum);
    for (const path of ['/a', '/users/ann', '/users/bob', '/items/x/y', undefined, '/users/zoe'])
      book.note('g', path, 1);
    expect(book.shapes().map(({ path, entry }) => [path, entry])).toEqual([
      ['/a', 1],
      ['/items/x/y', 1],
      [undefined, 1],
      ['/users/*', 3],
    ]);
    book.note('g', '/users/eve/cart', 1);
    expect([book.find('g', '/users/eve'), book.size]).toEqual([4, 4]);
    expect(book.find('other', '/users/eve')).toBeUndefined();
  });

  test('takes what a pattern covers into it', () => {
    const book = new ShapeBook<number>(9, sum);
    for (const path of ['/a/b', '/a/c/d', '/ab', '/a', '/a/*']) book.note('g', path, 1);
    expect(book.shapes().map(({ path, entry }) => [path, entry])).toEqual([
      ['/ab', 1],
      ['/a', 1],
      ['/a/*', 3],
    ]);
  });

  test('lets the oldest go when nothing can be put together any more', () => {
    const book = new ShapeBook<number>(2, sum);
    for (const group of ['a', 'b', 'c']) book.note(group, '/*', 1);
    expect(book.shapes().map(({ group }) => group)).toEqual(['b', 'c']);
  });

  test('never holds more than it may, loses no count, and covers every path, whatever comes', () => {
    const random = randomFrom(7);
    const word = (): string => ['a', 'b', 'c', 'd', 'e'][Math.floor(random() * 5)] ?? '';
    for (let turn = 0; turn < 40; turn += 1) {
      const book = new ShapeBook<number>(12, sum);
      const noted: (readonly [string, string])[] = [];
      for (let count = 0; count < 80; count += 1) {
        const path = `/${Array.from({ length: 1 + Math.floor(random() * 4) }, word).join('/')}${random() < 0.1 ? '/*' : ''}`;
        const group = random() < 0.5 ? 'g' : 'h';
        noted.push([group, path]);
        book.note(group, path, 1);
        expect(book.size).toBeLessThanOrEqual(12);
      }
      const shapes = book.shapes();
      expect(shapes.length).toBe(book.size);
      expect(shapes.reduce((all, { entry }) => all + entry, 0)).toBe(80);
      for (const [group, path] of noted) {
        const found = shapes.some((shape) => shape.group === group && covers(shape.path ?? '', path));
        expect({ group, path, found }).toEqual({ group, path, found: true });
      }
    }
  });
});

import { describe, expect, test } from '@jest/globals';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { headEnd, RequestHead } from '../../../../sidecar/http1/head.ts';
import { headersOf } from '../../../../sidecar/http1/headers.ts';

function headers(lines: readonly string[], before: string = ''): Readonly<Record<string, string>> {
  const octets = Buffer.from(
    `${before}GET / HTTP/1.1\r\nHost: shop\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\nbody`,
  );
  const head = new RequestHead();
  const end = headEnd(octets, before.length, 0);
  expect(head.read(octets, before.length, end, { ...defaultHeadLimits, refuseUnderscores: false })).toBeUndefined();
  return headersOf(head, octets);
}

describe('the fields of a head', () => {
  test('have names in lower case and values without blanks around them', () => {
    expect({ ...headers(['X-Team: \t a b \t', 'accept:*/*', 'Empty:']) }).toEqual({
      host: 'shop',
      'x-team': 'a b',
      accept: '*/*',
      empty: '',
    });
  });

  test('are those of the head alone, whatever stands before and behind it', () => {
    expect(Object.keys(headers(['A: 1'], 'rest of a body: x\r\n\r\n'))).toEqual(['host', 'a']);
  });

  test('that are repeated are joined, cookies in their own way', () => {
    expect(headers(['X: 1', 'x: 2', 'Cookie: a=1', 'cookie: b=2'])).toMatchObject({ x: '1, 2', cookie: 'a=1; b=2' });
  });

  test('may be called what objects have by themselves', () => {
    const found = headers(['__proto__: x', 'constructor: y']);
    expect(found['__proto__']).toBe('x');
    expect(found['constructor']).toBe('y');
    expect(Object.getPrototypeOf(found)).toBeNull();
  });
});

// What is taken for the question of an ACME CA, and what is not.
import { describe, expect, test } from '@jest/globals';
import { challengeAnswer, challengeRequest } from '../../../../sidecar/acme/http01.ts';

const path = '/.well-known/acme-challenge';

describe('the first bytes of a plaintext connection', () => {
  test.each([
    [`GET ${path}/abc_-1 HTTP/1.1\r\nHost: a\r\n\r\n`, { kind: 'challenge', token: 'abc_-1' }],
    [`GET ${path}/abc HTTP/1.0\r\n`, { kind: 'challenge', token: 'abc' }],
    [`GET ${path}/abc HTTP/1.1\n`, { kind: 'challenge', token: 'abc' }],
    [`GET ${path}/a`, { kind: 'undecided' }],
    ['G', { kind: 'undecided' }],
    ['', { kind: 'undecided' }],
    [`GET ${path}/abc/../x HTTP/1.1\r\n`, { kind: 'other' }],
    [`GET ${path}/ab%63 HTTP/1.1\r\n`, { kind: 'other' }],
    [`GET ${path}/abc?x HTTP/1.1\r\n`, { kind: 'other' }],
    [`GET ${path}/ HTTP/1.1\r\n`, { kind: 'other' }],
    [`POST ${path}/abc HTTP/1.1\r\n`, { kind: 'other' }],
    [`get ${path}/abc HTTP/1.1\r\n`, { kind: 'other' }],
    [`GET ${path}/abc HTTP/2.0\r\n`, { kind: 'other' }],
    ['GET / HTTP/1.1\r\n', { kind: 'other' }],
    ['\x16\x03', { kind: 'other' }],
    [`GET ${path}/${'a'.repeat(400)}`, { kind: 'other' }],
  ] as const)('%j is %j', (text, expected) => {
    expect(challengeRequest(Buffer.from(text, 'latin1'))).toEqual(expected);
  });
});

test('the answer is the key authorization and nothing else', () => {
  const [head, body] = challengeAnswer('token.thumb').split('\r\n\r\n');
  expect(body).toBe('token.thumb');
  expect(head).toContain('content-length: 11');
});

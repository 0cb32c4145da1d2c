import { describe, expect, test } from '@jest/globals';
import { classify, looksLikeHttp } from '../../../../sidecar/tls/hello.ts';

describe('classify', () => {
  test.each([
    ['nothing', '', 'undecided'],
    ['the first byte of a handshake record', '16', 'undecided'],
    ['a TLS 1.0 record as every ClientHello has', '160301', 'tls'],
    ['a TLS 1.2 record', '160303', 'tls'],
    ['an alert record', '150301', 'plaintext'],
    ['a handshake record of another major version', '1602', 'plaintext'],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1').toString('hex'), 'plaintext'],
    ['the start of a PostgreSQL connection', '00000008', 'plaintext'],
    ['a Redis command', Buffer.from('*1\r\n').toString('hex'), 'plaintext'],
  ] as const)('%s', (_name, hex, kind) => {
    expect(classify(Buffer.from(hex, 'hex'))).toBe(kind);
  });
});

describe('looksLikeHttp', () => {
  test.each([
    ['GET / HTTP/1.1\r\n', true],
    ['OPTIONS * HTTP/1.1\r\n', true],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', true],
    ['GET', false],
    ['*1\r\n$4\r\nPING\r\n', false],
    ['get / HTTP/1.1', false],
    ['', false],
  ])('%j', (text, expected) => {
    expect(looksLikeHttp(Buffer.from(text))).toBe(expected);
  });
});

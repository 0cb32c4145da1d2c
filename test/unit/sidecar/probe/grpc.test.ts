import { describe, expect, test } from '@jest/globals';
import { decodeResponse, encodeRequest } from '../../../../sidecar/probe/grpc.ts';

const message = (...body: number[]): Buffer => Buffer.from([0, 0, 0, 0, body.length, ...body]);

describe('encodeRequest', () => {
  test('asks for the server as a whole with an empty message', () => {
    expect(encodeRequest('')).toEqual(message());
  });

  test('asks for one service by name', () => {
    expect(encodeRequest('shop')).toEqual(message(0x0a, 4, 0x73, 0x68, 0x6f, 0x70));
  });

  test('writes the length of a long name in two bytes', () => {
    const encoded = encodeRequest('x'.repeat(300));
    expect(encoded.subarray(0, 8)).toEqual(Buffer.from([0, 0, 0, 0x01, 0x2f, 0x0a, 0xac, 0x02]));
    expect(encoded).toHaveLength(5 + 303);
  });
});

describe('decodeResponse', () => {
  test.each<[string, Buffer, number | undefined]>([
    ['SERVING', message(0x08, 1), 1],
    ['NOT_SERVING', message(0x08, 2), 2],
    ['an absent status as UNKNOWN', message(), 0],
    ['a status beside fields it does not know', message(0x10, 7, 0x1a, 2, 1, 2, 0x08, 1), 1],
    ['the last of two statuses', message(0x08, 2, 0x08, 1), 1],
    ['nothing in an empty answer', Buffer.alloc(0), undefined],
    ['nothing in a compressed message', Buffer.from([1, 0, 0, 0, 2, 0x08, 1]), undefined],
    ['nothing in a message cut short', Buffer.from([0, 0, 0, 0, 2, 0x08]), undefined],
    ['nothing in a message with more behind it', Buffer.from([0, 0, 0, 0, 2, 0x08, 1, 0]), undefined],
    ['nothing in a tag without a value', message(0x08), undefined],
    ['nothing in a field that is longer than the message', message(0x1a, 9, 1), undefined],
    ['nothing in a wire type that no health answer has', message(0x09, 0, 0, 0, 0, 0, 0, 0, 0), undefined],
    ['nothing in a number without an end', message(0x08, 0xff, 0xff, 0xff, 0xff, 0x01), undefined],
  ])('reads %s', (_name, answer, status) => {
    expect(decodeResponse(answer)).toBe(status);
  });
});

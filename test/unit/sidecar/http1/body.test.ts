// Where bodies end, at every split of their octets.
import { describe, expect, test } from '@jest/globals';
import { Body } from '../../../../sidecar/http1/body.ts';
import type { BodyKind } from '../../../../sidecar/http1/head.ts';

/** Feeds octets in two parts; how many belong to the body, and the rule that was broken. */
function follow(kind: BodyKind, length: number, text: string, split = text.length) {
  const bytes = Buffer.from(text, 'latin1');
  const body = new Body();
  body.begin(kind, length);
  let at = body.take(bytes, 0, split);
  if (at === split) at = body.take(bytes, split, bytes.length);
  return { taken: at, done: body.done, rule: body.broken };
}

const next = 'GET / HTTP/1.1\r\n';

describe('a body', () => {
  test.each<[string, BodyKind, number, string]>([
    ['of nothing', 'none', 0, ''],
    ['that is counted', 'length', 5, 'hello'],
    ['in chunks', 'chunked', 0, '5\r\nhello\r\n0\r\n\r\n'],
    ['in several chunks', 'chunked', 0, '1\r\na\r\n00A\r\n0123456789\r\n0\r\n\r\n'],
    ['in chunks with extensions', 'chunked', 0, '1;a=b;c="d;e"\r\na\r\n0;x\r\n\r\n'],
    ['in chunks with trailers', 'chunked', 0, '1\r\na\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n'],
  ])('%s ends where it should, at every split', (_, kind, length, text) => {
    for (let split = 0; split <= text.length + next.length; split += 1) {
      expect(follow(kind, length, text + next, split)).toEqual({ taken: text.length, done: true, rule: undefined });
    }
  });

  test.each<[string, BodyKind]>([
    ['until the end of the connection', 'until_close'],
    ['of a tunnel', 'tunnel'],
  ])('%s takes everything', (_, kind) => {
    expect(follow(kind, 0, next)).toEqual({ taken: next.length, done: false, rule: undefined });
  });

  test.each([
    ['bad_chunk', 'no digit', '\r\n'],
    ['bad_chunk', 'a blank before the size', ' 5\r\nhello'],
    ['bad_chunk', 'a blank behind the size', '5 \r\nhello'],
    ['bad_chunk', 'a sign', '-5\r\nhello'],
    ['bad_chunk', 'a prefix', '0x5\r\nhello'],
    ['bad_chunk', 'a lone LF behind the size', '5\nhello'],
    ['bad_chunk', 'a lone CR behind the size', '5\rhello'],
    ['bad_chunk', 'a lone LF in an extension', '5;a\nhello'],
    ['bad_chunk', 'data that is longer than its size', '4\r\nhello\r\n0\r\n\r\n'],
    ['bad_chunk', 'a lone LF behind the data', '5\r\nhello\n0\r\n\r\n'],
    ['bad_chunk', 'a size beyond 2^52', '10000000000000\r\n'],
    ['bad_chunk', 'a size that wraps round', '10000000000000005\r\nhello'],
    ['chunk_line_too_long', 'an extension without end', `1;${'a'.repeat(5_000)}`],
    ['trailers_too_large', 'trailers without end', `0\r\nX: ${'a'.repeat(9_000)}`],
    ['framing_field_in_trailers', 'Content-Length in a trailer', '0\r\ncontent-LENGTH: 5\r\n\r\n'],
    ['framing_field_in_trailers', 'Content-Length with an underscore', '0\r\ncontent_length: 5\r\n\r\n'],
    ['framing_field_in_trailers', 'Transfer-Encoding in a trailer', '0\r\nTransfer-Encoding: x\r\n\r\n'],
    ['bad_field_name', 'a folded trailer', '0\r\nX: a\r\n b\r\n\r\n'],
    ['bad_field_value', 'a lone LF in a trailer', '0\r\nX: a\nY: b\r\n\r\n'],
    ['bare_line_ending', 'a lone CR in a trailer', '0\r\nX: a\rY: b\r\n\r\n'],
    ['bad_chunk', 'a lone CR at the end', '0\r\n\rX'],
  ])('breaks %s with %s, and nothing after it is taken', (rule, _, text) => {
    const step = Math.ceil(text.length / 100);
    for (let split = 0; split <= text.length; split += step) {
      const found = follow('chunked', 0, text + next, split);
      expect(found).toMatchObject({ rule, done: false });
      expect(found.taken).toBeLessThan(text.length + next.length);
    }
  });
});

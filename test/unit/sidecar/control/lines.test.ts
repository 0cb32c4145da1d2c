import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LineReader } from '../../../../sidecar/control/lines.ts';

function read(...texts: readonly string[]): unknown[] {
  const messages: unknown[] = [];
  const reader = new LineReader((message) => messages.push(message));
  for (const text of texts) reader.push(text);
  return messages;
}

describe('a line reader', () => {
  test('hands out each whole line, wherever the text was cut', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.array(fc.nat()), (values, cuts) => {
        const text = values.map((value) => `${JSON.stringify(value)}\n`).join('');
        const at = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
        const pieces = [0, ...at].map((start, index) => text.slice(start, at[index] ?? text.length));
        expect(JSON.stringify(read(...pieces))).toBe(JSON.stringify(values));
      }),
    );
  });

  test('waits for the end of the last line', () => {
    expect(read('{"a":1}\n{"b"')).toEqual([{ a: 1 }]);
  });

  test('takes empty lines for signs of life', () => {
    expect(read('\n\r\n1\n\n')).toEqual([1]);
  });

  test('refuses what is not JSON', () => {
    expect(() => read('{"a":\n')).toThrow('a line is not JSON');
  });

  test('refuses a line without end', () => {
    const block = 'x'.repeat(8 * 1024 * 1024);
    expect(() => read(block, block, block)).toThrow('a line exceeds');
  });
});

// Framing: however the bytes are cut, the lines are the same.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { linesOf, textOfStream } from '../../../../lib/kube/lines.ts';

async function* stream(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function collect(lines: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

describe('the lines of a stream', () => {
  test('are the same however the bytes are cut, also inside a character', async () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 30 }).map((text) => text.replaceAll('\n', ' '));
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 8 }),
        fc.array(fc.nat(40), { maxLength: 30 }),
        async (lines, cuts) => {
          const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
          const chunks: Uint8Array[] = [];
          let at = 0;
          for (const cut of cuts) {
            chunks.push(bytes.subarray(at, at + cut));
            at += cut;
          }
          chunks.push(bytes.subarray(at));
          expect(await collect(linesOf(stream(chunks), 1_000_000))).toEqual(lines.filter((each) => each !== ''));
        },
      ),
    );
  });

  test('a line over the limit ends the stream, whole or not yet whole', async () => {
    const long = Buffer.from('x'.repeat(11));
    await expect(collect(linesOf(stream([long]), 10))).rejects.toMatchObject({ kind: 'Unavailable' });
    await expect(collect(linesOf(stream([Buffer.from(`${long.toString()}\n`)]), 10))).rejects.toMatchObject({
      kind: 'Unavailable',
    });
    expect(await collect(linesOf(stream([Buffer.from(`${'x'.repeat(10)}\n`)]), 10))).toHaveLength(1);
  });

  test('a stream that ends inside a line is broken', async () => {
    await expect(collect(linesOf(stream([Buffer.from('a\nb')]), 10))).rejects.toMatchObject({ kind: 'Unavailable' });
  });

  test('a reader that has not come back holds the stream', async () => {
    let pulled = 0;
    function* chunks(): Generator<Uint8Array> {
      for (;;) {
        pulled += 1;
        yield Buffer.from('line\n');
      }
    }
    const lines = linesOf(stream(chunks()), 100);
    await lines.next();
    await lines.next();
    expect(pulled).toBe(2);
    await lines.return(undefined);
  });

  test('the text of a stream has a limit, too', async () => {
    expect(await textOfStream(stream([Buffer.from('ä').subarray(0, 1), Buffer.from('ä').subarray(1)]), 10)).toBe('ä');
    await expect(textOfStream(stream([Buffer.from('12345'), Buffer.from('6')]), 5)).rejects.toMatchObject({
      kind: 'Unavailable',
    });
  });
});

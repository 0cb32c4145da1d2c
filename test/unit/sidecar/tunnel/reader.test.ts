// The reader against vectors that stand in a file, for everyone who writes another one, at every split; and against bytes that nobody meant.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeFrame, type Frame } from '../../../../sidecar/tunnel/frame.ts';
import { FrameReader } from '../../../../sidecar/tunnel/reader.ts';
import { runs } from '../../../support/runs.ts';

interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly frames: readonly { readonly type: number; readonly stream: number; readonly payload: string }[];
  readonly violation?: string;
}

const file = new URL('../../../data/tunnel/frames.json', import.meta.url);
const vectors = (JSON.parse(readFileSync(file, 'utf8')) as { readonly vectors: readonly Vector[] }).vectors;

interface Read {
  readonly frames: Vector['frames'];
  readonly violation: string | undefined;
}

/** Reads pieces; DATA that came in parts is put together again. */
function read(pieces: readonly Uint8Array[]): Read {
  const frames: { type: number; stream: number; payload: string }[] = [];
  let violation: string | undefined;
  let open: { stream: number; payload: string } | undefined;
  const reader = new FrameReader({
    data: (stream, bytes) => {
      const hex = Buffer.from(bytes).toString('hex');
      if (open === undefined || open.stream !== stream) {
        const begun = { type: 4, stream, payload: hex };
        frames.push(begun);
        open = begun;
      } else open.payload += hex;
      return true;
    },
    frame: (type, stream, payload) => {
      open = undefined;
      frames.push({ type, stream, payload: Buffer.from(payload).toString('hex') });
      return true;
    },
    violation: (rule) => {
      violation = rule;
    },
  });
  for (const piece of pieces) {
    // What was lent is overwritten as soon as the call returns.
    const lent = new Uint8Array(piece);
    reader.push(lent, true);
    lent.fill(0xee);
  }
  return { frames, violation };
}

describe('vectors', () => {
  test.each(vectors.map((vector) => [vector.name, vector] as const))('%s, at every split', (_, vector) => {
    const bytes = Buffer.from(vector.hex, 'hex');
    const wanted = { frames: vector.frames, violation: vector.violation };
    expect(read([bytes])).toEqual(wanted);
    expect(read(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(wanted);
    for (let at = 1; at < bytes.length; at += 1) {
      expect(read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(wanted);
    }
  });
});

/** Control frames, and DATA of streams that alternate, so that the parts of one can be told from the next. */
const someFrames = fc
  .array(
    fc.record({
      type: fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
      payload: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    }),
    { maxLength: 30 },
  )
  .map((all): readonly Frame[] => all.map((frame, index) => ({ ...frame, stream: index + 1 })));

describe('the reader', () => {
  test('gives the same frames however the bytes are split', () => {
    fc.assert(
      fc.property(someFrames, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (frames, sizes) => {
        const bytes = Buffer.concat(frames.map(encodeFrame));
        const pieces: Uint8Array[] = [];
        for (let at = 0, index = 0; at < bytes.length; index += 1) {
          const size = sizes[index % sizes.length] ?? 1;
          pieces.push(bytes.subarray(at, at + size));
          at += size;
        }
        const wanted = frames.map(({ type, stream, payload }) => ({
          type,
          stream,
          payload: Buffer.from(payload ?? []).toString('hex'),
        }));
        expect(read(pieces)).toEqual({ frames: wanted, violation: undefined });
      }),
      runs(200),
    );
  });

  test('never throws on bytes that nobody meant, and says nothing after a violation', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (pieces) => {
        let said = 0;
        let over = false;
        const hear = (): boolean => {
          expect(over).toBe(false);
          said += 1;
          return true;
        };
        const reader = new FrameReader({
          data: hear,
          frame: hear,
          violation: () => {
            expect(over).toBe(false);
            over = true;
          },
        });
        for (const piece of pieces) reader.push(piece, false);
        expect(said).toBeGreaterThanOrEqual(0);
      }),
      runs(2_000),
    );
  });
});

// Octets that wait: what is held comes out as it went in, whoever lent it, and one octet at a time costs no copy of all the others.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Held } from '../../../../sidecar/http1/held.ts';
import { runs } from '../../../support/runs.ts';

/** What comes, whether it is lent, and how much of all that is there is read then. */
const steps = fc.array(
  fc.record({
    text: fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 3_000 }),
    lent: fc.boolean(),
    part: fc.constantFrom(0, 0, 0, 0.5, 1),
    empties: fc.constantFrom(false, false, false, true),
  }),
  { maxLength: 30 },
);

describe('octets that wait', () => {
  test('come out as they went in; those that were read before are not touched by those that come', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const held = new Held();
        const given: { octets: Buffer; text: string }[] = [];
        let expected = '';
        for (const { text, lent, part, empties } of all) {
          const bytes = Buffer.from(text, 'latin1');
          const piece = held.pieceWith(bytes, lent);
          expect(held.length).toBe(0);
          expect(piece.seen).toBe(expected.length);
          expected += text;
          expect(piece.octets.toString('latin1')).toBe(expected);
          const read = Math.floor(expected.length * part);
          if (!piece.lent) given.push({ octets: piece.octets.subarray(0, read), text: expected.slice(0, read) });
          held.keep(piece, read);
          expected = expected.slice(read);
          expect(held.length).toBe(expected.length);
          if (lent) bytes.fill(0x58);
          if (!empties) continue;
          const octets = held.empty();
          expect(octets.toString('latin1')).toBe(expected);
          given.push({ octets, text: expected });
          expected = '';
        }
        for (const { octets, text } of given) expect(octets.toString('latin1')).toBe(text);
      }),
      runs(300),
    );
  });

  test('lie where they lay while there is room behind them', () => {
    const held = new Held();
    const places = new Set<ArrayBufferLike>();
    for (let count = 1; count <= 32_768; count += 1) {
      const piece = held.pieceWith(Buffer.of(0x61), true);
      places.add(piece.octets.buffer);
      held.keep(piece, 0);
    }
    expect(held.length).toBe(32_768);
    expect(places.size).toBeLessThan(12);
  });
});

// Whatever is sent in whatever pieces: frames that nobody objects to come out octet by octet as they went in, both ways; and nothing that
// anybody makes up brings a gate down or gets more than one GOAWAY out of it.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { flags, frameTypes, preface } from '../../../../sidecar/http2/codes.ts';
import { frame, headersFrames } from '../../../../sidecar/http2/encode.ts';
import { lend } from '../../../support/http1/application.ts';
import { data, good, headers, PlayedGate, ping, reset, settings, settingsAck } from '../../../support/http2/raw.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 });
const block = (stream: number, texts: readonly string[], ends: boolean, cuts: number): Buffer => {
  const whole = headers(stream, texts, ends).subarray(9);
  const first = whole.subarray(0, Math.min(cuts, whole.length));
  const set = ends ? flags.endStream : 0;
  if (first.length === whole.length) return headersFrames(stream, ends, whole);
  return Buffer.concat([
    frame(frameTypes.headers, { stream, flags: set }, first),
    frame(frameTypes.continuation, { stream, flags: flags.endHeaders }, whole.subarray(first.length)),
  ]);
};

/** One exchange on a stream: what the client sends and what the application answers. */
const exchange = fc
  .record({
    bodies: fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 4 }),
    padding: fc.integer({ min: 0, max: 20 }),
    cuts: fc.integer({ min: 1, max: 80 }),
    trailers: fc.boolean(),
    isReset: fc.boolean(),
  })
  .map(({ bodies, padding, cuts, trailers, isReset }) => (stream: number) => {
    const padded = (octets: number): Buffer =>
      frame(
        frameTypes.data,
        { stream, flags: flags.padded },
        Buffer.from([padding, ...Buffer.alloc(octets + padding, 7)]),
      );
    const texts = [':method: POST', ...good.slice(1), `x-stream: ${stream}`];
    const parts = bodies.map((octets) => padded(octets));
    const last = isReset ? reset(stream) : trailers ? headers(stream, ['x-sum: 1']) : data(stream, 3, flags.endStream);
    const asked = [block(stream, texts, false, cuts), ...parts, last];
    const answered = [
      block(stream, [':status: 103', 'link: x'], false, cuts),
      block(stream, [':status: 200', 'x-y: z'], false, cuts),
      ...parts,
      trailers ? headers(stream, ['x-sum: 1']) : data(stream, 0, flags.endStream),
    ];
    return { asked: Buffer.concat(asked), answered: Buffer.concat(isReset ? [] : answered) };
  });

function* pieces(octets: Buffer, lengths: readonly number[]): Generator<string> {
  for (let at = 0, index = 0; at < octets.length; index += 1) {
    const length = lengths[index % lengths.length] ?? 1;
    yield octets.toString('latin1', at, at + length);
    at += length;
  }
}

describe('through a gate of HTTP/2', () => {
  test(
    'frames come out as they went in, however they are split',
    () => {
      fc.assert(
        fc.property(fc.array(exchange, { minLength: 1, maxLength: 5 }), sizes, sizes, (list, up, down) => {
          const played = PlayedGate.opened();
          const made = list.map((make, index) => make(2 * index + 1));
          const asked = Buffer.concat([...made.map((each) => each.asked), ping, settingsAck]);
          for (const piece of pieces(asked, up)) lend(piece, (bytes) => played.gate.write(bytes, true));
          const answered = Buffer.concat([...made.map((each) => each.answered), ping]);
          for (const piece of pieces(answered, down)) played.application.says(piece);
          expect(played.broken).toEqual([]);
          expect(played.application.got).toBe(asked.toString('latin1'));
          expect(played.got.equals(answered)).toBe(true);
          played.gate.reset();
        }),
        runs(300),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'nothing that a client makes up brings it down',
    () => {
      const noise = fc.record({ at: fc.nat(), dirt: fc.uint8Array({ maxLength: 30 }), gone: fc.nat({ max: 20 }) });
      fc.assert(
        fc.property(
          fc.array(exchange, { minLength: 1, maxLength: 3 }),
          fc.array(noise, { maxLength: 4 }),
          sizes,
          (list, noises, up) => {
            const played = new PlayedGate();
            played.says(settings(), settingsAck);
            const made = list.map((make, index) => make(2 * index + 1).asked);
            let octets = Buffer.concat([preface, settings(), ...made]);
            for (const { at, dirt, gone } of noises) {
              const where = preface.length + (at % (octets.length - preface.length));
              octets = Buffer.concat([octets.subarray(0, where), dirt, octets.subarray(where + gone)]);
            }
            for (const piece of pieces(octets, up)) lend(piece, (bytes) => played.gate.write(bytes, true));
            expect(played.came.filter(({ type }) => type === frameTypes.goaway).length).toBeLessThan(2);
            expect(played.told.filter((word) => word === 'ended').length).toBeLessThan(2);
            played.gate.reset();
          },
        ),
        runs(1_000),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'nothing that an application makes up brings it down',
    () => {
      fc.assert(
        fc.property(exchange, fc.uint8Array({ maxLength: 60 }), fc.nat(), sizes, (make, dirt, where, down) => {
          const played = PlayedGate.opened();
          const { asked, answered } = make(1);
          lend(asked.toString('latin1'), (bytes) => played.gate.write(bytes, true));
          const at = where % (answered.length + 1);
          const octets = Buffer.concat([answered.subarray(0, at), dirt, answered.subarray(at)]);
          for (const piece of pieces(octets, down)) played.application.says(piece);
          expect(played.told.filter((word) => word === 'ended').length).toBeLessThan(2);
          played.gate.reset();
        }),
        runs(500),
      );
    },
    runsTimeout(60_000),
  );
});

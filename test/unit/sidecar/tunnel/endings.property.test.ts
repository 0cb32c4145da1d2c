// Streams of one tunnel that end in every way, at random: half-closed, destroyed, reset and aborted by either side, at any moment, over bytes that
// are split anywhere. Who is not told of a loss has lost nothing, nobody sees a byte that was not sent, and no stream pays for another.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { TunnelStream } from '../../../../sidecar/tunnel/stream.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';
import { type Heard, listenTo, settled, tunnelPair } from '../../../support/tunnelpair.ts';

/** What a side does: sends parts, now and then lets others go first, and ends like this; before it reads anything, or while it does. */
const side = fc.record({
  parts: fc.array(fc.integer({ min: 1, max: 90_000 }), { maxLength: 6 }),
  rests: fc.integer({ min: 0, max: 3 }),
  ending: fc.constantFrom('end', 'end', 'end', 'destroy', 'reset', 'abort'),
  /** Does not wait for room: what it sends may wait in its stream when it ends. */
  hasty: fc.boolean(),
  /** Ends only when the other side has ended. */
  patient: fc.boolean(),
  /** Stands still for so many turns before it reads. */
  stalls: fc.integer({ min: 0, max: 20 }),
});
type Side = typeof side extends fc.Arbitrary<infer T> ? T : never;

interface Played {
  readonly sent: Buffer;
  readonly ear: Heard;
  readonly plan: Side;
  /** Told that the other side has sent all that it had. */
  ended: boolean;
}

const bytesOf = (length: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, at) => (at * 7 + seed) & 0xff));

/** Waits in turns of the event loop; what never comes is no matter of time here. */
async function become(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns += 1) {
    if (turns > 20_000) throw new Error('a stream waits for what nobody sends');
    await settled(1);
  }
}

async function play(stream: TunnelStream, plan: Side, seed: number): Promise<Played> {
  const sent = plan.parts.map((length, index) => bytesOf(length, seed + index));
  const ear = listenTo(stream);
  const played: Played = { sent: Buffer.concat(sent), ear, plan, ended: false };
  let closed = false;
  void ear.closed.then(() => {
    closed = true;
  });
  void ear.ended.then(() => {
    played.ended = true;
  });
  if (plan.stalls > 0) {
    stream.pause();
    void settled(plan.stalls).then(() => stream.resume());
  }
  for (const part of sent) {
    const lent = new Uint8Array(part);
    const drained = ear.drained();
    const goesOn = stream.write(lent, true);
    lent.fill(0x55);
    if (!goesOn && !plan.hasty) await become(() => closed || ear.drained() !== drained);
    await settled(plan.rests);
  }
  if (plan.patient) await become(() => closed || played.ended);
  if (plan.ending === 'end') stream.end();
  else if (plan.ending === 'destroy') stream.destroy();
  else if (plan.ending === 'reset') stream.reset('denied');
  else stream.abort('expired');
  return played;
}

/** What holds of what one side has heard, whatever the two did. */
function expectTrue(heard: Played, other: Played, reason: string | undefined): void {
  const bytes = heard.ear.bytes();
  expect(bytes.equals(other.sent.subarray(0, bytes.length))).toBe(true);
  if (heard.ended) expect(bytes.length).toBe(other.sent.length);
  const inOrder = (plan: Side): boolean => plan.ending === 'end';
  if (!inOrder(heard.plan) || !inOrder(other.plan)) return;
  expect({ reason, ended: heard.ended, length: bytes.length }).toEqual({
    reason: undefined,
    ended: true,
    length: other.sent.length,
  });
}

test(
  'streams that end in every way are told of every loss, deliver nothing that was not sent, and leave each other and the tunnel alone',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(side, side), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 8 }),
        async (plans, pieces) => {
          let turn = 0;
          // Pieces of a few bytes all the way would take minutes for what is large.
          const split = (length: number): number => Math.max(pieces[turn++ % pieces.length] ?? 1, length >> 4);
          const pair = tunnelPair({ split, highWater: 20_000 });
          const all = await Promise.all(
            plans.map(async ([up, down], index) => {
              // Two who wait for each other's end would wait for ever.
              const patient = down.patient && !up.patient;
              const { stream: near } = await pair.open();
              const far = pair.taken.find(({ id }) => id === near.id);
              if (far === undefined) throw new Error('nothing was opened');
              const [here, there] = await Promise.all([
                play(near, up, index),
                play(far, { ...down, patient }, index + 100),
              ]);
              return { here, there, reasons: await Promise.all([here.ear.closed, there.ear.closed]) };
            }),
          );
          await settled();
          for (const { here, there, reasons } of all) {
            expectTrue(here, there, reasons[0]);
            expectTrue(there, here, reasons[1]);
          }
          expect([pair.dialling.streams, pair.accepting.streams]).toEqual([0, 0]);
          expect([pair.dialling.held, pair.accepting.held]).toEqual([0, 0]);
          expect(pair.ends).toEqual({ dialling: undefined, accepting: undefined });
        },
      ),
      runs(30),
    );
  },
  runsTimeout(120_000),
);

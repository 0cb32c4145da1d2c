// Large blocks in tunnels: they leave from where they were read, others take the way of copies, and nobody waits longer for it.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { memoryWithRoom, withRoom } from '../../../../sidecar/relay/headroom.ts';
import { BLOCK_BYTES, DATA_BYTES, HEADER_BYTES } from '../../../../sidecar/tunnel/frame.ts';
import type { TunnelStream } from '../../../../sidecar/tunnel/stream.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';
import { listenTo, settled, type TunnelPair, tunnelPair } from '../../../support/tunnelpair.ts';

/** What the dialling side handed to its connection: lengths, and whether it was the reader's own memory. */
function watch(pair: TunnelPair, memory: Uint8Array): { readonly length: number; readonly uncopied: boolean }[] {
  const [half] = pair.halves;
  const write = half.write.bind(half);
  const seen: { length: number; uncopied: boolean }[] = [];
  half.write = (bytes, lent) => {
    seen.push({ length: bytes.length, uncopied: bytes.buffer === memory.buffer });
    return write(bytes, lent);
  };
  return seen;
}

/** Puts bytes where a plain socket would have read them, gives them to a stream, and takes the memory back. */
function lend(memory: Uint8Array, stream: TunnelStream, bytes: Uint8Array): boolean {
  memory.set(bytes);
  const more = stream.write(memory.subarray(0, bytes.length), true);
  new Uint8Array(memory.buffer).fill(0x55);
  return more;
}

async function open(pair: TunnelPair): Promise<{ readonly near: TunnelStream; readonly far: TunnelStream }> {
  const { stream: near } = await pair.open();
  const far = pair.taken.find(({ id }) => id === near.id);
  if (far === undefined) throw new Error('nothing was opened');
  await settled();
  return { near, far };
}

const pattern = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff);

describe('room in front of what was read', () => {
  test('is given only where the memory has it', () => {
    const memory = memoryWithRoom(100);
    expect(withRoom(memory.subarray(0, 10), 8)).toHaveLength(18);
    expect(withRoom(memory.subarray(1, 10), 8)).toBeUndefined();
    expect(withRoom(new Uint8Array(108).subarray(8), 8)).toBeUndefined();
  });
});

describe('a large block', () => {
  test('leaves at once, as one frame in the memory that it was read into, and its source goes on when it has left', async () => {
    const pair = tunnelPair({ highWater: 30_000 });
    const { near, far } = await open(pair);
    const [nearEar, farEar] = [listenTo(near), listenTo(far)];
    const memory = memoryWithRoom(BLOCK_BYTES);
    const seen = watch(pair, memory);
    const bytes = pattern(BLOCK_BYTES, 1);
    expect(lend(memory, near, bytes)).toBe(false);
    expect(seen).toEqual([{ length: HEADER_BYTES + BLOCK_BYTES, uncopied: true }]);
    expect(nearEar.drained()).toBe(0);
    await settled();
    expect(nearEar.drained()).toBe(1);
    expect(farEar.bytes().equals(bytes)).toBe(true);
    expect(pair.dialling.held).toBe(0);
  });

  test.each([
    ['behind a frame of the same turn', (near: TunnelStream) => void near.write(Uint8Array.of(1, 2, 3), true), 3],
    ['that is smaller than it pays', () => undefined, 0],
  ])('%s is copied, and comes out behind what was before it', async (_name, before, count) => {
    const pair = tunnelPair();
    const { near, far } = await open(pair);
    listenTo(near);
    const farEar = listenTo(far);
    const memory = memoryWithRoom(BLOCK_BYTES);
    const seen = watch(pair, memory);
    before(near);
    const bytes = pattern(count === 0 ? 20_000 : 50_000, 2);
    lend(memory, near, bytes);
    await settled();
    expect(seen.some(({ uncopied }) => uncopied)).toBe(false);
    expect(farEar.bytes().subarray(count).equals(bytes)).toBe(true);
  });

  test('that is longer than what was granted waits for credit, and nothing of it is lost', async () => {
    const pair = tunnelPair();
    const { near, far } = await open(pair);
    const [nearEar, farEar] = [listenTo(near), listenTo(far)];
    const memory = memoryWithRoom(BLOCK_BYTES);
    const blocks = Array.from({ length: 5 }, (_, index) => pattern(BLOCK_BYTES, index));
    far.pause();
    for (const block of blocks) {
      lend(memory, near, block);
      await settled();
    }
    // Four blocks are within a window; the rest of the fifth waits here.
    const drained = nearEar.drained();
    expect(near.queued).toBeGreaterThan(DATA_BYTES);
    far.resume();
    await settled();
    expect([near.queued, nearEar.drained() > drained]).toEqual([0, true]);
    expect(farEar.bytes().equals(Buffer.concat(blocks))).toBe(true);
  });

  test('makes nothing small wait for more than one of its kind', async () => {
    const pair = tunnelPair({ highWater: 30_000 });
    const memory = memoryWithRoom(BLOCK_BYTES);
    const bulk = await Promise.all([0, 1, 2].map(() => open(pair)));
    const small = await open(pair);
    for (const { near, far } of bulk) {
      far.start({ data: () => undefined, ended: () => undefined, drained: () => undefined, closed: () => undefined });
      const block = pattern(BLOCK_BYTES, near.id);
      const feed = (): void => void lend(memory, near, block);
      near.start({
        data: () => undefined,
        ended: () => undefined,
        drained: () => setImmediate(feed),
        closed: () => undefined,
      });
      feed();
    }
    listenTo(small.near);
    const ear = listenTo(small.far);
    const seen = watch(pair, memory);
    small.near.write(Uint8Array.of(7), true);
    while (ear.bytes().length === 0) await settled(1);
    // What was under way, and what of the three was copied because it came before anybody knew.
    expect(seen.filter(({ length }) => length > DATA_BYTES).length).toBeLessThanOrEqual(4);
    for (const { near } of bulk) near.reset();
    await settled();
    expect(pair.dialling.held).toBe(0);
  });
  test('leaves no source behind, however many come again at once', async () => {
    const pair = tunnelPair({ highWater: 30_000 });
    const memory = memoryWithRoom(BLOCK_BYTES);
    const sources = await Promise.all(Array.from({ length: 40 }, () => open(pair)));
    const ears = sources.map(({ near, far }) => {
      const ear = listenTo(far);
      let left = 6;
      const feed = (): void => {
        if (left === 0) return near.end();
        left -= 1;
        if (lend(memory, near, pattern(40_000, near.id))) feed();
      };
      const nothing = (): void => undefined;
      near.start({ data: nothing, ended: nothing, drained: feed, closed: nothing });
      feed();
      return ear;
    });
    await Promise.all(ears.map((ear) => ear.ended));
    expect(ears.map((ear) => ear.bytes().length)).toEqual(ears.map(() => 240_000));
    expect(pair.dialling.held).toBe(0);
  });
});

test(
  'what is lent to streams comes out as it was, however large, and whatever stands in its way',
  async () => {
    const parts = fc.array(fc.integer({ min: 1, max: BLOCK_BYTES }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(parts, { minLength: 1, maxLength: 3 }),
        fc.array(fc.integer({ min: 500, max: 70_000 }), { minLength: 1, maxLength: 8 }),
        fc.constantFrom(1, 20_000, 65_536),
        async (streams, pieces, highWater) => {
          let turn = 0;
          const pair = tunnelPair({ split: () => pieces[turn++ % pieces.length] ?? 1, highWater });
          const memory = memoryWithRoom(BLOCK_BYTES);
          await Promise.all(
            streams.map(async (lengths, stream) => {
              const { near, far } = await open(pair);
              const [nearEar, farEar] = [listenTo(near), listenTo(far)];
              const blocks = lengths.map((length, index) => pattern(length, stream * 100 + index));
              for (const block of blocks) {
                const drained = nearEar.drained();
                const more = lend(memory, near, block);
                if (!more) while (nearEar.drained() === drained) await settled(1);
              }
              near.end();
              far.end();
              await farEar.ended;
              expect(farEar.bytes().equals(Buffer.concat(blocks))).toBe(true);
            }),
          );
          await settled();
          expect([pair.dialling.streams, pair.accepting.streams, pair.dialling.held]).toEqual([0, 0, 0]);
        },
      ),
      runs(20),
    );
  },
  runsTimeout(60_000),
);

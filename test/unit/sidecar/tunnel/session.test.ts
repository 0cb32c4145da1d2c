// Two sessions over a link in memory: what streams are given comes out, whatever is split where, and nothing stays behind.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_STREAM, WINDOW_BYTES } from '../../../../sidecar/tunnel/frame.ts';
import type { TunnelStream } from '../../../../sidecar/tunnel/stream.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';
import { anOpening, type Heard, listenTo, settled, type TunnelPair, tunnelPair } from '../../../support/tunnelpair.ts';

interface Both {
  readonly pair: TunnelPair;
  readonly near: TunnelStream;
  readonly far: TunnelStream;
}

async function opened(pair: TunnelPair = tunnelPair()): Promise<Both> {
  const { stream } = await pair.open();
  const far = pair.taken.find(({ id }) => id === stream.id);
  if (far === undefined) throw new Error('nothing was opened');
  return { pair, near: stream, far };
}

/** Nothing waits and no stream is left, on either side. */
async function isClean({ dialling, accepting }: TunnelPair): Promise<void> {
  await settled();
  expect([dialling.streams, accepting.streams, dialling.held, accepting.held]).toEqual([0, 0, 0, 0]);
}

/** Gives a stream all of it as a relay would: it stops when it is told to. */
function feed(stream: TunnelStream, heard: Heard, parts: readonly Uint8Array[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let next = 0;
  let waitsSince = -1;
  const go = (): void => {
    if (waitsSince >= 0 && heard.drained() === waitsSince) return void setImmediate(go);
    waitsSince = -1;
    const part = parts[next];
    if (part === undefined) {
      stream.end();
      return resolve();
    }
    next += 1;
    const lent = new Uint8Array(part);
    if (!stream.write(lent, true)) waitsSince = heard.drained();
    lent.fill(0x55);
    setImmediate(go);
    return undefined;
  };
  go();
  return promise;
}

describe('a stream', () => {
  test('is opened with the facts of its connection, carries bytes both ways and ends in halves', async () => {
    const { pair, near, far } = await opened();
    expect(pair.openings).toEqual([anOpening]);
    const [nearEar, farEar] = [listenTo(near), listenTo(far)];
    near.write(Buffer.from('question'), true);
    near.end();
    await farEar.ended;
    expect(String(farEar.bytes())).toBe('question');
    far.write(Buffer.from('answer'), true);
    far.end();
    expect(await nearEar.closed).toBeUndefined();
    expect(await farEar.closed).toBeUndefined();
    expect(String(nearEar.bytes())).toBe('answer');
    await isClean(pair);
  });

  test(
    'delivers exactly what it was given, in both directions, however it is split',
    async () => {
      const parts = fc.array(fc.uint8Array({ minLength: 1, maxLength: 100_000, size: 'max' }), { maxLength: 5 });
      const sizes = fc.array(fc.integer({ min: 2_000, max: 70_000 }), { minLength: 1, maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(parts, parts), { minLength: 1, maxLength: 4 }),
          sizes,
          async (streams, pieces) => {
            let turn = 0;
            const split = (): number => pieces[turn++ % pieces.length] ?? 1;
            const pair = tunnelPair({ split, highWater: 20_000 });
            const all = await Promise.all(
              streams.map(async ([up, down]) => {
                const { stream } = await pair.open();
                const far = pair.taken.find(({ id }) => id === stream.id);
                if (far === undefined) throw new Error('nothing was opened');
                return { up, down, near: stream, far, nearEar: listenTo(stream), farEar: listenTo(far) };
              }),
            );
            await Promise.all(
              all.flatMap(({ near, far, nearEar, farEar, up, down }) => [
                feed(near, nearEar, up),
                feed(far, farEar, down),
                nearEar.closed,
                farEar.closed,
              ]),
            );
            for (const { up, down, nearEar, farEar } of all) {
              expect(farEar.bytes().equals(Buffer.concat(up))).toBe(true);
              expect(nearEar.bytes().equals(Buffer.concat(down))).toBe(true);
            }
            await isClean(pair);
          },
        ),
        runs(12),
      );
    },
    runsTimeout(240_000),
  );

  test('holds no more than a window for a reader that does not read, and goes on where it was', async () => {
    const { pair, near, far } = await opened();
    const [nearEar, farEar] = [listenTo(near), listenTo(far)];
    far.pause();
    const block = new Uint8Array(50_000).fill(7);
    let given = 0;
    while (given < 2_000_000) {
      const more = near.write(block, false);
      given += block.length;
      await settled(3);
      if (!more) break;
    }
    await settled();
    expect(farEar.bytes().length).toBe(0);
    expect(pair.accepting.held).toBe(WINDOW_BYTES);
    expect(given).toBeLessThanOrEqual(WINDOW_BYTES + 2 * block.length);
    expect(nearEar.drained()).toBe(0);
    far.resume();
    await settled();
    expect(nearEar.drained()).toBe(1);
    expect(farEar.bytes().length).toBe(given);
    near.reset();
    expect(await farEar.closed).toBe('reset');
    await isClean(pair);
  });

  test('that is reset tells its peer why, and only itself is gone', async () => {
    const pair = tunnelPair();
    const first = await opened(pair);
    const second = await opened(pair);
    const [near, far, other] = [listenTo(first.near), listenTo(first.far), listenTo(second.far)];
    first.near.reset('revoked');
    expect(await near.closed).toBe('reset');
    expect(await far.closed).toBe('revoked');
    second.near.write(Buffer.from('still here'), true);
    await settled();
    expect(String(other.bytes())).toBe('still here');
    expect(pair.accepting.streams).toBe(1);
  });

  test('that is aborted sends first what it was given', async () => {
    const { near, far } = await opened(tunnelPair({ highWater: 1_000 }));
    const [, farEar] = [listenTo(near), listenTo(far)];
    const bytes = new Uint8Array(200_000).fill(3);
    near.write(bytes, false);
    near.abort('expired');
    expect(await farEar.closed).toBe('expired');
    expect(farEar.bytes().length).toBe(bytes.length);
  });

  test('that is destroyed ends in order, and what its peer sends after that is answered with a reset', async () => {
    const { pair, near, far } = await opened();
    const [nearEar, farEar] = [listenTo(near), listenTo(far)];
    near.write(Buffer.from('last words'), true);
    near.destroy();
    await farEar.ended;
    expect(await nearEar.closed).toBeUndefined();
    expect(String(farEar.bytes())).toBe('last words');
    expect(pair.dialling.streams).toBe(1);
    far.write(Buffer.from('too late'), true);
    expect(await farEar.closed).toBe('reset');
    await isClean(pair);
  });

  test('that is destroyed with much unread has a writer who waits for credit learn of it', async () => {
    const { pair, near, far } = await opened();
    const [nearEar, farEar] = [listenTo(near), listenTo(far)];
    near.pause();
    expect(far.write(new Uint8Array(2 * WINDOW_BYTES), false)).toBe(false);
    await settled();
    expect(pair.dialling.held).toBe(WINDOW_BYTES);
    near.destroy();
    expect(await nearEar.closed).toBeUndefined();
    expect(await farEar.closed).toBe('reset');
    await isClean(pair);
  });

  test('that was lost before anybody listened says so to whoever does', async () => {
    const { near, far } = await opened();
    far.reset('denied');
    await settled();
    expect(await listenTo(near).closed).toBe('denied');
  });

  test('gives what came before anybody listened, end included', async () => {
    const { near, far } = await opened();
    far.write(Buffer.from('5.5.5 greeting'), true);
    far.end();
    await settled();
    const ear = listenTo(near);
    await ear.ended;
    expect(String(ear.bytes())).toBe('5.5.5 greeting');
  });
});

describe('an OPEN', () => {
  test.each(['denied', 'overload', 'upstream_unreachable', 'revoked'] as const)(
    'is refused with %s',
    async (reason) => {
      const pair = tunnelPair({ opened: (stream, _, session) => session.refuse(stream, reason) });
      expect((await pair.open()).answer).toEqual({ kind: 'refused', reason });
      await isClean(pair);
    },
  );

  test('is sent elsewhere by a side that wants it in another tunnel', async () => {
    const pair = tunnelPair({ opened: (stream, _, session) => session.refuse(stream, 'elsewhere') });
    expect((await pair.open()).answer).toEqual({ kind: 'elsewhere' });
  });

  test('is refused with overload beyond the cap, and taken again when a stream has gone', async () => {
    const pair = tunnelPair({ maxStreams: 2 });
    const { stream } = await pair.open();
    await pair.open();
    expect(pair.dialling.isFull).toBe(true);
    expect((await pair.open()).answer).toEqual({ kind: 'refused', reason: 'overload' });
    stream.reset();
    await settled();
    expect((await pair.open()).answer).toEqual({ kind: 'accepted' });
  });

  test('that its own side gives up is no stream any more when the answer comes', async () => {
    const waiting: (() => void)[] = [];
    const pair = tunnelPair({ opened: (stream, _, session) => void waiting.push(() => session.accept(stream)) });
    const stream = pair.dialling.open(anOpening, () => undefined);
    await settled();
    stream.reset();
    await settled();
    for (const accept of waiting) accept();
    await isClean(pair);
    expect(pair.ends).toEqual({ dialling: undefined, accepting: undefined });
  });
});

describe('numbers', () => {
  test('run out: the tunnel takes no more streams, the last one works, and with it the tunnel ends', async () => {
    const pair = tunnelPair({ firstStream: MAX_STREAM });
    expect(pair.dialling.isUsable).toBe(true);
    const { stream, answer } = await pair.open();
    expect([stream.id, answer]).toEqual([MAX_STREAM, { kind: 'accepted' }]);
    expect([pair.dialling.isUsable, pair.dialling.isRetired, pair.ends.dialling]).toEqual([false, true, undefined]);
    for (const end of [stream, ...pair.taken]) {
      listenTo(end);
      end.end();
    }
    await settled();
    const ended = { cause: 'closed', streams: 0 };
    expect(pair.ends).toEqual({ dialling: ended, accepting: ended });
  });
});

describe('turns', () => {
  test('a few bytes do not wait for the end of many', async () => {
    const pair = tunnelPair({ highWater: 1, split: () => 16_384 });
    const bulk = await opened(pair);
    const small = await opened(pair);
    const [, bulkEar] = [listenTo(bulk.near), listenTo(bulk.far)];
    const [, smallEar] = [listenTo(small.near), listenTo(small.far)];
    // All that one window lets through is on its way or waits in the stream.
    bulk.near.write(new Uint8Array(WINDOW_BYTES), false);
    small.near.write(Buffer.from('ping'), true);
    while (smallEar.bytes().length === 0) await settled(1);
    expect(bulkEar.bytes().length).toBeLessThanOrEqual(WINDOW_BYTES / 2);
  });

  test('go round: streams with as much to send are done at about the same time', async () => {
    const pair = tunnelPair({ highWater: 1, split: () => 16_384 });
    const all = await Promise.all(Array.from({ length: 5 }, () => opened(pair)));
    const ears = all.map(({ near, far }) => {
      listenTo(near);
      return listenTo(far);
    });
    for (const { near } of all) near.write(new Uint8Array(WINDOW_BYTES), false);
    while (!ears.some((ear) => ear.bytes().length === WINDOW_BYTES)) await settled(1);
    for (const ear of ears) expect(ear.bytes().length).toBeGreaterThan(WINDOW_BYTES / 2);
  });
});

// Ten thousand streams in one tunnel: what waits is bounded while they stand, and nothing of them can be reached when they are gone.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from '@jest/globals';
import { WINDOW_BYTES } from '../../../../sidecar/tunnel/frame.ts';
import { listenTo, settled, type TunnelPair, tunnelPair } from '../../../support/tunnelpair.ts';

const COUNT = 10_000;

/** Node gives the collector out at any time, not only with a flag at the start. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** Opens streams, lets some stall with a full window, ends them in different ways; what is left of them are weak references. */
async function live(pair: TunnelPair): Promise<WeakRef<object>[]> {
  const all = await Promise.all(Array.from({ length: COUNT }, () => pair.open()));
  expect([pair.dialling.streams, pair.accepting.streams]).toEqual([COUNT, COUNT]);
  expect([pair.dialling.isFull, pair.accepting.held]).toEqual([true, 0]);
  const far = pair.taken.splice(0);
  const closed = [...all.map(({ stream }) => stream), ...far].map((stream) => listenTo(stream).closed);
  const stalled = far.slice(0, 20);
  for (const stream of stalled) stream.pause();
  const block = new Uint8Array(WINDOW_BYTES * 2);
  for (const { stream } of all.slice(0, 20)) stream.write(block, false);
  for (const { stream } of all.slice(20)) stream.write(Buffer.from('x'), false);
  await settled(200);
  expect(pair.accepting.held).toBe(20 * WINDOW_BYTES);
  expect(pair.dialling.held).toBeLessThanOrEqual(20 * WINDOW_BYTES + 65_536);
  all.forEach(({ stream }, index) => {
    if (index % 3 === 0) stream.reset('denied');
    else if (index % 3 === 1) stream.destroy();
    else stream.end();
  });
  for (const stream of stalled) stream.reset();
  for (const stream of far) stream.end();
  await Promise.all(closed);
  return [...all.map(({ stream }) => stream), ...far].map((stream) => new WeakRef(stream));
}

test('ten thousand streams leave nothing behind', async () => {
  const gc = collector();
  const pair = tunnelPair({ maxStreams: COUNT });
  const gone = await live(pair);
  await settled();
  expect([pair.dialling.streams, pair.accepting.streams, pair.dialling.held, pair.accepting.held]).toEqual([
    0, 0, 0, 0,
  ]);
  expect([pair.dialling.isUsable, pair.ends]).toEqual([true, { dialling: undefined, accepting: undefined }]);
  // The collector may need more than one look, and a few may be kept alive by the engine's own registers.
  let left = gone.length;
  for (let looks = 0; looks < 20 && left > 100; looks += 1) {
    await settled(5);
    gc();
    left = gone.filter((reference) => reference.deref() !== undefined).length;
  }
  expect(left).toBeLessThanOrEqual(100);
}, 60_000);

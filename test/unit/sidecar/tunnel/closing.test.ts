// The orderly end of a tunnel: streams that have got all that was for them outlive it, and the connection stays until both sides have read
// what was in it.
import { describe, expect, test } from '@jest/globals';
import type { TunnelStream } from '../../../../sidecar/tunnel/stream.ts';
import { listenTo, settled, type TunnelPair, tunnelPair } from '../../../support/tunnelpair.ts';

async function opened(): Promise<{
  readonly pair: TunnelPair;
  readonly near: TunnelStream;
  readonly far: TunnelStream;
}> {
  const pair = tunnelPair();
  const { stream: near } = await pair.open();
  const [far] = pair.taken;
  if (far === undefined) throw new Error('nothing was opened');
  return { pair, near, far };
}

const answer = Buffer.alloc(50_000, 'all of the answer. ');

describe('a tunnel that its accepting side closes in order', () => {
  test('leaves a stream that was ended both ways to a reader that is late', async () => {
    const { pair, near, far } = await opened();
    const [here, there] = [listenTo(near), listenTo(far)];
    near.pause();
    near.end();
    await there.ended;
    far.write(answer, false);
    far.end();
    await settled();
    pair.accepting.retire();
    pair.accepting.close();
    await settled();
    expect(pair.ends.dialling).toEqual({ cause: 'closed', streams: 0 });
    expect([pair.dialling.isGone, pair.accepting.isGone]).toEqual([true, true]);
    near.resume();
    expect(await here.closed).toBeUndefined();
    expect(here.bytes().equals(answer)).toBe(true);
    expect([pair.dialling.streams, pair.dialling.held]).toEqual([0, 0]);
  });

  test('leaves the rest of what was sent and ended to its reader, who may then end his own direction', async () => {
    const { pair, near, far } = await opened();
    const here = listenTo(near);
    listenTo(far);
    near.pause();
    far.write(answer, false);
    far.destroy();
    await settled();
    pair.accepting.retire();
    pair.accepting.close();
    await settled();
    near.resume();
    await here.ended;
    expect(here.bytes().equals(answer)).toBe(true);
    near.end();
    expect(await here.closed).toBeUndefined();
  });

  test('tells a writer whose bytes can reach nobody any more', async () => {
    const { pair, near, far } = await opened();
    const here = listenTo(near);
    listenTo(far);
    far.destroy();
    await here.ended;
    pair.accepting.retire();
    pair.accepting.close();
    await settled();
    near.write(answer, false);
    expect(await here.closed).toBe('reset');
  });

  test('resets a stream that still expected something', async () => {
    const { pair, near, far } = await opened();
    const here = listenTo(near);
    listenTo(far);
    pair.accepting.retire();
    pair.accepting.close();
    expect(await here.closed).toBe('reset');
    expect(pair.ends.dialling).toEqual({ cause: 'closed', reason: 'reset', streams: 1 });
  });
});

test('a tunnel that is lost without a word takes all of its streams with it', async () => {
  const { pair, near, far } = await opened();
  const here = listenTo(near);
  listenTo(far);
  near.pause();
  near.end();
  far.write(answer, false);
  far.end();
  await settled();
  pair.halves[1].reset();
  expect(await here.closed).toBe('reset');
  expect(pair.ends.dialling).toEqual({ cause: 'lost', reason: 'reset', streams: 1 });
});

test('a connection that was closed in order is read until its peer has closed it, too', async () => {
  const { pair } = await opened();
  // The peer is busy with something else.
  pair.halves[0].pause();
  pair.accepting.close();
  await settled();
  expect(pair.accepting.isGone).toBe(false);
  pair.halves[0].resume();
  await settled();
  expect(pair.accepting.isGone).toBe(true);
});

import { describe, expect, test } from '@jest/globals';
import { anOpening, listenTo, settled, tunnelPair } from '../../../support/tunnelpair.ts';

describe('a stream', () => {
  test('is opened with the facts of its connection, carries bytes both ways and ends in halves', async () => {
    const pair = tunnelPair();
    const { stream, answer } = await pair.open();
    expect(answer).toEqual({ kind: 'accepted' });
    expect(pair.openings).toEqual([anOpening]);
    const near = listenTo(stream);
    const [taken] = pair.taken;
    if (taken === undefined) throw new Error('nothing was opened');
    const far = listenTo(taken);
    stream.write(Buffer.from('question'), true);
    stream.end();
    await far.ended;
    expect(String(far.bytes())).toBe('question');
    taken.write(Buffer.from('answer'), true);
    taken.end();
    expect(await near.closed).toBeUndefined();
    expect(await far.closed).toBeUndefined();
    expect(String(near.bytes())).toBe('answer');
    await settled();
    expect([pair.dialling.streams, pair.accepting.streams]).toEqual([0, 0]);
  });
});

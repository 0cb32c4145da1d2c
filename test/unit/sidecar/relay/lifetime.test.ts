import { describe, expect, test } from '@jest/globals';
import { deadlineOf, type Look, lifeVerdict } from '../../../../sidecar/relay/lifetime.ts';
import type { Traffic } from '../../../../sidecar/relay/relay.ts';

const hour = 3_600_000;
const traffic: Traffic = { bytesIn: 1, bytesOut: 1, last: 'out', run: 1, isUnderWay: false, isAnswered: false };
const base: Look = {
  nowMs: 1_000_000,
  changedMs: 1_000_000,
  quietMs: 0,
  traffic,
  idleTimeoutMs: hour,
  deadline: { atMs: 9e9, quietFromMs: 8e9, reason: 'expired' },
};

/** Silent for a second, when quiet moments are looked for. */
const nearlyOver: Partial<Look> = {
  changedMs: 999_000,
  quietMs: 1_000,
  nowMs: 1_000_000,
  deadline: { atMs: 1_001_000, quietFromMs: 996_000, reason: 'expired' },
};

/** At the beginning of the last minute. */
const aWindow: Partial<Look> = {
  deadline: { atMs: 1_060_000, quietFromMs: 1_000_000, reason: 'expired' },
};

describe('lifeVerdict', () => {
  test.each<[string, Partial<Look>, object]>([
    ['goes on while nothing speaks against it', {}, { act: 'keep' }],
    [
      'ends when nothing was sent for the idle timeout',
      { changedMs: 1_000_000 - hour },
      { act: 'close', ending: 'idle' },
    ],
    [
      'is ended at a quiet moment near the end of its time',
      { changedMs: 999_000, quietMs: 1_000, deadline: { atMs: 1_001_000, quietFromMs: 996_000, reason: 'expired' } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is left alone near the end of its time while bytes flow',
      { deadline: { atMs: 1_001_000, quietFromMs: 996_000, reason: 'expired' } },
      { act: 'keep' },
    ],
    [
      'is left alone near the end of its time while an answer is awaited',
      {
        changedMs: 999_000,
        quietMs: 1_000,
        traffic: { ...traffic, bytesOut: 0, last: 'in' },
        deadline: { atMs: 1_001_000, quietFromMs: 996_000, reason: 'expired' },
      },
      { act: 'keep' },
    ],
    [
      'is left alone near the end of its time while a request is unanswered, however quiet it is',
      { ...nearlyOver, requests: 'busy' },
      { act: 'keep' },
    ],
    [
      'is ended as soon as all that was asked is answered and no more will come, whoever spoke last and whenever',
      {
        traffic: { ...traffic, last: 'in' },
        deadline: { atMs: 1_100_000, quietFromMs: 1_050_000, reason: 'expired' },
        requests: 'over',
      },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is left alone when all is answered while octets wait for a reader',
      { ...nearlyOver, traffic: { ...traffic, isUnderWay: true }, requests: 'over' },
      { act: 'keep' },
    ],
    [
      'is cut when a certificate has expired, whatever goes on',
      { deadline: { atMs: 1_000_000, quietFromMs: 0, reason: 'own_certificate_expired' } },
      { act: 'cut', reason: 'own_certificate_expired' },
    ],
    [
      'is cut at its maximum age in the middle of a transfer, so that it is not taken for complete',
      { deadline: { atMs: 1_000_000, quietFromMs: 0, reason: undefined } },
      { act: 'cut', reason: 'reset' },
    ],
    [
      'is closed at its maximum age when quiet',
      { changedMs: 999_000, quietMs: 1_000, deadline: { atMs: 1_000_000, quietFromMs: 0, reason: undefined } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'that never carried a byte counts as quiet',
      {
        changedMs: 999_000,
        quietMs: 1_000,
        traffic: { ...traffic, bytesIn: 0, bytesOut: 0, last: undefined, run: 0 },
        deadline: { atMs: 1_001_000, quietFromMs: 996_000, reason: 'expired' },
      },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is left alone near the end of its time while bytes wait for a reader, or an answer has no end yet',
      { ...nearlyOver, traffic: { ...traffic, isUnderWay: true } },
      { act: 'keep' },
    ],
    [
      'is left alone near the end of its time in the silence of this process',
      { ...nearlyOver, quietMs: 100 },
      { act: 'keep' },
    ],
    [
      'is left alone for longer after a long run, of which the rest may be late',
      { ...aWindow, nowMs: 1_059_000, changedMs: 1_054_001, quietMs: 4_999, traffic: { ...traffic, run: 65_537 } },
      { act: 'keep' },
    ],
    [
      'is ended after a long run, too, when nothing came for long',
      { ...aWindow, nowMs: 1_059_000, changedMs: 1_054_000, quietMs: 5_000, traffic: { ...traffic, run: 65_537 } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'that has little time for all has little for the rest of a long run',
      { ...nearlyOver, traffic: { ...traffic, run: 65_537 } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is ended by a process that stops 200 ms after a short answer, however much time there is',
      { changedMs: 999_800, quietMs: 200, drainMs: 25_000 },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is left alone by a process that stops while the rest of a long answer may be late',
      { changedMs: 995_001, quietMs: 4_999, drainMs: 25_000, traffic: { ...traffic, run: 65_537 } },
      { act: 'keep' },
    ],
    [
      'is ended by a process that stops when nothing came after a long answer',
      { changedMs: 995_000, quietMs: 5_000, drainMs: 25_000, traffic: { ...traffic, run: 65_537 } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is ended sooner by a process that has to stop soon',
      { changedMs: 999_000, quietMs: 1_000, drainMs: 5_000, traffic: { ...traffic, run: 65_537 } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'has half of its last minute to be silent for at the beginning of it',
      { ...aWindow, changedMs: 970_001, quietMs: 9_999 },
      { act: 'keep' },
    ],
    [
      'is ended at the beginning of its last minute after half a minute of silence',
      { ...aWindow, changedMs: 970_000, quietMs: 9_999 },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is left alone in a pause of a few seconds in the middle of its last minute',
      { ...aWindow, nowMs: 1_030_000, changedMs: 1_022_501, quietMs: 7_499 },
      { act: 'keep' },
    ],
    [
      'is ended in its last seconds in any pause of 200 ms',
      { ...aWindow, nowMs: 1_056_000, changedMs: 1_055_800, quietMs: 200 },
      { act: 'close', ending: 'aged' },
    ],
    [
      'whose end was asked for is left alone while the application may have something to say',
      { isLeaving: true, changedMs: 900_000, quietMs: 4_999, drainMs: 25_000 },
      { act: 'keep' },
    ],
    [
      'whose end was asked for is ended when the application does not answer',
      { isLeaving: true, changedMs: 900_000, quietMs: 5_000, drainMs: 25_000 },
      { act: 'close', ending: 'aged' },
    ],
    [
      'whose end was asked for is ended soon after the application has ended its direction',
      { isLeaving: true, changedMs: 900_000, quietMs: 200, drainMs: 25_000, traffic: { ...traffic, isAnswered: true } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is left alone for longer where the application has ended its direction alone',
      { changedMs: 900_000, quietMs: 4_999, drainMs: 25_000, traffic: { ...traffic, isAnswered: true } },
      { act: 'keep' },
    ],
    [
      'whose end was asked for is ended at its deadline in order, for nobody has anything to say',
      { isLeaving: true, deadline: { atMs: 1_000_000, quietFromMs: 0, reason: 'expired' } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'whose end was asked for is cut at its deadline while more may come',
      {
        isLeaving: true,
        traffic: { ...traffic, run: 65_537 },
        deadline: { atMs: 1_000_000, quietFromMs: 0, reason: 'expired' },
      },
      { act: 'cut', reason: 'expired' },
    ],
    [
      'whose end was asked for has a moment to answer, where all requests are answered',
      { isLeaving: true, quietMs: 199, requests: 'over' },
      { act: 'keep' },
    ],
    [
      'is cut after the idle timeout in the middle of a transfer, so that it is not taken for complete',
      { changedMs: 1_000_000 - hour, traffic: { ...traffic, isUnderWay: true } },
      { act: 'cut', reason: 'reset' },
    ],
  ])('a connection %s', (_name, change, verdict) => {
    expect(lifeVerdict({ ...base, ...change })).toEqual(verdict);
  });
});

describe('deadlineOf', () => {
  const limits = {
    startedMs: 0,
    maxAgeMs: 12 * hour,
    ownNotAfterMs: 24 * hour,
    peerNotAfterMs: 23 * hour,
    opener: true,
  };

  test('is the maximum age when that comes first, and nobody is to blame', () => {
    expect(deadlineOf(limits)).toEqual({
      atMs: 12 * hour,
      reason: undefined,
      quietFromMs: 12 * hour - 60_000,
      retireFromMs: 12 * hour - 120_000,
    });
  });

  test("is the peer's expiry when that comes first", () => {
    expect(deadlineOf({ ...limits, peerNotAfterMs: hour })).toMatchObject({ atMs: hour, reason: 'expired' });
  });

  test('is the own expiry when that comes first', () => {
    expect(deadlineOf({ ...limits, ownNotAfterMs: hour })).toMatchObject({
      atMs: hour,
      reason: 'own_certificate_expired',
    });
  });

  test('looks for quiet moments in the last fifth of a short time, later on the side that was called', () => {
    expect(deadlineOf({ ...limits, ownNotAfterMs: 20_000 }).quietFromMs).toBe(16_000);
    expect(deadlineOf({ ...limits, ownNotAfterMs: 20_000, opener: false }).quietFromMs).toBe(18_000);
  });

  test('does not need certificates', () => {
    const plain = { startedMs: 5, maxAgeMs: 10, ownNotAfterMs: undefined, peerNotAfterMs: undefined, opener: false };
    expect(deadlineOf(plain)).toEqual({ atMs: 15, reason: undefined, quietFromMs: 14, retireFromMs: 11 });
  });
});

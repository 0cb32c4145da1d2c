import { describe, expect, test } from '@jest/globals';
import { deadlineOf, type Look, lifeVerdict } from '../../../../sidecar/relay/lifetime.ts';
import type { Traffic } from '../../../../sidecar/relay/relay.ts';

const hour = 3_600_000;
const traffic: Traffic = { bytesIn: 1, bytesOut: 1, last: 'out', run: 1, isUnderWay: false };
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
  deadline: { atMs: 1_005_000, quietFromMs: 1_000_000, reason: 'expired' },
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
      { changedMs: 999_000, quietMs: 1_000, deadline: { atMs: 1_005_000, quietFromMs: 1_000_000, reason: 'expired' } },
      { act: 'close', ending: 'aged' },
    ],
    [
      'is left alone near the end of its time while bytes flow',
      { deadline: { atMs: 1_005_000, quietFromMs: 1_000_000, reason: 'expired' } },
      { act: 'keep' },
    ],
    [
      'is left alone near the end of its time while an answer is awaited',
      {
        changedMs: 999_000,
        quietMs: 1_000,
        traffic: { ...traffic, bytesOut: 0, last: 'in' },
        deadline: { atMs: 1_005_000, quietFromMs: 1_000_000, reason: 'expired' },
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
        deadline: { atMs: 1_005_000, quietFromMs: 1_000_000, reason: 'expired' },
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
      'is left alone for longer after a long run, which a lost segment can interrupt',
      { ...nearlyOver, traffic: { ...traffic, run: 65_537 } },
      { act: 'keep' },
    ],
    [
      'is ended after a long run, too, when nothing came for long',
      { ...nearlyOver, quietMs: 1_500, traffic: { ...traffic, run: 65_537 } },
      { act: 'close', ending: 'aged' },
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

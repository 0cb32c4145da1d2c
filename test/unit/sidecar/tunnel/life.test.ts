import { describe, expect, test } from '@jest/globals';
import { type Reason, reasonHints } from '../../../../lib/api/reasons.ts';
import { codeOf, reasonOf, ruleOf, rules } from '../../../../sidecar/tunnel/codes.ts';
import {
  DEAD_AFTER_MS,
  PING_AFTER_MS,
  PING_OPENING_MS,
  pulseVerdict,
  SUSPECT_AFTER_MS,
} from '../../../../sidecar/tunnel/life.ts';
import { decodeOpening, encodeOpening } from '../../../../sidecar/tunnel/opening.ts';
import { anOpening, listenTo, settled, tunnelPair } from '../../../support/tunnelpair.ts';

describe('a peer', () => {
  test.each([
    ['is left alone while it is heard', { silentMs: PING_AFTER_MS - 1, waitedMs: undefined, isOpening: false }, 'fine'],
    ['is asked after a while of silence', { silentMs: PING_AFTER_MS, waitedMs: undefined, isOpening: false }, 'ask'],
    [
      'is asked soon while it owes an answer',
      { silentMs: PING_OPENING_MS, waitedMs: undefined, isOpening: true },
      'ask',
    ],
    ['may take its time', { silentMs: PING_AFTER_MS, waitedMs: SUSPECT_AFTER_MS - 1, isOpening: true }, 'waiting'],
    ['is a suspect after that', { silentMs: PING_AFTER_MS, waitedMs: SUSPECT_AFTER_MS, isOpening: false }, 'suspect'],
    ['is dead in the end', { silentMs: 60_000, waitedMs: DEAD_AFTER_MS, isOpening: false }, 'dead'],
  ] as const)('%s', (_, pulse, verdict) => {
    expect(pulseVerdict(pulse)).toBe(verdict);
  });
});

describe('a silent peer', () => {
  const looksOf = (pair: ReturnType<typeof tunnelPair>, clock: { ms: number }, count: number): void => {
    for (let i = 0; i < count; i += 1) {
      clock.ms += 500;
      pair.dialling.look();
    }
  };

  test('gets no new streams, then the tunnel and its streams are given up', async () => {
    const clock = { ms: 0 };
    const pair = tunnelPair({ nowMs: () => clock.ms });
    const { stream } = await pair.open();
    const ear = listenTo(stream);
    for (const half of pair.halves) half.isBlackHole = true;
    const answers: string[] = [];
    pair.dialling.open(anOpening, ({ kind }) => void answers.push(kind));
    looksOf(pair, clock, (PING_OPENING_MS + SUSPECT_AFTER_MS) / 500);
    expect([pair.dialling.isUsable, answers, pair.ends.dialling]).toEqual([false, ['elsewhere'], undefined]);
    looksOf(pair, clock, DEAD_AFTER_MS / 500);
    expect(pair.ends.dialling).toMatchObject({ cause: 'dead', reason: 'reset', streams: 1 });
    expect(await ear.closed).toBe('reset');
    expect([pair.dialling.streams, pair.dialling.held, pair.halves[0].resets]).toEqual([0, 0, 1]);
  });

  test('that is heard again is trusted again', async () => {
    const clock = { ms: 0 };
    const pair = tunnelPair({ nowMs: () => clock.ms });
    await pair.open();
    pair.halves[1].isBlackHole = true;
    looksOf(pair, clock, (PING_AFTER_MS + SUSPECT_AFTER_MS + 500) / 500);
    expect(pair.dialling.isUsable).toBe(false);
    pair.halves[1].isBlackHole = false;
    pair.halves[1].resume();
    await settled();
    expect(pair.dialling.isUsable).toBe(true);
  });

  test('is not blamed for time in which this process stood still', async () => {
    const clock = { ms: 0 };
    const pair = tunnelPair({ nowMs: () => clock.ms });
    await pair.open();
    looksOf(pair, clock, PING_AFTER_MS / 500);
    clock.ms += 600_000;
    pair.dialling.look();
    expect(pair.ends.dialling).toBeUndefined();
  });

  test('is asked when nothing was heard, and answers', async () => {
    const clock = { ms: 0 };
    const pair = tunnelPair({ nowMs: () => clock.ms });
    for (let i = 0; i < 20; i += 1) {
      looksOf(pair, clock, PING_AFTER_MS / 1_000);
      await settled(10);
    }
    expect([pair.dialling.isUsable, pair.ends.dialling]).toEqual([true, undefined]);
  });
});

describe('a tunnel that is retired', () => {
  test.each(['dialling', 'accepting'] as const)(
    'by the %s side lets its streams end and is closed then',
    async (side) => {
      const pair = tunnelPair();
      const { stream } = await pair.open();
      const [taken] = pair.taken;
      if (taken === undefined) throw new Error('nothing was opened');
      const [near, far] = [listenTo(stream), listenTo(taken)];
      pair[side].retire();
      await settled();
      expect([pair.dialling.isRetired, pair.ends.dialling]).toEqual([true, undefined]);
      stream.write(Buffer.from('still'), true);
      stream.end();
      await far.ended;
      taken.end();
      expect([await near.closed, await far.closed, String(far.bytes())]).toEqual([undefined, undefined, 'still']);
      await settled();
      expect(pair.ends.dialling).toEqual({ cause: 'closed', streams: 0 });
      expect(pair.ends.accepting?.reason).toBeUndefined();
    },
  );
});

describe('a tunnel that is cut', () => {
  test('tells the peer why, and so do its streams', async () => {
    const pair = tunnelPair();
    const { stream } = await pair.open();
    const [taken] = pair.taken;
    if (taken === undefined) throw new Error('nothing was opened');
    const [near, far] = [listenTo(stream), listenTo(taken)];
    pair.accepting.cut('revoked');
    expect([await near.closed, await far.closed]).toEqual(['revoked', 'revoked']);
    await settled();
    expect(pair.ends).toEqual({
      accepting: { cause: 'cut', reason: 'revoked', streams: 1 },
      dialling: { cause: 'told', reason: 'revoked', streams: 1 },
    });
  });
});

describe('codes', () => {
  test('every reason has one of its own, below those of rules', () => {
    const all = Object.keys(reasonHints) as Reason[];
    expect(new Set(all.map(codeOf)).size).toBe(all.length);
    for (const reason of all) {
      expect(reasonOf(codeOf(reason))).toBe(reason);
      expect(ruleOf(codeOf(reason))).toBeUndefined();
    }
    for (const [rule, code] of Object.entries(rules)) expect(ruleOf(code)).toBe(rule);
    expect([ruleOf(200), reasonOf(200)]).toEqual(['unknown_rule', 'reset']);
  });
});

describe('an opening', () => {
  test.each(['10.1.2.3', '::', '::1', 'fdab::7', '1:2:3:4:5:6:7:8', 'fe80::1:0:0:2', '::ffff:a01:203'])(
    'carries the address %s',
    (address) => {
      const opening = { ...anOpening, source: { address, port: 65_535 } };
      expect(decodeOpening(encodeOpening(opening))).toEqual(opening);
    },
  );

  test('carries each its own address, whatever the one before had', () => {
    for (const address of [
      '10.0.0.1',
      '10.0.0.2',
      '::1',
      '10.0.0.2',
      '',
      '255.255.255.255',
      '10.0.0.1',
      '0.0.0.0',
      '::2',
      '::1',
    ]) {
      const source = address === '' ? undefined : { address, port: 7 };
      expect(decodeOpening(encodeOpening({ ...anOpening, source }))?.source).toEqual(source);
    }
  });

  test.each(['', 'fe80::1%eth0', 'not an address'])('leaves out "%s"', (address) => {
    const opening = { ...anOpening, source: { address, port: 1 } };
    expect(decodeOpening(encodeOpening(opening))).toEqual({ ...anOpening, source: undefined });
  });
});

// The next revocation list of a CA: when one is due, what is on it, and that its number never goes back.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type CrlInput,
  type CrlState,
  crlTimes,
  type ListedSerial,
  nextCrl,
} from '../../../../operator/revocation/crl/next.ts';
import { crlMap, stateIn } from '../../../../operator/revocation/crl/store.ts';

const now = new Date('2026-06-01T12:00:00.400Z');
const hour = 3_600_000;
const later = (ms: number): Date => new Date(now.getTime() + ms);

const entry = (serial: string, change: Partial<ListedSerial> = {}): ListedSerial => ({
  serial,
  reason: 'keyCompromise',
  revokedAt: now,
  notAfter: later(10 * hour),
  by: 'a',
  ...change,
});

function input(change: Partial<CrlInput> = {}): CrlInput {
  return { last: undefined, wanted: [], standing: new Set(['a']), now, times: crlTimes, ...change };
}

function made(of: Partial<CrlInput> = {}): CrlState {
  const state = nextCrl(input(of));
  if (state === undefined) throw new Error('no list was due');
  return state;
}

const serials = (state: CrlState | undefined): readonly string[] => state?.entries.map(({ serial }) => serial) ?? [];

describe('a list', () => {
  test('is made at once, empty, in whole seconds, good for three times as long as until the next', () => {
    const state = made();
    expect(state).toMatchObject({
      thisUpdate: new Date('2026-06-01T12:00:00Z'),
      nextUpdate: new Date('2026-06-02T12:00:00Z'),
      entries: [],
    });
    expect(crlTimes.lifetimeMs).toBeGreaterThanOrEqual(3 * crlTimes.refreshMs);
  });

  test('is good until something changes or its time comes', () => {
    const last = made();
    expect(nextCrl(input({ last, now: later(hour) }))).toBeUndefined();
    expect(nextCrl(input({ last, now: later(8 * hour) }))).toMatchObject({ number: last.number + 8 * 3_600 });
    expect(serials(nextCrl(input({ last, now: later(hour), wanted: [entry('AB')] })))).toEqual(['AB']);
  });

  test('is made anew when the clock was set back behind it', () => {
    const last = made();
    expect(nextCrl(input({ last, now: later(-hour) }))).toMatchObject({
      number: last.number + 1,
      thisUpdate: new Date('2026-06-01T11:00:00Z'),
    });
  });

  test('keeps an entry until it was on one list that is younger than its certificate, and drops what is lifted at once', () => {
    const first = made({ wanted: [entry('AB'), entry('CD', { by: 'b' })], standing: new Set(['a', 'b']) });
    expect(serials(first)).toEqual(['AB', 'CD']);
    // Lifted: its TLSRevocation is gone.
    const second = nextCrl(input({ last: first, now: later(hour), wanted: [entry('AB')] }));
    expect(serials(second)).toEqual(['AB']);
    // Its certificate has ended, and nobody names it any more: once more, and then no longer.
    const third = nextCrl(input({ last: second, now: later(11 * hour) }));
    expect(serials(third)).toEqual(['AB']);
    const fourth = nextCrl(input({ last: third, now: later(12 * hour) }));
    expect(fourth).toMatchObject({ entries: [] });
  });

  test('keeps the date of a revocation that it knows', () => {
    const first = made({ wanted: [entry('AB')] });
    const next = nextCrl(
      input({ last: first, now: later(9 * hour), wanted: [entry('AB', { revokedAt: later(hour) })] }),
    );
    expect(next?.entries[0]?.revokedAt).toEqual(now);
  });

  test('is remembered in its ConfigMap as it was', () => {
    const state = made({ wanted: [entry('AB', { notAfter: undefined })] });
    const map = crlMap('tabard-system', 'ABCD', Buffer.from('x'), state);
    expect(stateIn(map as unknown as Parameters<typeof stateIn>[0])).toEqual(state);
  });

  test('whose ConfigMap is broken or gone is followed by one with a higher number all the same', () => {
    const last = made();
    expect(made({ now: later(2_000) }).number).toBeGreaterThan(last.number);
    expect(stateIn({ data: { 'state.json': '{' } } as unknown as Parameters<typeof stateIn>[0])).toBeUndefined();
  });
});

test('the number never goes back, whatever changes and whichever way the clock is set', () => {
  const step = fc.record({
    ms: fc.integer({ min: -20 * hour, max: 20 * hour }),
    wanted: fc.uniqueArray(fc.constantFrom('AA', 'BB', 'CC'), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let last: CrlState | undefined;
      let at = now.getTime();
      for (const { ms, wanted } of steps) {
        at += ms;
        const next = nextCrl(input({ last, now: new Date(at), wanted: wanted.map((serial) => entry(serial)) }));
        if (next === undefined) continue;
        expect(next.number).toBeGreaterThan(last?.number ?? 0);
        last = next;
      }
    }),
  );
});

import { describe, expect, test } from '@jest/globals';
import {
  bookedOffenders,
  type Entrance,
  EVERY_MS,
  MOST_WAITING,
  Offenders,
  PAUSE_MS,
  type Pause,
  WITHIN_MS,
} from '../../../sidecar/offenders.ts';
import { TestClock } from '../../support/clock.ts';

function world() {
  const clock = new TestClock();
  const pauses: Pause[] = [];
  let held = 0;
  const offenders = new Offenders(clock, { paused: (pause) => void pauses.push(pause), held: () => void (held += 1) });
  const seen: string[] = [];
  const gone = new Set<string>();
  /** A connection by its name, and what became of it. */
  const comes = (address: string, name: string): void => {
    const entrance = offenders.entrance(address, () => gone.has(name));
    const say = (what: Entrance | 'at once'): void => void seen.push(`${name}: ${what}`);
    if (entrance === undefined) say('at once');
    else void entrance.then(say);
  };
  const flood = (address: string, times = 2): void => {
    for (let count = 0; count < times; count += 1) offenders.offended(address, 'settings_flood');
  };
  return { clock, offenders, pauses, seen, gone, comes, flood, held: () => held };
}

describe('an address', () => {
  test('that has done nothing is not held back', () => {
    const { comes, seen, flood } = world();
    comes('a', 'one');
    flood('b');
    comes('a', 'two');
    expect(seen).toEqual(['one: at once', 'two: at once']);
  });

  test('that is held back may send a tenth at once on a connection, until it is forgiven', async () => {
    const { clock, offenders, flood } = world();
    flood('a', 1);
    expect(offenders.share('a')).toBe(1);
    flood('a', 1);
    expect([offenders.share('a'), offenders.share('b')]).toEqual([0.1, 1]);
    await clock.advance(PAUSE_MS + 1);
    expect(offenders.share('a')).toBe(1);
  });

  test('is not held back for one flood, nor for two that lie apart', async () => {
    const { clock, comes, seen, flood, pauses } = world();
    flood('a', 1);
    comes('a', 'one');
    await clock.advance(WITHIN_MS + 1);
    flood('a', 1);
    comes('a', 'two');
    expect([seen, pauses]).toEqual([['one: at once', 'two: at once'], []]);
  });

  test('that floods twice gets one connection a second, in their order', async () => {
    const { clock, comes, seen, flood, pauses, held } = world();
    flood('a');
    expect(pauses).toEqual([{ address: 'a', flood: 'settings_flood' }]);
    for (const name of ['one', 'two', 'three']) comes('a', name);
    expect([seen, held()]).toEqual([[], 3]);
    await clock.advance(EVERY_MS);
    expect(seen).toEqual(['one: admitted']);
    await clock.advance(EVERY_MS);
    expect(seen).toEqual(['one: admitted', 'two: admitted']);
    await clock.advance(EVERY_MS);
    expect(seen).toHaveLength(3);
    // Nobody has waited for a second: the next need not either.
    await clock.advance(EVERY_MS);
    comes('a', 'four');
    comes('a', 'five');
    expect(seen.slice(3)).toEqual(['four: at once']);
  });

  test('has so many waiting at most; further ones are refused at once', async () => {
    const { clock, comes, seen, flood } = world();
    flood('a');
    for (let number = 0; number < MOST_WAITING; number += 1) comes('a', `${number}`);
    comes('a', 'late');
    await Promise.resolve();
    expect(seen).toEqual(['late: refused']);
    for (let number = 0; number < MOST_WAITING; number += 1) await clock.advance(EVERY_MS);
    expect(seen).toHaveLength(MOST_WAITING + 1);
  });

  test('is forgiven so long after its last flood, and all that wait go on', async () => {
    const { clock, comes, seen, flood, pauses } = world();
    flood('a');
    await clock.advance(PAUSE_MS - 1);
    flood('a', 1);
    expect(pauses).toHaveLength(1);
    await clock.advance(PAUSE_MS - 1_500);
    for (const name of ['one', 'two', 'three', 'four', 'five']) comes('a', name);
    await clock.advance(2 * EVERY_MS);
    expect(seen.slice().sort()).toEqual([
      'five: admitted',
      'four: admitted',
      'one: at once',
      'three: admitted',
      'two: admitted',
    ]);
    comes('a', 'six');
    expect(seen.at(-1)).toBe('six: at once');
  });

  test('that begins again after it was forgiven is held back again', async () => {
    const { clock, flood, pauses, comes, seen } = world();
    flood('a');
    await clock.advance(PAUSE_MS + WITHIN_MS);
    comes('a', 'one');
    flood('a', 1);
    expect(pauses).toHaveLength(1);
    flood('a', 1);
    expect(pauses).toHaveLength(2);
    comes('a', 'two');
    expect(seen).toEqual(['one: at once']);
  });
});

test('a clock that is set back makes no pause longer', async () => {
  const { clock, comes, seen, flood } = world();
  flood('a');
  comes('a', 'waits');
  clock.set('2025-12-31T00:00:00Z');
  comes('a', 'comes');
  expect(seen).toEqual(['comes: at once']);
});

test('who has given up while waiting takes nobody’s place', async () => {
  const { clock, comes, seen, gone, flood } = world();
  flood('a');
  for (const name of ['one', 'two', 'three']) comes('a', name);
  gone.add('one');
  await clock.advance(EVERY_MS);
  expect(seen).toEqual(['one: admitted', 'two: admitted']);
});

test('what is remembered has a bound, and who is forgotten while he waits goes on', async () => {
  const { clock, comes, seen, flood } = world();
  flood('a');
  comes('a', 'one');
  for (let number = 0; number < 1_024; number += 1) flood(`b${number}`, 1);
  await Promise.resolve();
  expect(seen).toEqual(['one: admitted']);
  comes('a', 'two');
  expect(seen.at(-1)).toBe('two: at once');
  await clock.advance(EVERY_MS);
  expect(seen).toHaveLength(2);
});

test('a pause is one line of the log, and each connection that is held back is counted', () => {
  const lines: unknown[] = [];
  let held = 0;
  const offenders = bookedOffenders({
    clock: new TestClock(),
    logger: { warn: (...line: unknown[]) => void lines.push(line) },
    metrics: () => ({ heldBack: () => void (held += 1) }),
  });
  for (let count = 0; count < 3; count += 1) offenders.offended('a', 'ping_flood');
  void offenders.entrance('a', () => false);
  expect(held).toBe(1);
  expect(lines).toEqual([
    [
      { address: 'a', flood: 'ping_flood', reason: 'overload', pauseMs: PAUSE_MS, everyMs: EVERY_MS },
      'connections of an address that floods are held back',
    ],
  ]);
});

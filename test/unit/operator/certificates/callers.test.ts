import { describe, expect, test } from '@jest/globals';
import type { ObservedCaller } from '../../../../lib/api/tlspolicy.ts';
import { callersOf, type ServiceCaller } from '../../../../operator/certificates/callers.ts';
import { CallerBook } from '../../../../operator/control/callerbook.ts';
import { readStatus } from '../../../../operator/control/statusbody.ts';

const web = 'spiffe://cluster.local/ns/shop/svc/web';
const now = new Date('2026-11-22T12:00:00Z');
const at = (minutes: number): Date => new Date(now.getTime() + minutes * 60_000);

const sight = (more: Partial<ServiceCaller> = {}): ServiceCaller => ({
  service: 'api',
  identity: web,
  port: 8080,
  count: 5,
  firstSeen: at(-10),
  lastSeen: at(-1),
  ...more,
});
const noted = (more: Partial<ObservedCaller> = {}): ObservedCaller => ({
  service: 'api',
  identity: web,
  port: 8080,
  connections: 5,
  since: '2026-11-22T11:50:00Z',
  lastSeen: '2026-11-22T11:59:00Z',
  ...more,
});

describe('the status of a policy', () => {
  test('names who was let in, and since when that is noted', () => {
    expect(callersOf(undefined, [sight()], now)).toEqual({ callersSince: '2026-11-22T12:00:00Z', callers: [noted()] });
  });

  test('names callers without an identity without one', () => {
    expect(callersOf(undefined, [sight({ identity: '' })], now).callers?.[0]).not.toHaveProperty('identity');
  });

  test('is not written anew within an hour for what it names', () => {
    const before = { callersSince: '2026-11-01T00:00:00Z', callers: [noted()] };
    expect(callersOf(before, [sight({ count: 900, lastSeen: at(58) })], at(58))).toEqual(before);
    expect(callersOf(before, [sight({ count: 900, lastSeen: at(60) })], at(60)).callers).toEqual([
      noted({ connections: 900, lastSeen: '2026-11-22T13:00:00Z' }),
    ]);
  });

  test('goes on counting when another operator leads, and never counts the same twice', () => {
    const before = { callers: [noted({ connections: 100 })] };
    const restarted = sight({ firstSeen: at(30), lastSeen: at(70), count: 7 });
    expect(callersOf(before, [restarted], at(70)).callers?.[0]?.connections).toBe(107);
    const other = sight({ firstSeen: at(-30), lastSeen: at(70), count: 60 });
    expect(callersOf(before, [other], at(70)).callers?.[0]?.connections).toBe(100);
  });

  test('keeps callers whose pods are gone', () => {
    expect(callersOf({ callersSince: 'x', callers: [noted()] }, [], at(9_000)).callers).toEqual([noted()]);
  });

  test('holds three hundred, those seen last', () => {
    const many = Array.from({ length: 310 }, (_, index) => sight({ port: index + 1, lastSeen: at(index) }));
    const ports = callersOf(undefined, many, now).callers?.map(({ port }) => port);
    expect([ports?.length, ports?.[0], ports?.at(-1)]).toEqual([300, 11, 310]);
  });
});

test('what sidecars report is added up by caller and port, the oldest forgotten beyond a bound', () => {
  const book = new CallerBook();
  book.note('shop/api', [{ identity: web, port: 8080, count: 2 }], at(0));
  book.note('shop/api', [{ identity: web, port: 8080, count: 3 }], at(1));
  book.note('shop/api', [{ identity: '', port: 8080, count: 1 }], at(2));
  expect(book.of('shop/api')).toEqual([
    { identity: web, port: 8080, count: 5, firstSeen: at(0), lastSeen: at(1) },
    { identity: '', port: 8080, count: 1, firstSeen: at(2), lastSeen: at(2) },
  ]);
  book.note(
    'shop/api',
    Array.from({ length: 300 }, (_, index) => ({ identity: '', port: index + 1, count: 1 })),
    at(3),
  );
  expect(book.of('shop/api')).toHaveLength(300);
  expect(book.of('shop/other')).toEqual([]);
});

describe('a report', () => {
  const report = {
    podName: 'a',
    podUid: 'u',
    selfVersion: '',
    bundleFingerprint: '',
    serial: '',
    notAfter: '',
    plaintext: [],
  };

  test('may name callers', () => {
    const callers = [
      { identity: web, port: 8080, count: 1 },
      { identity: '', port: 1, count: 2 },
    ];
    expect(readStatus({ ...report, callers })).toMatchObject({ ok: true, report: { callers } });
  });

  test.each<readonly [string, unknown]>([
    ['no list', {}],
    ['a name that is no SPIFFE ID', [{ identity: 'web', port: 1, count: 1 }]],
    ['no port', [{ identity: web, port: 0, count: 1 }]],
    ['no count', [{ identity: web, port: 1, count: 0 }]],
    ['very many', Array.from({ length: 257 }, () => ({ identity: web, port: 1, count: 1 }))],
  ])('with %s is refused', (_, callers) => {
    expect(readStatus({ ...report, callers })).toMatchObject({ ok: false });
  });
});

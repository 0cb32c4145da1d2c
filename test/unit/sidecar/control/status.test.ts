import { describe, expect, test } from '@jest/globals';
import type { StatusReport } from '../../../../lib/api/control.ts';
import { type Applied, StatusReporter } from '../../../../sidecar/control/status.ts';
import { TestClock } from '../../../support/clock.ts';

const applied: Applied = {
  podName: 'web-0',
  podUid: 'u',
  selfVersion: 'v1',
  bundleFingerprint: 'f',
  serial: 'AB',
  notAfter: '2026-01-02T00:00:00.000Z',
};

function bench() {
  const clock = new TestClock();
  const reports: StatusReport[] = [];
  const state = { arrives: true, known: true };
  const reporter = new StatusReporter({
    clock,
    post: async (_path, body) => {
      if (state.arrives) reports.push(body);
      return state.arrives;
    },
    applied: () => (state.known ? applied : undefined),
  });
  const stop = new AbortController();
  void reporter.run(stop.signal);
  return { clock, reports, state, reporter };
}

const client = { address: '10.0.0.9', port: 80, refused: true };

describe('reports', () => {
  test('come every thirty seconds', async () => {
    const { clock, reports } = bench();
    await clock.advance(92_000);
    expect(reports).toEqual([1, 2, 3].map(() => ({ ...applied, authentication: 1, plaintext: [] })));
  });

  test('come soon after a change, once for a burst', async () => {
    const { clock, reports, reporter } = bench();
    reporter.touch();
    reporter.touch();
    await clock.advance(1_000);
    expect(reports.length).toBe(1);
  });

  test('tell soon of an issuer whose key is not known, and no more often than every five seconds', async () => {
    const { clock, reports, reporter } = bench();
    const issuers = ['https://one', 'https://two'];
    for (let tick = 0; tick < 12_000; tick += 100) {
      for (const issuer of issuers) reporter.keysWanted(issuer);
      await clock.advance(100);
    }
    expect(reports.length).toBeGreaterThanOrEqual(2);
    expect(reports.length).toBeLessThanOrEqual(3);
    expect(reports[1]?.keysWanted?.toSorted()).toEqual(issuers);
  });

  test('say an issuer again when the report did not arrive, and once when it did', async () => {
    const { clock, reports, state, reporter } = bench();
    state.arrives = false;
    reporter.keysWanted('https://one');
    await clock.advance(1_000);
    state.arrives = true;
    await clock.advance(40_000);
    expect(reports.map(({ keysWanted }) => keysWanted)).toEqual([['https://one'], undefined]);
  });

  test('tell soon of a rule or a caller that is new, and count the others until the next', async () => {
    const { clock, reports, reporter } = bench();
    const caller = { identity: 'spiffe://cluster.local/ns/shop/svc/web', port: 8080 };
    reporter.rule({ name: 'web', outcome: 'allowed' });
    reporter.caller(caller);
    await clock.advance(1_000);
    expect(reports).toMatchObject([{ rules: [{ name: 'web', count: 1 }], callers: [{ ...caller, count: 1 }] }]);
    for (let turn = 0; turn < 7; turn += 1) {
      reporter.rule({ name: 'web', outcome: 'allowed' });
      reporter.caller(caller);
    }
    await clock.advance(10_000);
    expect(reports.length).toBe(1);
    await clock.advance(30_000);
    expect(reports[1]).toMatchObject({ rules: [{ name: 'web', count: 7 }], callers: [{ ...caller, count: 7 }] });
  });

  test('count plaintext by client, port and outcome, and count it once', async () => {
    const { clock, reports, reporter } = bench();
    reporter.plaintext(client);
    reporter.plaintext(client);
    reporter.plaintext({ ...client, refused: false });
    await clock.advance(1_000);
    expect(reports[0]?.plaintext).toEqual([
      { ...client, count: 2 },
      { ...client, refused: false, count: 1 },
    ]);
    await clock.advance(60_000);
    expect(reports[1]?.plaintext).toEqual([]);
  });

  test('count rules by name and outcome, lose none of them, and count them once', async () => {
    const { clock, reports, reporter, state } = bench();
    state.arrives = false;
    reporter.rule({ name: 'web', outcome: 'allowed' });
    await clock.advance(31_000);
    reporter.rule({ name: 'web', outcome: 'allowed' });
    reporter.rule({ name: 'web', outcome: 'audited' });
    state.arrives = true;
    await clock.advance(31_000);
    expect(reports[0]?.rules).toEqual([
      { name: 'web', outcome: 'allowed', count: 2 },
      { name: 'web', outcome: 'audited', count: 1 },
    ]);
    await clock.advance(31_000);
    expect(reports.at(-1)).not.toHaveProperty('rules');
  });

  test('that do not arrive lose nothing and are tried again soon', async () => {
    const { clock, reports, reporter, state } = bench();
    state.arrives = false;
    reporter.plaintext(client);
    await clock.advance(1_000);
    reporter.plaintext(client);
    await clock.advance(1_000);
    state.arrives = true;
    await clock.advance(10_000);
    expect(reports[0]?.plaintext).toEqual([{ ...client, count: 2 }]);
  });

  test('are not sent before there is something to say', async () => {
    const { clock, reports, state } = bench();
    state.known = false;
    await clock.advance(60_000);
    expect(reports).toEqual([]);
  });

  test('name a bounded number of clients', async () => {
    const { clock, reports, reporter } = bench();
    for (let i = 0; i < 1_000; i += 1) reporter.plaintext({ ...client, port: i });
    await clock.advance(1_000);
    expect(reports[0]?.plaintext.length).toBe(250);
  });
});

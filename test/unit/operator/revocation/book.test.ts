// The list that sidecars are told: what is on it, and that its number is an order that every replica shares.
import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { plainSerial } from '../../../../lib/api/revocations.ts';
import type { TLSRevocation } from '../../../../lib/api/tlsrevocation.ts';
import { TestClock } from '../../../support/clock.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';
import { BookBench, certificateSecret, injectedPod, revocation } from '../../../support/revocations.ts';

const start = new Date('2026-06-01T12:00:10Z');
const web = 'spiffe://cluster.local/ns/shop/svc/web';
let clock: TestClock;
const byText = (a: string, b: string): number => (a < b ? -1 : 1);

beforeEach(() => {
  clock = new TestClock(start.toISOString());
});

describe('the list', () => {
  test('is empty but numbered before anything is revoked', async () => {
    const { book } = await new BookBench(clock).listed(40);
    expect(book.current()).toEqual({ number: 40, entries: [], lists: [] });
  });

  test('names identities and serials in one order, whatever the order of their coming', async () => {
    const a = revocation('a', { identity: web }, { version: 41 });
    const b = revocation('b', { serial: '0A' }, { version: 42 });
    const [one, two] = [new BookBench(clock), new BookBench(clock)];
    await one.listed(42, [a, b]);
    await two.listed(40);
    two.revocations.set(b, '42');
    two.revocations.set(a, '43');
    expect(one.book.current().entries).toEqual([{ identity: web }, { serial: '0A' }]);
    expect(two.book.current().entries).toEqual(one.book.current().entries);
  });

  test('says until when, and leaves out what has ended, also without a change', async () => {
    const bench = await new BookBench(clock).listed(40);
    const stop = new AbortController();
    const running = bench.book.run(stop.signal);
    bench.revocations.set(revocation('a', { identity: web, until: '2026-06-01T12:01:00Z' }, { version: 41 }), '41');
    expect(bench.book.current().entries).toEqual([{ identity: web, until: '2026-06-01T12:01:00Z' }]);
    expect(bench.book.byIdentity(web)).toBe('a');
    await clock.advance(60_000);
    expect(bench.book.current().entries).toEqual([]);
    expect(bench.book.byIdentity(web)).toBeUndefined();
    expect(bench.book.get('a')?.standing).toBe('ended');
    stop.abort();
    await clock.advance(20_000);
    await running;
  });

  test('never names the operator itself', async () => {
    const bench = await new BookBench(clock).listed(40);
    const own = 'spiffe://cluster.local/ns/tabard-system/svc/tabard-operator';
    bench.revocations.set(revocation('a', { identity: own }, { version: 41 }), '41');
    expect(bench.book.current().entries).toEqual([]);
    expect(bench.book.get('a')?.standing).toBe('refused');
  });

  test('drops a serial once its certificate has expired, and a pod of which nothing is known names nothing', async () => {
    const authority = await testAuthority({ now: new Date(start.getTime() - 3_600_000) });
    const leaf = await testLeaf(authority, { now: new Date(start.getTime() - 600_000), lifetimeMs: 1_200_000 });
    const bench = new BookBench(clock);
    bench.secrets.set(certificateSecret('web', leaf.certificate, { 'tabard.dev/serial': leaf.serial }));
    await bench.listed(40);
    const stop = new AbortController();
    const running = bench.book.run(stop.signal);
    bench.revocations.set(revocation('a', { serial: leaf.serial }, { version: 41 }), '41');
    bench.revocations.set(revocation('b', { pod: { namespace: 'shop', name: 'gone' } }, { version: 42 }), '42');
    expect(bench.book.current().entries).toEqual([{ serial: leaf.serial }]);
    expect(bench.book.get('b')?.standing).toBe('unresolved');
    await clock.advance(600_000 + 300_000 + 20_000);
    expect(bench.book.current()).toMatchObject({ number: 42, entries: [] });
    expect(bench.book.get('a')?.standing).toBe('expired');
    stop.abort();
    await clock.advance(20_000);
    await running;
  });

  test('says since when the API server has been silent', async () => {
    const bench = await new BookBench(clock).listed(40);
    bench.silentMs = 200_000;
    const stop = new AbortController();
    const running = bench.book.run(stop.signal);
    await clock.advance(11_000);
    expect(bench.book.current().asOf).toBeDefined();
    bench.silentMs = 0;
    await clock.advance(11_000);
    expect(bench.book.current().asOf).toBeUndefined();
    stop.abort();
    await clock.advance(20_000);
    await running;
  });
});

describe('a pod', () => {
  test('means every certificate of its service that is in its time, and what its sidecar reported; fresh ones only once that is written down', async () => {
    const authority = await testAuthority({ now: new Date(start.getTime() - 3_600_000) });
    const leaf = await testLeaf(authority, { now: new Date(start.getTime() - 600_000) });
    const fresh = await testLeaf(authority, { now: start });
    const bench = new BookBench(clock);
    const notes = {
      'tabard.dev/serial': leaf.serial,
      'tabard.dev/previous-serials': `0BAD/${authority.keyId}/2026-06-01T20:00:00Z`,
    };
    bench.secrets.set(certificateSecret('web', leaf.certificate, notes));
    bench.pods.set(injectedPod('web-0', 'web'));
    bench.reported.set('uid-web-0', '0CAFE0');
    await bench.listed(40);
    const named = { pod: { namespace: 'shop', name: 'web-0' } };
    bench.revocations.set(revocation('a', named, { version: 41 }), '41');
    const expected = ['0BAD', '0CAFE0', leaf.serial].map(plainSerial).sort();
    expect(bench.book.current().entries).toEqual(expected.map((serial) => ({ serial })));
    // Nothing is issued anew before everybody can tell the old from the new.
    expect(bench.book.bySerial(leaf.serial)).toBeUndefined();
    bench.revocations.set(revocation('a', named, { version: 42, status: { serials: expected } }), '42');
    expect(bench.book.bySerial(leaf.serial)).toBe('a');
    expect(bench.book.current().number).toBe(42);
    bench.secrets.set({
      ...certificateSecret('web', fresh.certificate, { 'tabard.dev/serial': fresh.serial }),
      metadata: {
        ...certificateSecret('web', '', {}).metadata,
        resourceVersion: '2',
        annotations: { 'tabard.dev/serial': fresh.serial },
      },
    });
    expect(bench.book.bySerial(fresh.serial)).toBeUndefined();
    expect(bench.book.current().entries).toEqual(expected.map((serial) => ({ serial })));
  });

  test('whose Secret was seen before the status does not draw the fresh certificate in', async () => {
    const authority = await testAuthority({ now: new Date(start.getTime() - 3_600_000) });
    const fresh = await testLeaf(authority, { now: start });
    const bench = new BookBench(clock);
    bench.secrets.set(certificateSecret('web', fresh.certificate, { 'tabard.dev/serial': fresh.serial }));
    bench.pods.set(injectedPod('web-0', 'web'));
    bench.reported.set('uid-web-0', fresh.serial);
    await bench.listed(40);
    bench.revocations.set(revocation('a', { pod: { namespace: 'shop', name: 'web-0' } }, { version: 41 }), '41');
    expect(bench.book.current().entries).toEqual([]);
  });
});

describe('the number', () => {
  test('stays with a status that changes nothing of the list, so that writing it pushes nothing', async () => {
    const bench = await new BookBench(clock).listed(40);
    const told: boolean[] = [];
    bench.book.subscribe((listChanged) => void told.push(listChanged));
    bench.revocations.set(revocation('a', { identity: web }, { version: 41 }), '41');
    const status = { observedGeneration: 1, number: 41 };
    bench.revocations.set(revocation('a', { identity: web }, { version: 42, status }), '42');
    expect(bench.book.current().number).toBe(41);
    expect(told).toEqual([true, false]);
  });

  test('grows on with the store when that was restored from an older copy', async () => {
    const bench = await new BookBench(clock).listed(400);
    bench.revocations.set(revocation('a', { identity: web }, { version: 41 }), '41');
    expect(bench.book.current().number).toBe(401);
    bench.revocations.delete('a', undefined, '42');
    expect(bench.book.current().number).toBe(402);
  });

  interface State {
    readonly version: number;
    readonly objects: ReadonlyMap<string, TLSRevocation>;
  }
  interface Step {
    readonly name: string;
    readonly act: 'set' | 'delete';
  }

  /** What an API server went through. */
  function historyOf(steps: readonly Step[]): readonly State[] {
    const states: State[] = [{ version: 100, objects: new Map() }];
    for (const { name, act } of steps) {
      const { version: last = 0, objects: before = new Map<string, TLSRevocation>() } = states.at(-1) ?? {};
      const version = last + 2;
      const objects = new Map(before);
      if (act === 'set') objects.set(name, revocation(name, { serial: `0${version}` }, { version }));
      else if (!objects.delete(name)) continue;
      states.push({ version, objects });
    }
    return states;
  }

  /** One event of the watch. */
  function watch({ revocations }: BookBench, { version, objects }: State): void {
    for (const object of objects.values()) revocations.set(object, String(version));
    for (const { metadata } of revocations.list()) {
      if (!objects.has(metadata.name)) revocations.delete(metadata.name, undefined, String(version));
    }
  }

  /** The watch broke, and everything is listed again. */
  function relist({ revocations }: BookBench, { version, objects }: State): void {
    revocations.replace([...objects.values()], String(version));
  }

  const serialsOf = ({ book }: BookBench): readonly string[] =>
    book.current().entries.map((entry) => ('serial' in entry ? entry.serial : ''));

  const steps = fc.array(
    fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), act: fc.constantFrom('set' as const, 'delete' as const) }),
    { minLength: 1, maxLength: 25 },
  );

  test('never goes back on any replica and is never above what the replica knows, whatever it missed', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 40 }), async (made, choices) => {
        const states = historyOf(made);
        const bench = await new BookBench(clock).listed(100);
        let at = 0;
        for (const choice of choices) {
          const next = choice === 0 ? states.length - 1 : Math.min(at + 1, states.length - 1);
          const state = states[next];
          if (state === undefined || next === at) continue;
          const before = bench.book.current().number;
          (choice === 0 ? relist : watch)(bench, state);
          at = next;
          expect(bench.book.current().number).toBeGreaterThanOrEqual(before);
          expect(bench.book.current().number).toBeLessThanOrEqual(state.version);
          expect(serialsOf(bench)).toEqual(
            [...state.objects.values()].map(({ spec }) => spec.serial ?? '').sort(byText),
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  test('means the same on two replicas that saw the same events, also when one of them was just started', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (made) => {
        const states = historyOf(made);
        const [old, restarted] = [await new BookBench(clock).listed(100), new BookBench(clock)];
        for (const state of states.slice(1)) watch(old, state);
        const last = states.at(-1);
        await restarted.listed(last?.version ?? 0, [...(last?.objects.values() ?? [])]);
        expect(serialsOf(restarted)).toEqual(serialsOf(old));
        // Who comes from the old one to the new one is never told of a lower number.
        expect(restarted.book.current().number).toBeGreaterThanOrEqual(old.book.current().number);
      }),
      { numRuns: 40 },
    );
  });
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Endpoint } from '../../../../lib/api/control.ts';
import { Balancer, type Candidate, eject, restore } from '../../../../sidecar/destination/balance.ts';

const endpoint = (address: string, identity: string = 'spiffe://cluster.local/ns/shop/svc/api'): Endpoint => ({
  address,
  port: 80,
  transport: 'mutual',
  identity,
});
const none: ReadonlySet<Candidate> = new Set();

/** Draws in the order given, again and again. */
function drawing(...numbers: number[]): () => number {
  let index = 0;
  return () => numbers[index++ % numbers.length] ?? 0;
}

function balancer(addresses: readonly string[], random?: () => number): Balancer {
  const made = new Balancer(random);
  made.update(addresses.map((address) => endpoint(address)));
  return made;
}

describe('a balancer', () => {
  test('has nothing to offer without endpoints', () => {
    expect(balancer([]).pick(0, none)).toBeUndefined();
  });

  test('takes the less busy of two', () => {
    const all = balancer(['10.0.0.1', '10.0.0.2'], drawing(0, 0));
    const first = all.pick(0, none);
    if (first === undefined) throw new Error('there is one');
    first.active = 3;
    expect(all.pick(0, none)?.endpoint.address).not.toBe(first.endpoint.address);
  });

  test('leaves out an endpoint that failed, longer each time, until it serves again', () => {
    const all = balancer(['10.0.0.1', '10.0.0.2'], drawing(0));
    const bad = all.pick(0, none);
    if (bad === undefined) throw new Error('there is one');
    eject(bad, 0);
    const first = bad.ejectedUntilMs;
    for (let i = 0; i < 20; i += 1) expect(all.pick(0, none)).not.toBe(bad);
    eject(bad, 0);
    eject(bad, 0);
    expect(bad.ejectedUntilMs).toBeGreaterThan(first);
    expect(all.pick(bad.ejectedUntilMs, new Set(tried(all, bad)))).toBe(bad);
    restore(bad);
    expect([bad.failures, bad.ejectedUntilMs]).toEqual([0, 0]);
  });

  test('still offers failed endpoints when there are no others', () => {
    const all = balancer(['10.0.0.1']);
    const only = all.pick(0, none);
    if (only === undefined) throw new Error('there is one');
    eject(only, 0);
    expect(all.pick(0, none)).toBe(only);
  });

  test('never offers one that was tried', () => {
    const all = balancer(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    const seen = new Set<Candidate>();
    for (let pick = all.pick(0, seen); pick !== undefined; pick = all.pick(0, seen)) seen.add(pick);
    expect(seen.size).toBe(3);
  });

  test('keeps the figures of endpoints that stay, and forgets those whose identity changed', () => {
    const all = balancer(['10.0.0.1']);
    const before = all.pick(0, none);
    if (before !== undefined) before.active = 7;
    all.update([endpoint('10.0.0.1'), endpoint('10.0.0.2')]);
    expect(new Set([0, 1, 2, 3, 4, 5].map(() => all.pick(0, none)?.active))).toEqual(new Set([0]));
    all.update([endpoint('10.0.0.1')]);
    expect(all.pick(0, none)?.active).toBe(7);
    all.update([endpoint('10.0.0.1', 'spiffe://cluster.local/ns/shop/svc/other')]);
    expect(all.pick(0, none)?.active).toBe(0);
  });

  test('spreads connections that stay open: no endpoint gets far more than its share', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 20 }), (count) => {
        const all = balancer(Array.from({ length: count }, (_, index) => `10.0.0.${index + 1}`));
        const seen = new Set<Candidate>();
        for (let i = 0; i < count * 50; i += 1) {
          const pick = all.pick(0, none);
          if (pick === undefined) continue;
          pick.active += 1;
          seen.add(pick);
        }
        expect(Math.max(...[...seen].map(({ active }) => active))).toBeLessThan(65);
      }),
    );
  });
});

/** Everything but one. */
function tried(all: Balancer, but: Candidate): ReadonlySet<Candidate> {
  const seen = new Set<Candidate>([but]);
  for (let pick = all.pick(Infinity, seen); pick !== undefined; pick = all.pick(Infinity, seen)) seen.add(pick);
  seen.delete(but);
  return seen;
}

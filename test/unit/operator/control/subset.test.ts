import { describe, expect, test } from '@jest/globals';
import { contentFor, prepare, variantOf } from '../../../../operator/control/snapshot.ts';
import { hashOf, subset, subsetSize, wholeUpTo } from '../../../../operator/control/subset.ts';
import type { Destination } from '../../../../operator/mesh/destination.ts';

const large = (count: number): Destination => ({
  known: true,
  serverName: 'api.shop.svc.cluster.local',
  spread: 'all',
  endpoints: Array.from({ length: count }, (_, index) => ({
    endpoint: {
      address: `10.${index >> 8}.0.${index & 255}`,
      port: 8080,
      transport: 'mutual',
      identity: 'spiffe://a/ns/b/svc/c',
    },
    node: `node-${index % 3}`,
  })),
});

const names = (destination: Destination, uid: string, node = 'node-1') =>
  contentFor(prepare(destination), { uid, node }).endpoints.map(({ address }) => address);

describe('the subset of a large Service', () => {
  test(`up to ${wholeUpTo} endpoints everyone gets all of them`, () => {
    expect(names(large(wholeUpTo), 'a')).toHaveLength(wholeUpTo);
    expect(variantOf(prepare(large(wholeUpTo)), { uid: 'a', node: '' })).toBe('');
  });

  test(`of more, each client gets ${subsetSize}, the same ones each time, other clients others`, () => {
    const [a, again, b] = [names(large(500), 'a'), names(large(500), 'a'), names(large(500), 'b')];
    expect(a).toHaveLength(subsetSize);
    expect(again).toEqual(a);
    expect(b).not.toEqual(a);
  });

  test('clients together reach every endpoint, none much more often than others', () => {
    const counts = new Map<string, number>();
    const prepared = prepare(large(500));
    for (let client = 0; client < 1000; client += 1) {
      const { endpoints } = contentFor(prepared, { uid: `uid-${client}`, node: '' });
      for (const { address } of endpoints) counts.set(address, (counts.get(address) ?? 0) + 1);
    }
    const sorted = [...counts.values()].sort((x, y) => x - y);
    // 1,000 clients x 64 of 500: 128 on average, binomial with a standard deviation of about 10.6.
    expect([sorted.length, (sorted[0] ?? 0) > 75, (sorted.at(-1) ?? 0) < 185]).toEqual([500, true, true]);
  });

  test('an endpoint that goes changes only the lists it was in, by one', () => {
    const all = large(500);
    const fewer = { ...all, endpoints: all.endpoints.slice(1) };
    const gone = all.endpoints[0]?.endpoint.address;
    for (let client = 0; client < 50; client += 1) {
      const [before, after] = [names(all, `uid-${client}`), names(fewer, `uid-${client}`)];
      const lost = before.filter((each) => !after.includes(each));
      expect(lost).toEqual(before.includes(gone ?? '') ? [gone] : []);
    }
  });

  test('with internalTrafficPolicy Local the subset is one of the endpoints on the node', () => {
    const local = { ...large(500), spread: 'node' as const };
    const all = contentFor(prepare(local), { uid: 'a', node: 'node-2' }).endpoints;
    const nodeOf = new Map(local.endpoints.map(({ endpoint, node }) => [endpoint.address, node]));
    expect(all).toHaveLength(subsetSize);
    expect(new Set(all.map(({ address }) => nodeOf.get(address)))).toEqual(new Set(['node-2']));
  });

  test('equal scores still give exactly the number asked for', () => {
    const same = Array.from({ length: 10 }, (_, item) => ({ item, hash: 7 }));
    expect(subset(same, hashOf('a'), 4)).toEqual([0, 1, 2, 3]);
  });
});

// The cluster's ranges: complete, as few as possible, stable.
import { BlockList, isIPv6 } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { clusterRanges, type RangeSources } from '../../../operator/cidr.ts';

const ranges = (sources: Partial<RangeSources>) =>
  clusterRanges({ configured: [], serviceRanges: [], podRanges: [], addresses: [], ...sources });

describe('the cluster ranges', () => {
  test('are those of Services, nodes and the administrator, in a stable order', () => {
    const sources = {
      configured: ['192.168.0.0/16'],
      serviceRanges: ['10.96.0.0/12', 'fd00:96::/112'],
      podRanges: ['10.244.3.0/24', '10.244.1.0/24', 'fd00:244:0:1::/64'],
    };
    const expected = [
      '10.96.0.0/12',
      '10.244.1.0/24',
      '10.244.3.0/24',
      '192.168.0.0/16',
      'fd00:96::/112',
      'fd00:244:0:1::/64',
    ];
    expect(ranges(sources)).toEqual(expected);
    expect(ranges({ ...sources, podRanges: sources.podRanges.toReversed() })).toEqual(expected);
  });

  test('of many nodes side by side become few', () => {
    const podRanges = Array.from({ length: 256 }, (_, index) => `10.244.${index}.0/24`);
    expect(ranges({ podRanges })).toEqual(['10.244.0.0/16']);
    expect(ranges({ podRanges: podRanges.slice(0, 7) })).toEqual(['10.244.0.0/22', '10.244.4.0/23', '10.244.6.0/24']);
  });

  test('inside others are left out, also when host bits are set', () => {
    expect(ranges({ configured: ['10.0.0.1/8', '10.1.2.3', '10.5.0.0/16'] })).toEqual(['10.0.0.0/8']);
  });

  test('an address that no range covers stands for its surroundings', () => {
    expect(ranges({ podRanges: ['10.244.0.0/24'], addresses: ['10.244.0.9', '172.16.5.4', 'fd12::5'] })).toEqual([
      '10.244.0.0/24',
      '172.16.5.0/24',
      'fd12::/64',
    ]);
  });

  test('what is no address is left out: a headless Service, an empty text', () => {
    expect(ranges({ addresses: ['None', ''], serviceRanges: ['nonsense', '10.0.0.0/99'] })).toEqual([]);
  });

  test('whatever is given, each range and address is covered, and nothing is said twice', () => {
    const v4 = fc.tuple(fc.ipV4(), fc.integer({ min: 8, max: 32 })).map(([address, bits]) => `${address}/${bits}`);
    const v6 = fc.tuple(fc.ipV6(), fc.integer({ min: 16, max: 128 })).map(([address, bits]) => `${address}/${bits}`);
    const addresses = fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 10 });
    fc.assert(
      fc.property(fc.array(fc.oneof(v4, v6), { maxLength: 20 }), addresses, (configured, shown) => {
        const result = ranges({ configured, addresses: shown });
        const list = new BlockList();
        for (const range of result) {
          const [address = '', bits] = range.split('/');
          list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4');
        }
        for (const address of [...shown, ...configured.map((range) => range.split('/')[0] ?? '')]) {
          expect(list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')).toBe(true);
        }
        expect(new Set(result).size).toBe(result.length);
        expect(ranges({ configured: result })).toEqual(result);
      }),
    );
  });
});

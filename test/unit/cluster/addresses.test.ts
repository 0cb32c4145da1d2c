// Addresses and names of embedded clusters.

import { describe, expect, test } from '@jest/globals';
import { addressesOf } from '../../../hack/cluster/addresses.ts';
import { ClusterError } from '../../../hack/cluster/failure.ts';
import { layoutOf } from '../../../hack/cluster/layout.ts';

describe('addresses', () => {
  test('puts pods, Services and the link to the host into networks that do not overlap', () => {
    expect(addressesOf('10.199')).toMatchObject({
      node4: '10.199.0.1',
      pods4: '10.199.0.0/20',
      services4: '10.199.128.0/20',
      dns4: '10.199.128.10',
      nodeLink: '10.199.255.2',
      node6: 'fdab:ac7:0::1',
      pods6: 'fdab:ac7:0::/64',
      services6: 'fdab:ac7:0:80::/112',
    });
  });

  test('gives two ranges two IPv6 networks', () => {
    const networks = ['10.1', '10.16', '172.16', '192.168'].map((range) => addressesOf(range).pods6);
    expect(new Set(networks).size).toBe(4);
  });

  test.each(['', '10', '10.256', '10.1.2', '11.2', '172.15', '172.32', '192.169', '10.-1', ' 10.1', '127.0'])(
    'refuses %j, which is not the first two octets of a private network',
    (range) => {
      expect(() => addressesOf(range)).toThrow(ClusterError);
    },
  );
});

describe('layout', () => {
  const spec = { range: '10.199', state: '/s', run: '/r' };

  test('gives two names two sets of kernel objects, none longer than the kernel allows', () => {
    const one = layoutOf({ ...spec, name: 'tabard' });
    const two = layoutOf({ ...spec, name: 'a2345678901' });
    expect([one.id, one.hostDevice, one.netns]).toEqual(['tabard', 'tbd-tabard', '/run/netns/tabard']);
    expect([two.id, two.hostDevice, two.netns]).toEqual([
      'tabard-a2345678901',
      'tbd-a2345678901',
      '/run/netns/tabard-a2345678901',
    ]);
    // IFNAMSIZ is 16 with the closing zero.
    expect(two.hostDevice.length).toBeLessThanOrEqual(15);
  });

  test.each(['', 'A', '1a', 'a-', 'a_b', 'a23456789012', '../x', 'a b'])('refuses the name %j', (name) => {
    expect(() => layoutOf({ ...spec, name })).toThrow(ClusterError);
  });
});

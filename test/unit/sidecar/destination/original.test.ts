import { Socket } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatIPv6 } from '../../../../sidecar/destination/address.ts';
import { openOriginalDestination, parseSockaddr } from '../../../../sidecar/destination/original.ts';

const v4 = Buffer.from([2, 0, 0x1f, 0x90, 10, 96, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0]);

function v6(address: readonly number[], scope = 0): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(10, 0);
  bytes.writeUInt16BE(443, 2);
  address.forEach((group, index) => bytes.writeUInt16BE(group, 8 + 2 * index));
  bytes.writeUInt32LE(scope, 24);
  return bytes;
}

describe('parseSockaddr', () => {
  test('reads an IPv4 address and its port in network order', () => {
    expect(parseSockaddr(v4)).toEqual({ family: 4, address: '10.96.0.10', port: 8080 });
  });

  test('reads an IPv6 address', () => {
    expect(parseSockaddr(v6([0xfd00, 0, 0, 0, 0, 0, 0, 0x2a]))).toEqual({ family: 6, address: 'fd00::2a', port: 443 });
  });

  test('keeps the zone of a link-local address, and only of such', () => {
    expect(parseSockaddr(v6([0xfe80, 0, 0, 0, 0, 0, 0, 1], 2))?.address).toBe('fe80::1%2');
    expect(parseSockaddr(v6([0xfd00, 0, 0, 0, 0, 0, 0, 1], 2))?.address).toBe('fd00::1');
  });

  test.each([
    ['nothing at all', Buffer.alloc(0)],
    ['an IPv4 address that is cut short', v4.subarray(0, 7)],
    ['an IPv6 address that is cut short', v6([0xfd00, 0, 0, 0, 0, 0, 0, 1]).subarray(0, 27)],
    ['a Unix socket', Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])],
  ])('knows no destination in %s', (_name, bytes) => {
    expect(parseSockaddr(bytes)).toBeUndefined();
  });
});

describe('formatIPv6', () => {
  test.each([
    [[0, 0, 0, 0, 0, 0, 0, 0], '::'],
    [[0, 0, 0, 0, 0, 0, 0, 1], '::1'],
    [[0x2001, 0xdb8, 0, 0, 1, 0, 0, 1], '2001:db8::1:0:0:1'],
    [[0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], '2001:db8:0:1:1:1:1:1'],
    [[0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], '2001:db8::'],
    [[0, 0, 0, 1, 0, 0, 0, 0], '0:0:0:1::'],
  ])('writes %j as %s', (groups, text) => {
    const bytes = Buffer.alloc(16);
    groups.forEach((group, index) => bytes.writeUInt16BE(group, 2 * index));
    expect(formatIPv6(bytes)).toBe(text);
  });

  test('agrees with the URL parser on every address', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 }),
        (groups) => {
          const bytes = Buffer.alloc(16);
          groups.forEach((group, index) => bytes.writeUInt16BE(group, 2 * index));
          const full = groups.map((group) => group.toString(16)).join(':');
          expect(formatIPv6(bytes)).toBe(new URL(`http://[${full}]/`).hostname.slice(1, -1));
        },
      ),
    );
  });
});

describe('openOriginalDestination', () => {
  test('passes its self-test on this Node and knows nothing about a socket without a descriptor', () => {
    const read = openOriginalDestination();
    expect(read(new Socket())).toBeUndefined();
  });
});

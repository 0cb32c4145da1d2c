import { BlockList, isIPv6 } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { addressWords, inBlock, parseBlock } from '../../../../lib/api/ipblock.ts';
import { randomFrom } from '../../../support/authorization.ts';

function lies(address: string, cidr: string): boolean {
  const block = parseBlock(cidr);
  const words = addressWords(address);
  if (block === undefined || words === undefined) throw new Error(`cannot be read: ${cidr} ${address}`);
  return inBlock(block, words);
}

describe('an address lies in a range', () => {
  test.each<readonly [string, string, boolean]>([
    ['10.0.0.1', '10.0.0.0/8', true],
    ['11.0.0.1', '10.0.0.0/8', false],
    ['10.0.0.1', '10.255.255.255/8', true],
    ['10.0.0.1', '10.0.0.1/32', true],
    ['10.0.0.2', '10.0.0.1/32', false],
    ['255.255.255.255', '128.0.0.0/1', true],
    ['127.255.255.255', '128.0.0.0/1', false],
    ['8.8.8.8', '0.0.0.0/0', true],
    ['::ffff:10.0.0.1', '10.0.0.0/8', true],
    ['::ffff:a00:1', '10.0.0.0/8', true],
    ['::FFFF:10.0.0.1', '10.0.0.0/24', true],
    ['10.0.0.1', '::ffff:10.0.0.0/104', true],
    ['10.0.1.1', '::ffff:10.0.0.0/120', false],
    ['10.0.0.1', '::/0', false],
    ['::ffff:10.0.0.1', '::/0', false],
    ['10.0.0.1', '::ffff:0:0/95', false],
    ['::1', '0.0.0.0/0', false],
    ['fd00::1', 'fd00::/8', true],
    ['fe80::1%eth0', 'fe80::/10', true],
    ['fd00:0:0:1::', 'fd00::/64', false],
    ['fd00:0:0:1::', 'fd00::/63', true],
    ['2001:db8::192.0.2.1', '2001:db8::c000:201/128', true],
    ['::', '::/128', true],
  ])('%s in %s: %s', (address, cidr, expected) => {
    expect(lies(address, cidr)).toBe(expected);
  });

  test('as the C library of Node says, for five thousand pairs', () => {
    const random = randomFrom(7);
    const word = (): number => Math.floor(random() * 2 ** 16);
    const near = (of: number): number => (random() < 0.7 ? of : of ^ (1 << Math.floor(random() * 16)));
    for (let turn = 0; turn < 5_000; turn += 1) {
      const isSix = random() < 0.5;
      const groups = Array.from({ length: isSix ? 8 : 2 }, word);
      const others = groups.map(near);
      const text = (of: readonly number[]): string =>
        isSix
          ? of.map((group) => group.toString(16)).join(':')
          : of.map((group) => `${group >> 8}.${group & 255}`).join('.');
      const bits = Math.floor(random() * (isSix ? 129 : 33));
      const [base, address] = [text(groups), text(others)];
      const list = new BlockList();
      list.addSubnet(base, bits, isIPv6(base) ? 'ipv6' : 'ipv4');
      expect(`${address} in ${base}/${bits}: ${lies(address, `${base}/${bits}`)}`).toBe(
        `${address} in ${base}/${bits}: ${list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')}`,
      );
    }
  });
});

test.each([
  '',
  '10.0.0.0',
  '10.0.0.0/33',
  '10.0.0/8',
  '10.0.0.0/08',
  'fd00::/129',
  'fd00:::/8',
  '10.0.0.0/-1',
  '*/0',
  'fe80::1%eth0/64',
])('"%s" is no range', (text) => {
  expect(parseBlock(text)).toBeUndefined();
});

test('every way to write an address is the same address', () => {
  const random = randomFrom(11);
  for (let turn = 0; turn < 5_000; turn += 1) {
    const groups = Array.from({ length: 8 }, () => (random() < 0.6 ? 0 : Math.floor(random() * 2 ** 16)));
    const full = groups.map((group) => group.toString(16).padStart(random() < 0.5 ? 4 : 1, '0')).join(':');
    // As RFC 5952 writes it, with two colons for the zeros.
    const short = new URL(`http://[${full}]`).hostname.slice(1, -1);
    const [high = 0, low = 0] = groups.slice(6);
    const dotted = `${groups
      .slice(0, 6)
      .map((group) => group.toString(16).toUpperCase())
      .join(':')}:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
    const expected = [0, 2, 4, 6].map((at) => (groups[at] ?? 0) * 2 ** 16 + (groups[at + 1] ?? 0));
    const words = [full, short, dotted].map(addressWords);
    expect({ full, words }).toEqual({ full, words: [expected, expected, expected] });
  }
});

test.each([
  '',
  'web',
  '10.0.0',
  '10.0.0.',
  '10.0.0.01',
  '::ffff:10.0.0',
  '1:2:3',
  '10.0.0.1.',
  '.10.0.0',
  '10.0.0.256',
  '10.0.0.1/32',
])('"%s" is no address', (text) => {
  expect(addressWords(text)).toBeUndefined();
});

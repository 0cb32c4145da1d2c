import { describe, expect, test } from '@jest/globals';
import { canonicalAddress, destinationKey, parseDestination } from '../../../../operator/mesh/address.ts';

describe('canonical addresses', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::FFFF:0a00:0001', '10.0.0.1'],
    ['::ffff:255.255.255.255', '255.255.255.255'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::', '::'],
    ['::10.0.0.1', '::a00:1'],
    ['10.0.0.01', undefined],
    ['10.0.0', undefined],
    ['api.shop', undefined],
    ['', undefined],
    ['None', undefined],
  ])('%s is %s', (text, address) => {
    expect(canonicalAddress(text)).toBe(address);
  });
});

describe('destination keys', () => {
  test.each([
    ['10.0.0.1:80', '10.0.0.1:80'],
    ['[fd00:0::1]:65535', '[fd00::1]:65535'],
    ['[::ffff:10.0.0.1]:80', '10.0.0.1:80'],
  ])('%s names %s', (text, key) => {
    const parsed = parseDestination(text);
    expect(parsed && destinationKey(parsed)).toBe(key);
  });

  test.each([
    '10.0.0.1',
    '10.0.0.1:0',
    '10.0.0.1:080',
    '10.0.0.1:65536',
    '10.0.0.1:99999999',
    'fd00::1:80',
    '[10.0.0.1]:80',
    '[fd00::1%eth0]:80',
    ' 10.0.0.1:80',
    '10.0.0.1:80\n',
    '[::1',
    'api:80',
  ])('%j is refused', (text) => {
    expect(parseDestination(text)).toBeUndefined();
  });
});

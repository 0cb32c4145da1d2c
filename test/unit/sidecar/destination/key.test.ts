import { describe, expect, test } from '@jest/globals';
import { destinationKey, rangeTest, unmapped } from '../../../../sidecar/destination/key.ts';

describe('destinationKey', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1:80'],
    ['fd00::1', '[fd00::1]:80'],
    ['::ffff:10.0.0.1', '10.0.0.1:80'],
    ['::FFFF:10.0.0.1', '10.0.0.1:80'],
  ])('%s', (address, key) => {
    expect(destinationKey(address, 80)).toBe(key);
  });
});

test('an address that only looks mapped is left alone', () => {
  expect(unmapped('::ffff:1')).toBe('::ffff:1');
});

describe('rangeTest', () => {
  const inside = rangeTest(['10.244.0.0/16', '10.96.0.0/12', 'fd00:10::/64', 'nonsense', '10.0.0.0/99', '300.0.0.0/8']);

  test.each([
    ['10.244.3.7', true],
    ['10.245.0.1', false],
    ['10.111.255.255', true],
    ['10.112.0.0', false],
    ['::ffff:10.244.3.7', true],
    ['fd00:10::abcd', true],
    ['fd00:11::1', false],
    ['192.0.2.1', false],
    ['no address', false],
  ])('%s', (address, expected) => {
    expect(inside(address)).toBe(expected);
  });
});

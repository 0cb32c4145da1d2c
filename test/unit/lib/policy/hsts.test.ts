import { describe, expect, test } from '@jest/globals';
import type { HstsSpec } from '../../../../lib/policy/hsts.ts';
import { hstsValue } from '../../../../lib/policy/hsts.ts';

describe('the Strict-Transport-Security header', () => {
  test.each<[HstsSpec, string]>([
    [{}, 'max-age=31536000'],
    [{ maxAge: '10m' }, 'max-age=600'],
    [{ maxAge: '0s' }, 'max-age=0'],
    [{ maxAge: '30d', includeSubDomains: true }, 'max-age=2592000; includeSubDomains'],
    [
      { maxAge: '365d', includeSubDomains: true, preload: true, preloadConfirmation: 'HardlyReversible' },
      'max-age=31536000; includeSubDomains; preload',
    ],
    [{ includeSubDomains: true, preloadConfirmation: 'HardlyReversible' }, 'max-age=31536000; includeSubDomains'],
  ])('of %j is %s', (spec, value) => {
    expect(hstsValue(spec)).toEqual({ value, fault: undefined });
  });

  test.each<[HstsSpec, string]>([
    [{ maxAge: '365d', preload: true, preloadConfirmation: 'HardlyReversible' }, 'max-age=31536000'],
    [{ maxAge: '365d', includeSubDomains: true, preload: true }, 'max-age=31536000; includeSubDomains'],
    [
      { maxAge: '364d', includeSubDomains: true, preload: true, preloadConfirmation: 'HardlyReversible' },
      'max-age=31449600; includeSubDomains',
    ],
  ])('leaves preload out of %j, and says so', (spec, value) => {
    expect(hstsValue(spec)).toEqual({ value, fault: expect.stringContaining('preload needs includeSubDomains') });
  });

  test('is not made of a time that is none', () => {
    expect(() => hstsValue({ maxAge: 'a year' })).toThrow('a year');
  });
});

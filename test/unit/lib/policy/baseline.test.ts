import { describe, expect, test } from '@jest/globals';
import type { TLSBaseline } from '../../../../lib/api/tlsbaseline.ts';
import type { TLSPolicySpec } from '../../../../lib/api/tlspolicy.ts';
import { floorOf, noFloor, overrides, raised } from '../../../../lib/policy/baseline.ts';
import { certificateSettings, effectivePolicy } from '../../../../lib/policy/effective.ts';
import { testBaseline } from '../../../support/baselines.ts';
import { testPolicy } from '../../../support/policies.ts';

const [gcm256, gcm128, old] = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
];
const day = 86_400_000;

describe('the floor', () => {
  test.each<readonly [string, readonly TLSBaseline['spec'][], object]>([
    ['of no baseline is none', [], noFloor],
    ['of an empty baseline is none', [{}], { ...noFloor, by: ['b0'] }],
    ['of one in audit mode is none', [{ audit: true, mode: 'Mutual' }], noFloor],
    [
      'is the strictest mode',
      [{ mode: 'Permissive' }, { mode: 'Mutual' }, { mode: 'Disabled' }],
      { ...noFloor, mode: 'Mutual', by: ['b0', 'b1', 'b2'] },
    ],
    [
      'is the newest version',
      [{ tls: { minVersion: '1.3' } }, { tls: { minVersion: '1.2' } }],
      { ...noFloor, minVersion: '1.3', by: ['b0', 'b1'] },
    ],
    [
      'is what all allow',
      [{ tls: { ciphers: [gcm256, gcm128] } }, { tls: { ciphers: [gcm128, old] } }],
      { ...noFloor, ciphers: [gcm128], by: ['b0', 'b1'] },
    ],
    [
      'stays the first list where two have nothing in common',
      [{ tls: { ciphers: [gcm256] } }, { tls: { ciphers: [gcm128] } }],
      { ...noFloor, ciphers: [gcm256], by: ['b0', 'b1'] },
    ],
    [
      'is the shortest lifetime',
      [{ certificate: { maxLifetime: '7d' } }, { certificate: { maxLifetime: '30d' } }],
      { ...noFloor, longestMs: 7 * day, by: ['b0', 'b1'] },
    ],
    [
      'is not lowered by a lifetime that cannot be read',
      [{ certificate: { maxLifetime: 'x' } }],
      { ...noFloor, by: ['b0'] },
    ],
  ])('%s', (_, specs, expected) => {
    expect(floorOf(specs.map((spec, index) => testBaseline(`b${index}`, spec)))).toEqual(expected);
  });
});

describe('a policy', () => {
  const policyOf = (spec: TLSPolicySpec) => effectivePolicy(testPolicy('api', spec), []);
  const under = (spec: TLSPolicySpec, floor: TLSBaseline['spec']) =>
    raised(policyOf(spec), floorOf([testBaseline('b', floor)]));

  test('above the floor is left as it is, as the same object', () => {
    const policy = policyOf({
      mode: 'Mutual',
      ports: [{ port: 80, mode: 'ServerOnly' }],
      tls: { minVersion: '1.3', ciphers: [gcm256] },
    });
    const floor = floorOf([
      testBaseline('b', { mode: 'ServerOnly', tls: { minVersion: '1.3', ciphers: [gcm256, gcm128] } }),
    ]);
    expect(raised(policy, floor)).toBe(policy);
  });

  test.each<readonly [string, TLSPolicySpec, TLSBaseline['spec'], object]>([
    ['by its mode', { mode: 'Disabled' }, { mode: 'ServerOnly' }, { mode: 'ServerOnly' }],
    [
      'by the mode of a port',
      { ports: [{ port: 80, mode: 'Disabled' }] },
      { mode: 'Permissive' },
      { mode: 'Mutual', ports: [{ port: 80, mode: 'Permissive', protocol: 'TCP' }] },
    ],
    [
      'by going past the sidecar',
      { ports: [{ port: 80, protocol: 'Passthrough' }] },
      { mode: 'Permissive' },
      { ports: [{ port: 80, mode: 'Mutual', protocol: 'TCP' }] },
    ],
    [
      'by its version, with suites of that version alone',
      { tls: { minVersion: '1.2', ciphers: [old, gcm256] } },
      { tls: { minVersion: '1.3' } },
      { tls: { minVersion: '1.3', ciphers: [gcm256], groups: expect.anything() } },
    ],
    [
      'by its suites',
      { tls: { ciphers: [gcm128, gcm256] } },
      { tls: { ciphers: [gcm256] } },
      { tls: { minVersion: '1.3', ciphers: [gcm256], groups: expect.anything() } },
    ],
    [
      'by having none of the suites',
      { tls: { ciphers: [gcm128] } },
      { tls: { ciphers: [gcm256] } },
      { tls: { minVersion: '1.3', ciphers: [gcm256], groups: expect.anything() } },
    ],
    [
      'by naming no suites',
      {},
      { tls: { ciphers: [gcm256] } },
      { tls: { minVersion: '1.3', ciphers: [gcm256], groups: expect.anything() } },
    ],
  ])('below the floor %s is raised', (_, spec, floor, expected) => {
    expect(under(spec, floor)).toMatchObject(expected);
  });

  test('may let a port go past the sidecar where no mode is asked for', () => {
    expect(
      under({ ports: [{ port: 80, protocol: 'Passthrough' }] }, { tls: { minVersion: '1.3' } }).ports[0]?.protocol,
    ).toBe('Passthrough');
  });

  test('says what a baseline changes', () => {
    const policy = testPolicy('api', {
      mode: 'Permissive',
      ports: [{ port: 80, mode: 'Disabled' }],
      tls: { minVersion: '1.2' },
      certificate: { lifetime: '30d' },
    });
    const floor = floorOf([
      testBaseline('b', { mode: 'Mutual', tls: { minVersion: '1.3' }, certificate: { maxLifetime: '7d' } }),
    ]);
    expect(overrides(effectivePolicy(policy, []), certificateSettings(policy), floor)).toEqual([
      { field: 'spec.mode', message: 'Permissive is below the baseline; Mutual holds' },
      { field: 'spec.ports[80].mode', message: 'Disabled is below the baseline; Mutual holds' },
      { field: 'spec.tls.minVersion', message: '1.2 is below the baseline; 1.3 holds' },
      { field: 'spec.certificate.lifetime', message: '30d is below the baseline; 7d holds' },
    ]);
  });

  test('has certificates no longer than the baseline allows, and no shorter than the operator makes', () => {
    const policy = testPolicy('api', { certificate: { lifetime: '30d' } });
    expect(certificateSettings(policy, 600_000, 7 * day).lifetimeMs).toBe(7 * day);
    expect(certificateSettings(policy, 600_000, 60_000).lifetimeMs).toBe(600_000);
    expect(certificateSettings(undefined, 600_000, 3_600_000).lifetimeMs).toBe(3_600_000);
  });
});

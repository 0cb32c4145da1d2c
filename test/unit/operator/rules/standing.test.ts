import { describe, expect, test } from '@jest/globals';
import type { TLSBaseline } from '../../../../lib/api/tlsbaseline.ts';
import type { TLSPolicy } from '../../../../lib/api/tlspolicy.ts';
import type { Surroundings } from '../../../../lib/policy/faults.ts';
import { baselineStatus, mostListed, roleStatus } from '../../../../operator/rules/standing.ts';
import { testBaseline, testRole } from '../../../support/baselines.ts';
import { testPolicy } from '../../../support/policies.ts';

const now = new Date('2026-11-22T12:00:00Z');
const around = (parts: Partial<Surroundings> = {}): Surroundings => ({
  policies: [],
  baselines: [],
  roles: [],
  ...parts,
});
const said = (
  object: { readonly conditions?: NonNullable<TLSPolicy['status']>['conditions'] },
  wanted: string,
): string => {
  const found = object.conditions?.find(({ type }) => type === wanted);
  return `${found?.status} ${found?.reason}: ${found?.message}`;
};
const old = testPolicy('old', { mode: 'Permissive' });
const strict = testPolicy('strict', { mode: 'Mutual' });

describe('a baseline', () => {
  const ofBaseline = (baseline: TLSBaseline, parts: Partial<Surroundings> = {}) =>
    baselineStatus(baseline, around({ baselines: [baseline], ...parts }), now);

  test('names the policies that it is stricter than, and is of its generation', () => {
    const status = ofBaseline(testBaseline('pci', { mode: 'Mutual' }), { policies: [strict, old] });
    expect(status).toMatchObject({ observedGeneration: 1, overrides: ['shop/old'], overridesCount: 1 });
    expect(said(status, 'Accepted')).toBe('True Accepted: everything in it holds as written');
    expect(said(status, 'Ready')).toBe('True Enforced: it is stricter than 1 of 2 policies: shop/old');
    expect(status.conditions?.map(({ observedGeneration }) => observedGeneration)).toEqual([1, 1]);
  });

  test('in audit mode names those that it would be stricter than', () => {
    const status = ofBaseline(testBaseline('pci', { audit: true, mode: 'Mutual' }), { policies: [strict, old] });
    expect(status.overrides).toEqual(['shop/old']);
    expect(said(status, 'Ready')).toContain('True AuditOnly: it is in audit mode and enforces nothing');
  });

  test('counts all and lists some', () => {
    const policies = Array.from({ length: 70 }, (_, index) => testPolicy(`p-${index}`, { mode: 'Permissive' }));
    const status = ofBaseline(testBaseline('pci', { mode: 'Mutual' }), { policies });
    expect([status.overridesCount, status.overrides?.length]).toEqual([70, mostListed]);
    expect(said(status, 'Ready')).toContain('and 67 more');
  });

  const refers = { authorization: { rules: [{ name: 'no-metrics', roles: ['metrics'] }] } };
  test.each<readonly [string, TLSBaseline['spec'], Partial<Surroundings>, string]>([
    [
      'a rule refers to a role that is not there',
      refers,
      {},
      'refers to TLSRole "metrics", which does not exist; it denies every port',
    ],
    [
      'a range of addresses cannot be read',
      { authorization: { rules: [{ name: 'r', from: [{ ipBlocks: ['x'] }] }] } },
      {},
      'names "x", which is no CIDR',
    ],
    [
      'a lifetime cannot be read',
      { certificate: { maxLifetime: 'soon' } },
      {},
      'spec.certificate.maxLifetime: "soon" is no duration',
    ],
    [
      'its suites have nothing in common with those of another one',
      { tls: { ciphers: ['TLS_AES_128_GCM_SHA256'] } },
      { baselines: [testBaseline('first', { tls: { ciphers: ['TLS_AES_256_GCM_SHA384'] } })] },
      'no TLS 1.3 suite is also allowed by TLSBaseline first, whose list holds instead',
    ],
  ])('says what does not hold: %s', (_, spec, parts, fault) => {
    const status = ofBaseline(testBaseline('pci', spec), parts);
    expect(said(status, 'Accepted')).toContain('False Adjusted: ');
    expect(said(status, 'Accepted')).toContain(fault);
  });

  test.each<readonly [string, TLSBaseline['spec'], Partial<Surroundings>]>([
    ['a role that is there', refers, { roles: [testRole('metrics', [{ ports: [9090] }])] }],
    [
      'suites of which one is allowed by the other, too',
      { tls: { ciphers: ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] } },
      { baselines: [testBaseline('first', { tls: { ciphers: ['TLS_AES_256_GCM_SHA384'] } })] },
    ],
    [
      'other suites in audit mode alone',
      { tls: { ciphers: ['TLS_AES_128_GCM_SHA256'] } },
      { baselines: [testBaseline('first', { audit: true, tls: { ciphers: ['TLS_AES_256_GCM_SHA384'] } })] },
    ],
    ['no limit at all', {}, { policies: [old] }],
  ])('finds nothing wrong with %s', (_, spec, parts) => {
    expect(said(ofBaseline(testBaseline('pci', spec), parts), 'Accepted')).toContain('True Accepted');
  });

  test('keeps the time of a condition that did not turn', () => {
    const before = ofBaseline(testBaseline('pci', { mode: 'Mutual' }), { policies: [old] });
    const later = new Date('2026-11-23T12:00:00Z');
    const after = baselineStatus({ ...testBaseline('pci', { mode: 'Mutual' }), status: before }, around(), later);
    expect(after.conditions?.map(({ lastTransitionTime }) => lastTransitionTime)).toEqual([
      '2026-11-22T12:00:00Z',
      '2026-11-22T12:00:00Z',
    ]);
    expect(after.overridesCount).toBe(0);
  });
});

describe('a role', () => {
  const metrics = testRole('metrics', [{ ports: [9090] }]);
  const rules = { authorization: { rules: [{ name: 'r', roles: ['metrics'] }] } };

  test('names the policies and baselines whose rules refer to it', () => {
    const parts = { policies: [testPolicy('api', rules), strict], baselines: [testBaseline('pci', rules)] };
    const status = roleStatus(metrics, around(parts), now);
    expect(status).toMatchObject({ usedBy: ['TLSBaseline pci', 'TLSPolicy shop/api'], usedByCount: 2 });
    expect(said(status, 'Ready')).toBe('True InUse: rules refer to it in TLSBaseline pci, TLSPolicy shop/api');
    expect(said(status, 'Accepted')).toContain('True Accepted');
  });

  test('that nobody refers to says so', () => {
    expect(said(roleStatus(metrics, around(), now), 'Ready')).toBe('True Unused: no rule refers to it');
  });
});

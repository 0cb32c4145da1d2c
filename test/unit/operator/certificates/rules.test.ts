import { describe, expect, test } from '@jest/globals';
import type { TLSPolicy, TLSPolicySpec, TLSPolicyStatus } from '../../../../lib/api/tlspolicy.ts';
import type { Pod } from '../../../../lib/kube/object.ts';
import {
  enforcementCondition,
  overriddenCondition,
  type RuleStanding,
  ruleFaults,
  ruleStatuses,
  unreadBy,
} from '../../../../operator/certificates/rules.ts';
import { testBaseline } from '../../../support/baselines.ts';
import { testPolicy } from '../../../support/policies.ts';

const now = new Date('2026-11-22T12:00:00Z');
const nothing: RuleStanding = {
  faults: [],
  overridden: { faults: [], by: [] },
  audited: { faults: [], by: [] },
  unenforced: [],
  sights: [],
};
const ruled: TLSPolicySpec = { authorization: { rules: [{ name: 'a' }, { name: 'b' }] } };
const withStatus = (rules: TLSPolicyStatus['rules']): TLSPolicy => ({
  ...testPolicy('api', ruled),
  status: rules === undefined ? {} : { rules },
});

describe('the rules in a status', () => {
  test.each<readonly [string, TLSPolicyStatus['rules'], string | undefined, string | undefined]>([
    ['never matched', undefined, undefined, undefined],
    ['has just matched for the first time', undefined, '2026-11-22T11:59:30Z', '2026-11-22T11:59:30Z'],
    [
      'matched before an operator was replaced',
      [{ name: 'a', since: '2026-01-01T00:00:00Z', lastHit: '2026-11-01T00:00:00Z' }],
      undefined,
      '2026-11-01T00:00:00Z',
    ],
    [
      'matched again long after',
      [{ name: 'a', since: '2026-01-01T00:00:00Z', lastHit: '2026-11-01T00:00:00Z' }],
      '2026-11-22T11:00:00Z',
      '2026-11-22T11:00:00Z',
    ],
    [
      'matched again within the hour',
      [{ name: 'a', since: '2026-01-01T00:00:00Z', lastHit: '2026-11-22T11:30:00Z' }],
      '2026-11-22T11:59:00Z',
      '2026-11-22T11:30:00Z',
    ],
  ])('say when one last matched that %s', (_, before, seen, lastHit) => {
    const sights =
      seen === undefined
        ? []
        : [
            { name: 'a', lastHit: new Date(seen) },
            { name: 'a', lastHit: new Date('2026-11-20T00:00:00Z') },
            { name: 'other', lastHit: now },
          ];
    const [first, second] = ruleStatuses(withStatus(before), sights, now) ?? [];
    expect(first).toEqual({
      name: 'a',
      since: before?.[0]?.since ?? '2026-11-22T12:00:00Z',
      ...(lastHit === undefined ? {} : { lastHit: lastHit }),
    });
    expect(second).toEqual({ name: 'b', since: '2026-11-22T12:00:00Z' });
  });

  test('are left out of a policy without any', () => {
    expect(ruleStatuses(testPolicy('api'), [], now)).toBeUndefined();
  });
});

describe('the conditions', () => {
  test('say what baselines change, by name', () => {
    const sources = {
      baselines: {
        list: () => [
          testBaseline('pci', { mode: 'Mutual' }),
          testBaseline('wish', { audit: true, tls: { minVersion: '1.3' } }),
        ],
      },
      roles: { get: () => undefined },
    };
    const lax = testPolicy('api', { mode: 'Permissive', tls: { minVersion: '1.2' } });
    expect(overriddenCondition({ ...nothing, ...ruleFaults(lax, sources) })).toEqual({
      type: 'Overridden',
      status: 'True',
      reason: 'BaselineHolds',
      message: 'spec.mode: Permissive is below the baseline; Mutual holds (TLSBaseline pci)',
    });
    expect(
      overriddenCondition({ ...nothing, ...ruleFaults(testPolicy('api', { tls: { minVersion: '1.2' } }), sources) }),
    ).toMatchObject({
      status: 'False',
      reason: 'BaselineWouldHold',
      message:
        'TLSBaseline wish, which is in audit mode, would change: spec.tls.minVersion: 1.2 is below the baseline; 1.3 holds',
    });
    expect(overriddenCondition({ ...nothing, ...ruleFaults(testPolicy('api'), sources) })).toMatchObject({
      status: 'False',
      reason: 'AsWritten',
    });
  });

  test('name roles that do not exist among what does not hold as written', () => {
    const sources = { baselines: { list: () => [] }, roles: { get: () => undefined } };
    const policy = testPolicy('api', { authorization: { rules: [{ name: 'a', roles: ['gone'] }] } });
    expect(ruleFaults(policy, sources).faults).toEqual([
      { field: 'spec.authorization.rules[0].roles', message: expect.stringContaining('"gone"') },
    ]);
  });

  test('name ports on which rules about requests come to something else', () => {
    const sources = { baselines: { list: () => [] }, roles: { get: () => undefined } };
    const policy = testPolicy('api', {
      ports: [{ port: 8080, protocol: 'HTTP' }],
      authorization: {
        rules: [
          { name: 'reads', to: [{ methods: ['GET'] }] },
          { name: 'metrics', to: [{ ports: [9090], paths: ['/metrics'] }] },
          { name: 'no-admin', effect: 'Deny', to: [{ paths: ['/admin/*'] }] },
        ],
      },
    });
    const container = {
      name: 'app',
      ports: [{ containerPort: 8080 }, { containerPort: 5432 }, { containerPort: 16_020 }],
    };
    const pod = { metadata: { name: 'api-1', uid: '1' }, spec: { containers: [container] } };
    const unread = unreadBy(policy, sources, [{ pod: pod as unknown as Pod, spoken: [] }]);
    expect(unread).toEqual({ idle: [9090], closed: [5432, 9090] });
    expect(enforcementCondition(policy, { ...nothing, unread })).toEqual({
      type: 'RulesEnforced',
      status: 'False',
      reason: 'PortsNotRead',
      message: expect.stringContaining('allow nothing by that on 9090 and deny everything on 5432, 9090'),
    });
    const spoken = [9090, 5432].map((port) => ({ port, protocol: 'HTTP' as const }));
    const whole = unreadBy(policy, sources, [{ pod: pod as unknown as Pod, spoken }]);
    expect(whole).toEqual({ idle: [], closed: [] });
    expect(enforcementCondition(policy, { ...nothing, unread: whole })).toMatchObject({ status: 'True' });
  });

  test('name pods that enforce nothing', () => {
    const pods = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7'];
    expect(enforcementCondition(testPolicy('api', ruled), { ...nothing, unenforced: pods })).toMatchObject({
      type: 'RulesEnforced',
      status: 'False',
      message: expect.stringContaining('p1, p2, p3, p4, p5 and 2 more'),
    });
    expect(enforcementCondition(testPolicy('api', ruled), nothing)).toMatchObject({ status: 'True' });
    expect(enforcementCondition(testPolicy('api'), nothing)).toBeUndefined();
  });
});

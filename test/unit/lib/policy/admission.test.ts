import { describe, expect, test } from '@jest/globals';
import type { AuthorizationRule } from '../../../../lib/api/authorization.ts';
import type { TLSPolicySpec } from '../../../../lib/api/tlspolicy.ts';
import { type Beside, findings } from '../../../../lib/policy/admission.ts';
import { testBaseline, testRole } from '../../../support/baselines.ts';
import { testPolicy } from '../../../support/policies.ts';

const known: Beside = { baselines: [], roles: [], trustDomain: 'cluster.local' };
const unknown: Beside = { ...known, baselines: undefined, roles: undefined };
const ruled = (rules: readonly AuthorizationRule[], spec: TLSPolicySpec = {}) =>
  testPolicy('api', { ...spec, authorization: { rules } });
const warned = (rules: readonly AuthorizationRule[], beside: Beside = known, spec: TLSPolicySpec = {}): string[] =>
  findings(ruled(rules, spec), beside).warnings.map(({ field, message }) => `${field}: ${message}`);
const web = [{ services: ['web'] }];

describe('an Allow rule is said to allow nothing', () => {
  test.each<readonly [string, AuthorizationRule, AuthorizationRule]>([
    ['behind one that denies everybody', { name: 'a', from: web }, { name: 'd' }],
    ['behind one that denies its callers', { name: 'a', from: web }, { name: 'd', from: [{ services: ['web', 'x'] }] }],
    ['behind one that denies its namespace', { name: 'a', from: web }, { name: 'd', from: [{ namespaces: ['shop'] }] }],
    [
      'behind one that denies each of its callers in another entry',
      { name: 'a', from: [...web, { services: ['x'] }] },
      { name: 'd', from: [{ services: ['x'] }, ...web] },
    ],
    [
      'behind one that denies a wider range',
      { name: 'a', from: [{ ipBlocks: ['10.1.0.0/16'] }] },
      { name: 'd', from: [{ ipBlocks: ['10.0.0.0/8'] }] },
    ],
    [
      'behind one that denies all below',
      { name: 'a', to: [{ paths: ['/items/*'], methods: ['GET'] }] },
      { name: 'd', to: [{ paths: ['/items/*', '/other'] }] },
    ],
    [
      'behind one that denies all hosts of its domain',
      { name: 'a', to: [{ hosts: ['a.example.com'] }] },
      { name: 'd', to: [{ hosts: ['*.example.com'] }] },
    ],
    [
      'whatever its condition',
      { name: 'a', when: 'request.method == "GET"', to: [{ ports: [80] }] },
      { name: 'd', to: [{ ports: [80] }] },
    ],
  ])('%s', (_, allow, deny) => {
    const rules = [allow, { ...deny, effect: 'Deny' as const }];
    expect(warned(rules)).toEqual([
      'spec.authorization.rules[0]: "a" allows nothing: rule "d" denies all that it matches',
    ]);
  });

  test('behind one of a baseline, which is named, unless that is in audit mode', () => {
    const spec = { authorization: { rules: [{ name: 'd', to: [{ ports: [80] }] }] } };
    const rules = [{ name: 'a', to: [{ ports: [80] }] }];
    expect(warned(rules, { ...known, baselines: [testBaseline('floor', spec)] })).toEqual([
      'spec.authorization.rules[0]: "a" allows nothing: rule "d" of TLSBaseline floor denies all that it matches',
    ]);
    expect(warned(rules, { ...known, baselines: [testBaseline('floor', { ...spec, audit: true })] })).toEqual([]);
  });
});

describe('nothing is said of an Allow rule', () => {
  test.each<readonly [string, AuthorizationRule, AuthorizationRule]>([
    ['of which a part is left', { name: 'a', from: web }, { name: 'd', from: web, to: [{ ports: [80] }] }],
    ['of which other callers are left', { name: 'a' }, { name: 'd', from: web }],
    ['whose Deny rule has a condition', { name: 'a', from: web }, { name: 'd', when: 'request.method == "GET"' }],
    ['whose Deny rule is in audit mode', { name: 'a', from: web }, { name: 'd', audit: true }],
    [
      'of another namespace',
      { name: 'a', from: [{ namespaces: ['x'] }] },
      { name: 'd', from: [{ namespaces: ['y'] }] },
    ],
    [
      'for a wider range',
      { name: 'a', from: [{ ipBlocks: ['10.0.0.0/8'] }] },
      { name: 'd', from: [{ ipBlocks: ['10.1.0.0/16'] }] },
    ],
    ['for the path itself', { name: 'a', to: [{ paths: ['/items'] }] }, { name: 'd', to: [{ paths: ['/items/*'] }] }],
    [
      'for the domain itself',
      { name: 'a', to: [{ hosts: ['example.com'] }] },
      { name: 'd', to: [{ hosts: ['*.example.com'] }] },
    ],
  ])('%s', (_, allow, deny) => {
    expect(warned([allow, { ...deny, effect: 'Deny' }])).toEqual([]);
  });
});

describe('a policy is warned of', () => {
  const claims = { name: 'a', when: '"admin" in request.auth.claims.roles' };
  const jwt = [{ issuer: 'https://i', jwksUri: 'https://i/keys' }];

  test.each<readonly [string, readonly AuthorizationRule[], TLSPolicySpec, string | undefined]>([
    [
      'for a role that is not there',
      [{ name: 'a', roles: ['gone'] }],
      {},
      'rules[0].roles: "a" refers to TLSRole "gone"',
    ],
    ['for a condition that always holds', [{ name: 'a', when: '1 < 2' }], {}, 'has a condition that always holds'],
    ['for a condition that never holds', [{ name: 'a', when: 'false' }], {}, 'its condition never holds'],
    ['for claims of nobody', [claims], {}, 'a condition on claims never holds'],
    [
      'for claims of nobody in a Deny rule',
      [{ ...claims, effect: 'Deny' }],
      {},
      'a condition on claims fails, and the rule denies',
    ],
    ['not for claims of tokens', [claims], { authentication: { jwt } }, undefined],
    [
      'for methods where the policy says that none are spoken',
      [{ name: 'a', effect: 'Deny', to: [{ ports: [5432], methods: ['GET'] }] }],
      { ports: [{ port: 5432, protocol: 'TCP' }] },
      'it denies everything there',
    ],
    [
      'not for methods on a port of which Services may say what it speaks',
      [{ name: 'a', to: [{ ports: [5432], methods: ['GET'] }] }],
      { ports: [{ port: 5432, mode: 'Permissive' }] },
      undefined,
    ],
    [
      'for an identity of another trust domain in a namespace of this one',
      [{ name: 'a', from: [{ identities: ['spiffe://other/ns/shop/svc/web'], namespaces: ['shop'] }] }],
      {},
      'none of its identities is of the services and namespaces beside them',
    ],
    [
      'not for an identity in its namespace',
      [{ name: 'a', from: [{ identities: ['spiffe://cluster.local/ns/shop/svc/web'], namespaces: ['shop'] }] }],
      {},
      undefined,
    ],
  ])('%s', (_, rules, spec, says) => {
    expect(warned(rules, known, spec)).toEqual(says === undefined ? [] : [expect.stringContaining(says)]);
  });

  test('not for roles while nobody knows which there are', () => {
    expect(warned([{ name: 'a', roles: ['gone'] }], unknown)).toEqual([]);
  });

  test('for a pattern in a role that it refers to, which is not its own fault', () => {
    const roles = [testRole('odd', [{ paths: ['/a//b'] }])];
    const { refusals, warnings } = findings(ruled([{ name: 'a', roles: ['odd'] }]), { ...known, roles });
    expect([refusals, warnings]).toEqual([
      [],
      [{ field: 'spec.authorization.rules[0].roles', message: expect.stringContaining('"/a//b"') }],
    ]);
  });
});

describe('refused is', () => {
  const fields = (object: Parameters<typeof findings>[0]): readonly string[] =>
    findings(object, known).refusals.map(({ field }) => field);

  test('a policy with everything that cannot be enforced in it', () => {
    const rules = [
      { name: 'a', when: '(' },
      { name: 'b', from: [{ ipBlocks: ['x'] }] },
      { name: 'c', to: [{ hosts: ['*'] }] },
    ];
    const jwt = [{ issuer: 'https://i', jwks: '[]', clockSkew: '1h' }];
    const at = 'spec.authorization.rules';
    expect(fields(ruled(rules, { authentication: { jwt } }))).toEqual([
      `${at}[0].when`,
      `${at}[1].from`,
      `${at}[2].to`,
      'spec.authentication.jwt[0].clockSkew',
      'spec.authentication.jwt[0].jwks',
    ]);
  });

  test('a baseline, and a role', () => {
    const rules = [{ name: 'a', when: 'nobody', roles: ['gone'] }];
    expect(fields(testBaseline('floor', { authorization: { rules } }))).toEqual(['spec.authorization.rules[0].when']);
    expect(fields(testRole('odd', [{ ports: [80] }, { paths: ['a'] }]))).toEqual(['spec.permissions']);
    expect(fields(testRole('good', [{ ports: [80] }]))).toEqual([]);
  });

  test('not a baseline whose role is not there, which is warned of', () => {
    const baseline = testBaseline('floor', { authorization: { rules: [{ name: 'a', roles: ['gone'] }] } });
    expect(findings(baseline, known)).toEqual({
      refusals: [],
      warnings: [{ field: 'spec.authorization.rules[0].roles', message: expect.stringContaining('denies every port') }],
    });
    expect(findings(baseline, unknown).warnings).toEqual([]);
  });
});

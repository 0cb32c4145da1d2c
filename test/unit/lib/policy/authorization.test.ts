import { describe, expect, test } from '@jest/globals';
import type { AuthorizationRule, RuleMatch } from '../../../../lib/api/authorization.ts';
import type { TLSBaseline, TLSRole } from '../../../../lib/api/tlsbaseline.ts';
import { type AuthorizationSources, compileAuthorization } from '../../../../lib/policy/authorization.ts';
import { testBaseline, testRole } from '../../../support/baselines.ts';
import { testPolicy } from '../../../support/policies.ts';

const id = (service: string, namespace = 'shop'): string => `spiffe://cluster.local/ns/${namespace}/svc/${service}`;

const holders: Readonly<Record<string, { readonly all: readonly string[]; readonly any: readonly string[] }>> = {
  'shop/front': { all: [id('web')], any: [id('cart'), id('web')] },
  'pay/front': { all: [id('till', 'pay')], any: [id('till', 'pay')] },
};

function sources(baselines: readonly TLSBaseline[] = [], roles: readonly TLSRole[] = []): AuthorizationSources {
  return {
    baselines,
    trustDomain: 'cluster.local',
    role: (name) => roles.find(({ metadata }) => metadata.name === name),
    accounts: {
      all: (namespace, account) => holders[`${namespace}/${account}`]?.all ?? [],
      any: (namespace, account) => holders[`${namespace}/${account}`]?.any ?? [],
    },
  };
}

const compiled = (rule: AuthorizationRule, from = sources()) =>
  compileAuthorization(testPolicy('api', { authorization: { rules: [rule] } }), from);
const one = (rule: Omit<AuthorizationRule, 'name'>, from = sources()): RuleMatch | undefined =>
  compiled({ name: 'r', ...rule }, from).authorization?.rules[0];

describe('a rule', () => {
  test.each<readonly [string, Omit<AuthorizationRule, 'name'>, Omit<RuleMatch, 'name'>]>([
    ['allows unless it says otherwise', {}, { effect: 'Allow' }],
    ['denies', { effect: 'Deny' }, { effect: 'Deny' }],
    ['for anyone has no callers', { from: [], to: [], roles: [] }, { effect: 'Allow' }],
    ['in audit mode says so', { audit: true }, { effect: 'Allow', audit: true }],
    [
      "means services of the policy's own namespace",
      { from: [{ services: ['web'] }] },
      { effect: 'Allow', from: [{ services: ['web'], namespaces: ['shop'] }] },
    ],
    [
      'means services of the namespaces that it names',
      { from: [{ services: ['web'], namespaces: ['pay'] }] },
      { effect: 'Allow', from: [{ services: ['web'], namespaces: ['pay'] }] },
    ],
    [
      'takes over namespaces, identities and ranges',
      { from: [{ namespaces: ['a'] }, { identities: ['x'] }, { ipBlocks: ['10.0.0.0/8'] }] },
      { effect: 'Allow', from: [{ namespaces: ['a'] }, { identities: ['x'] }, { ipBlocks: ['10.0.0.0/8'] }] },
    ],
    [
      'takes over ports',
      { to: [{ ports: [80] }, { ports: [81] }] },
      { effect: 'Allow', to: [{ ports: [80] }, { ports: [81] }] },
    ],
    [
      'takes over methods, paths and hosts in the form in which requests are compared',
      {
        to: [
          { ports: [80], methods: ['GET', 'HEAD'], paths: ['/a', '/%7Eb/*', '/*'], hosts: ['Shop.Example.', '*.x'] },
        ],
      },
      {
        effect: 'Allow',
        to: [{ ports: [80], methods: ['GET', 'HEAD'], paths: ['/a', '/~b/*', '/*'], hosts: ['shop.example', '*.x'] }],
      },
    ],
    [
      'means by a gRPC method a request by POST to its path',
      { to: [{ grpcMethods: ['shop.Cart/Add', 'shop.Cart/*'] }] },
      { effect: 'Allow', to: [{ methods: ['POST'], paths: ['/shop.Cart/Add', '/shop.Cart/*'] }] },
    ],
    [
      'that denies a gRPC method means its path by any method',
      { effect: 'Deny', to: [{ grpcMethods: ['shop.Cart/Add'] }] },
      { effect: 'Deny', to: [{ paths: ['/shop.Cart/Add'] }] },
    ],
    [
      'reads empty lists as none',
      { to: [{ methods: [], paths: [], hosts: [], grpcMethods: [] }] },
      { effect: 'Allow', to: [{}] },
    ],
    [
      'takes over a condition as it is',
      { when: 'request.method == "GET"' },
      { effect: 'Allow', when: 'request.method == "GET"' },
    ],
    [
      'that allows an account means services that run with it alone',
      { from: [{ serviceAccounts: ['front'] }] },
      {
        effect: 'Allow',
        from: [{ namespaces: ['shop'], holders: ['spiffe://cluster.local/ns/shop/sa/front', id('web')] }],
      },
    ],
    [
      'that denies an account means services that run with it at all',
      { effect: 'Deny', from: [{ serviceAccounts: ['front'] }] },
      {
        effect: 'Deny',
        from: [{ namespaces: ['shop'], holders: ['spiffe://cluster.local/ns/shop/sa/front', id('cart'), id('web')] }],
      },
    ],
    [
      'means accounts of the namespaces that it names',
      { from: [{ serviceAccounts: ['front'], namespaces: ['pay'] }] },
      {
        effect: 'Allow',
        from: [{ namespaces: ['pay'], holders: ['spiffe://cluster.local/ns/pay/sa/front', id('till', 'pay')] }],
      },
    ],
  ])('%s', (_, rule, expected) => {
    expect(one(rule)).toEqual({ name: 'r', ...expected });
    expect(compiled({ name: 'r', ...rule }).faults).toEqual([]);
  });

  test('of a policy in audit mode is in audit mode', () => {
    const policy = testPolicy('api', {
      authorization: { audit: true, rules: [{ name: 'a' }, { name: 'b', audit: false }] },
    });
    expect(compileAuthorization(policy, sources()).authorization?.rules.map(({ audit }) => audit)).toEqual([
      true,
      true,
    ]);
  });
});

describe('what cannot be enforced', () => {
  test.each<readonly [string, Omit<AuthorizationRule, 'name'>, Omit<RuleMatch, 'name'>, string]>([
    [
      'a condition that is none makes an Allow rule allow nothing',
      { when: '1 +', to: [{ ports: [80] }] },
      { effect: 'Allow', from: [], to: [{ ports: [80] }] },
      'has a condition that cannot be used: line 1, column 4: Unexpected token: EOF; it allows nothing',
    ],
    [
      'a condition that is none does not narrow a Deny rule',
      { effect: 'Deny', when: 'source.name == "x"' },
      { effect: 'Deny' },
      'line 1, column 8: No such key: name; it denies without regard to that',
    ],
    [
      'a path that has no canonical form is left out of an Allow rule',
      { to: [{ paths: ['/a//b', '/c'] }, { ports: [81] }] },
      { effect: 'Allow', to: [{ paths: ['/c'] }, { ports: [81] }] },
      'names "/a//b", which no request can be compared with',
    ],
    [
      'paths that all have no canonical form make a target nothing',
      { to: [{ paths: ['/a/../b'] }] },
      { effect: 'Allow', to: [] },
      'names "/a/../b"',
    ],
    [
      'a path that has no canonical form does not narrow a Deny rule',
      { effect: 'Deny', to: [{ ports: [80], paths: ['/a', '/b;c'] }] },
      { effect: 'Deny', to: [{ ports: [80] }] },
      'names "/b;c"',
    ],
    [
      'a star in the middle of a path is no pattern',
      { to: [{ paths: ['/a/*/b'] }] },
      { effect: 'Allow', to: [] },
      'names "/a/*/b"',
    ],
    [
      'a host with a port does not narrow a Deny rule',
      { effect: 'Deny', to: [{ ports: [80], hosts: ['x:80'] }] },
      { effect: 'Deny', to: [{ ports: [80] }] },
      'names "x:80"',
    ],
    ['a star is no host', { to: [{ hosts: ['*'] }] }, { effect: 'Allow', to: [] }, 'names "*"'],
    [
      'paths beside gRPC methods make a target nothing',
      { to: [{ paths: ['/a'], grpcMethods: ['a.B/C'] }] },
      { effect: 'Allow', to: [] },
      'states paths beside grpcMethods',
    ],
    [
      'a role that is not there permits nothing',
      { roles: ['gone'] },
      { effect: 'Allow', to: [] },
      'refers to TLSRole "gone", which does not exist; it allows nothing by that',
    ],
    [
      'a role that is not there denies every port',
      { effect: 'Deny', roles: ['gone'], to: [{ ports: [80] }] },
      { effect: 'Deny' },
      'it denies every port',
    ],
    [
      'a range that is none is said',
      { from: [{ ipBlocks: ['10/8'] }] },
      { effect: 'Allow', from: [{ ipBlocks: ['10/8'] }] },
      'names "10/8", which is no CIDR',
    ],
  ])('%s', (_, rule, expected, says) => {
    expect(one(rule)).toEqual({ name: 'r', ...expected });
    expect(compiled({ name: 'r', ...rule }).faults).toEqual([
      {
        field: expect.stringMatching(/^spec\.authorization\.rules\[0\]\.(when|from|to|roles)$/),
        message: expect.stringContaining(says),
      },
    ]);
  });
});

describe('a role', () => {
  const roles = [
    testRole('metrics', [{ ports: [9090] }, { ports: [9100] }]),
    testRole('reads', [{ methods: ['GET'] }]),
  ];

  test('counts as if its permissions stood in the rule', () => {
    expect(one({ to: [{ ports: [80] }], roles: ['metrics'] }, sources([], roles))?.to).toEqual([
      { ports: [80] },
      { ports: [9090] },
      { ports: [9100] },
    ]);
    expect(one({ roles: ['metrics'] }, sources([], roles))?.to).toEqual([{ ports: [9090] }, { ports: [9100] }]);
  });

  test('may be of requests', () => {
    expect(one({ roles: ['reads'] }, sources([], roles))?.to).toEqual([{ methods: ['GET'] }]);
    expect(one({ effect: 'Deny', roles: ['reads'] }, sources([], roles))?.to).toEqual([{ methods: ['GET'] }]);
  });
});

describe('all rules', () => {
  test('are those of baselines, then Deny, then Allow', () => {
    const policy = testPolicy('api', {
      authorization: { rules: [{ name: 'a' }, { name: 'd', effect: 'Deny' }, { name: 'b' }] },
    });
    const baselines = [
      testBaseline('z', { authorization: { rules: [{ name: 'x', effect: 'Allow' }] } }),
      testBaseline('a.b', { audit: true, authorization: { rules: [{ name: 'y', from: [{ namespaces: ['dev'] }] }] } }),
    ];
    expect(compileAuthorization(policy, sources(baselines)).authorization).toEqual({
      form: 1,
      rules: [
        { name: 'a.b/y', effect: 'Deny', audit: true, from: [{ namespaces: ['dev'] }] },
        { name: 'z/x', effect: 'Deny' },
        { name: 'd', effect: 'Deny' },
        { name: 'a', effect: 'Allow' },
        { name: 'b', effect: 'Allow' },
      ],
    });
  });

  test('of a pod without a policy are those of baselines', () => {
    const baselines = [testBaseline('z', { authorization: { rules: [{ name: 'x' }] } })];
    expect(compileAuthorization(undefined, sources(baselines)).authorization?.rules).toHaveLength(1);
    expect(compileAuthorization(undefined, sources()).authorization).toBeUndefined();
    expect(compileAuthorization(testPolicy('api', { authorization: {} }), sources()).authorization).toBeUndefined();
  });
});

// What `tabard authz suggest` makes of what was seen, read back with a YAML library that shares no code with it, and judged by the operator's compiler.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { suggest } from '../../../cli/suggest.ts';
import { yamlLines } from '../../../cli/yaml.ts';
import { decide } from '../../../lib/api/decide.ts';
import { prepare } from '../../../lib/api/judge.ts';
import type { ObservedCaller, TLSPolicy, TLSPolicySpec } from '../../../lib/api/tlspolicy.ts';
import { compileAuthorization } from '../../../lib/policy/authorization.ts';
import { testPolicy } from '../../support/policies.ts';

const now = new Date('2026-11-22T12:00:00Z');
const id = (service: string, namespace = 'shop'): string => `spiffe://cluster.local/ns/${namespace}/svc/${service}`;
const partner = 'spiffe://partner.example/billing';

const seen = (identity: string | undefined, port = 8080, more: Partial<ObservedCaller> = {}): ObservedCaller => ({
  service: 'api',
  ...(identity === undefined ? {} : { identity }),
  port,
  connections: 12,
  since: '2026-11-01T00:00:00Z',
  lastSeen: '2026-11-22T11:00:00Z',
  ...more,
});

function suggested(
  callers: readonly ObservedCaller[],
  {
    since = '2026-10-01T00:00:00Z',
    spec = {},
    gone = [],
  }: { readonly since?: string; readonly spec?: TLSPolicySpec; readonly gone?: readonly string[] } = {},
) {
  const policy = { ...testPolicy('api', spec), status: { callersSince: since, callers } };
  const isThere = (namespace: string, service: string): boolean => !gone.includes(`${namespace}/${service}`);
  const found = suggest({ policy, trustDomain: 'cluster.local', now, isThere, isRead: () => false });
  if (found === undefined) return undefined;
  const read = parse(found.policy.join('\n')) as TLSPolicy;
  const sources = {
    baselines: [],
    accounts: { all: () => [], any: () => [] },
    trustDomain: 'cluster.local',
    role: () => undefined,
  };
  const { authorization, faults } = compileAuthorization({ ...policy, spec: read.spec }, sources);
  const judge = prepare(authorization, 'cluster.local');
  const may = (identity: string | undefined, port: number): boolean =>
    decide(judge, { identity, address: '', port }).allowed;
  return { ...found, text: found.policy.join('\n'), read, may, faults };
}

test('who was seen is let in on the ports that were called, and nobody else anywhere', () => {
  const found = suggested([seen(id('web')), seen(id('web'), 9090), seen(id('till', 'pay')), seen(partner, 8443)]);
  expect(found?.faults).toEqual([]);
  const callers = [id('web'), id('till', 'pay'), partner, id('other'), id('web', 'pay'), id('till'), undefined];
  const grants = callers.map((caller) => [8080, 8443, 9090, 22].filter((port) => found?.may(caller, port)));
  expect(grants).toEqual([[8080, 9090], [8080], [8443], [], [], [], []]);
  expect(found?.warnings).toEqual([]);
});

test('the policy is as a person would write it, with what was seen beside each rule', () => {
  const spec: TLSPolicySpec = {
    selector: { matchLabels: { app: 'api' } },
    mode: 'Mutual',
    tls: { minVersion: '1.3', ciphers: [] },
    authorization: { rules: [{ name: 'no-batch', effect: 'Deny', from: [{ services: ['batch'] }] }] },
  };
  const callers = [seen(id('web')), seen(id('old', 'pay'), 9090, { connections: 1 })];
  expect(
    suggested(callers, { spec, gone: ['pay/old'] })?.text,
  ).toBe(`# From what the sidecars let in during 52d. Nothing that was not seen is allowed.
apiVersion: tabard.dev/v1alpha1
kind: TLSPolicy
metadata:
  name: api
  namespace: shop
spec:
  selector:
    matchLabels:
      app: api
  mode: Mutual
  tls:
    minVersion: "1.3"
    ciphers: []
  authorization:
    rules:
    - name: no-batch
      effect: Deny
      from:
      - services:
        - batch
    # api port 9090: at least 1 connection, the last 2026-11-22T11:00:00Z
    # it has no pods now: is it still needed?
    - name: pay-old
      from:
      - services:
        - old
        namespaces:
        - pay
      to:
      - ports:
        - 9090
    # api port 8080: at least 12 connections, the last 2026-11-22T11:00:00Z
    - name: web
      from:
      - services:
        - web
      to:
      - ports:
        - 8080`);
});

describe('a short time of watching', () => {
  const since = '2026-11-22T09:00:00Z';

  test('is said, and an open policy gets its rules in audit mode', () => {
    const found = suggested([seen(id('web'))], { since });
    expect(found?.warnings).toEqual([expect.stringMatching(/noted for 3h only; .* in audit mode/)]);
    expect(found?.read.spec.authorization?.rules).toMatchObject([{ name: 'web', audit: true }]);
    expect(found?.may(id('other'), 8080)).toBe(true);
  });

  test('opens no policy that lets in some alone', () => {
    const spec: TLSPolicySpec = {
      authorization: { rules: [{ name: 'all-of-shop', from: [{ namespaces: ['shop'] }] }] },
    };
    const found = suggested([seen(id('web'))], { since, spec });
    expect(found?.warnings).toEqual([
      expect.stringMatching(/enforced at once/),
      expect.stringMatching(/^Allow rule all-of-shop is left out/),
    ]);
    expect([found?.may(id('web'), 8080), found?.may(id('other'), 8080)]).toEqual([true, false]);
  });
});

describe('what cannot be suggested is said', () => {
  test.each<readonly [string, readonly ObservedCaller[], RegExp]>([
    ['callers without an identity', [seen(id('web')), seen(undefined)], /proved no identity; no rule lets them in/],
    [
      'several services under one policy',
      [seen(id('web')), seen(id('web'), 80, { service: 'cart' })],
      /governs api, cart: each of these rules holds for all/,
    ],
    [
      'more callers than a policy can have rules',
      Array.from({ length: 101 }, (_, index) => seen(id(`s${index}`))),
      /101 rules are more/,
    ],
  ])('%s', (_, callers, warning) => {
    expect(suggested(callers)?.warnings).toEqual([expect.stringMatching(warning)]);
  });

  test('nobody', () => {
    expect(suggested([])).toBeUndefined();
    expect(suggested([seen(undefined)])).toBeUndefined();
  });
});

test('rules have names of their own, whatever callers and Deny rules are called', () => {
  const spec: TLSPolicySpec = {
    authorization: { rules: [{ name: 'web', effect: 'Deny', from: [{ services: ['x'] }] }] },
  };
  const long = 'a'.repeat(63);
  const found = suggested(
    [seen(id('web')), seen(partner), seen(`${partner}/2`), seen(id(long)), seen(id(long, 'pay'))],
    { spec },
  );
  const names = found?.read.spec.authorization?.rules?.map(({ name }) => name) ?? [];
  expect(new Set(names).size).toBe(6);
  for (const name of names) expect(name).toMatch(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
});

test('any JSON comes back from YAML as it was', () => {
  const json = fc.object({
    key: fc.string(),
    values: [fc.string(), fc.integer(), fc.boolean(), fc.constant(null)],
    maxDepth: 3,
  });
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[a-zA-Z.:# -]{1,12}$/), json, { minKeys: 1 }), (value) => {
      const plain = JSON.parse(JSON.stringify(value)) as unknown;
      expect(parse(yamlLines(plain).join('\n'))).toEqual(plain);
    }),
    { seed: 20261122, numRuns: 300 },
  );
});

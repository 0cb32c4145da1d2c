// Conditions: what can be said and what cannot, what comes of it, and that another implementation of CEL comes to the same.

import { run } from '@bufbuild/cel';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import type { ConditionFacts } from '../../../../lib/api/condition.ts';
import type { Decision } from '../../../../lib/api/decide.ts';
import { decideRequest, standing } from '../../../../lib/api/decide.ts';
import { prepare } from '../../../../lib/api/judge.ts';
import { conditionFault, conditionLanguage } from '../../../../lib/cel/language.ts';

const identity = 'spiffe://cluster.local/ns/shop/svc/web';
const now = new Date('2026-11-22T17:30:00Z');
const headers = Object.assign(Object.create(null) as Record<string, string>, { 'x-team': 'a', 'x-level': '7' });
const claims = {
  sub: 'ann',
  groups: ['staff', 'admins'],
  level: 3,
  ratio: 0.5,
  verified: true,
  address: { country: 'NL' },
  none: null,
  realm_access: { roles: ['admin'] },
  'https://example.com/tier': 'gold',
  tenant: 'a',
};
const facts: ConditionFacts = {
  call: { identity, address: '10.0.0.1', port: 8080 },
  namespace: 'shop',
  service: 'web',
  request: { method: 'GET', host: 'shop.example', path: '/items/7', headers, claims },
  now,
};

const outcome = (text: string, of: ConditionFacts = facts): boolean | undefined => {
  expect({ text, fault: conditionFault(text) }).toEqual({ text, fault: undefined });
  return conditionLanguage.compile(text)?.(of);
};

/** The same variables as the other implementation wants them. */
function mapOf(value: unknown): unknown {
  if (Array.isArray(value)) return (value as readonly unknown[]).map(mapOf);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([name, each]) => [name, mapOf(each)]));
}

function oracle(text: string): boolean | undefined {
  const { request, call } = facts;
  const value: unknown = run(text, {
    source: mapOf({ identity, namespace: 'shop', service: 'web', address: call.address }),
    destination: new Map([['port', BigInt(call.port)]]),
    request: mapOf({
      method: request.method,
      path: request.path,
      host: request.host,
      headers: { ...headers },
      auth: { present: true, claims },
    }),
    now: timestampFromDate(now),
  } as Parameters<typeof run>[1]);
  return typeof value === 'boolean' ? value : undefined;
}

// Each with what comes of it; undefined = it fails.
const table: readonly (readonly [string, boolean | undefined])[] = [
  ['true', true],
  ['false', false],
  ['source.namespace == "shop"', true],
  ['source.service != "web"', false],
  ['source.identity.startsWith("spiffe://cluster.local/ns/shop/")', true],
  ['source.address == "10.0.0.1"', true],
  ['source.namespace in ["shop", "pay"]', true],
  ['destination.port == 8080', true],
  ['destination.port > 9000', false],
  ['destination.port in [80, 8080]', true],
  ['destination.port + 1 == 8081', true],
  ['destination.port % 2 == 0', true],
  ['request.method == "GET" || request.method == "HEAD"', true],
  ['request.method == "GET" && request.path == "/items/7"', true],
  ['!(request.method == "PUT")', true],
  ['request.path.startsWith("/items/")', true],
  ['request.path.endsWith("7")', true],
  ['request.path.contains("tem")', true],
  ['request.path.size() == 8', true],
  ['size(request.path) > 8', false],
  ['request.host == "shop.example"', true],
  ['request.headers["x-team"] == "a"', true],
  ['request.headers["x-team"] == "b"', false],
  ['request.headers["x-gone"] == "a"', undefined],
  ['"x-gone" in request.headers', false],
  ['"x-team" in request.headers && request.headers["x-team"] == "a"', true],
  ['"x-gone" in request.headers && request.headers["x-gone"] == "a"', false],
  ['request.headers["x-gone"] == "a" || true', true],
  ['request.headers["x-gone"] == "a" && false', false],
  ['request.headers["x-gone"] == "a" && true', undefined],
  ['int(request.headers["x-level"]) >= 7', true],
  ['int(request.headers["x-team"]) >= 7', undefined],
  ['size(request.headers) == 2', true],
  ['request.auth.present', true],
  ['request.auth.claims.sub == "ann"', true],
  ['request.auth.claims["sub"] == "ann"', true],
  ['"admins" in request.auth.claims.groups', true],
  ['"guests" in request.auth.claims.groups', false],
  ['request.auth.claims.groups.exists(each, each == "staff")', true],
  ['request.auth.claims.groups.all(each, each != "guests")', true],
  ['request.auth.claims.groups.exists_one(each, each.startsWith("s"))', true],
  ['request.auth.claims.groups[0] == "staff"', true],
  ['request.auth.claims.groups[7] == "staff"', undefined],
  ['size(request.auth.claims.groups) == 2', true],
  ['request.auth.claims.level == 3.0', true],
  ['request.auth.claims.level >= 2.5', true],
  ['request.auth.claims.ratio < 1.0', true],
  ['request.auth.claims.verified == true', true],
  ['request.auth.claims.address.country == "NL"', true],
  ['has(request.auth.claims.address.country)', true],
  ['has(request.auth.claims.address.city)', false],
  ['has(request.auth.claims.email) && request.auth.claims.email == "x"', false],
  ['request.auth.claims.email == "x"', undefined],
  ['request.auth.claims.none == null', true],
  ['request.auth.claims.sub == 1', false],
  // As docs/authentication.md shows them.
  ['"admin" in request.auth.claims.realm_access.roles', true],
  ['"guest" in request.auth.claims.realm_access.roles', false],
  ['request.auth.claims["https://example.com/tier"] == "gold"', true],
  ['request.auth.claims.level >= 3.0', true],
  ['has(request.auth.claims.email_verified) && request.auth.claims.email_verified == true', false],
  ['request.auth.claims.tenant == request.headers["x-team"]', true],
  ['request.auth.claims.tenant == request.headers["x-gone"]', undefined],
  ['now.getHours() == 17', true],
  ['now.getHours("Europe/Amsterdam") == 18', true],
  ['now.getDayOfWeek() == 0', true],
  ['now.getFullYear() == 2026', true],
  ['now > timestamp("2026-01-01T00:00:00Z")', true],
  ['now - timestamp("2026-11-22T17:00:00Z") < duration("1h")', true],
  ['now < timestamp("soon")', undefined],
  ['source.namespace == "shop" ? request.method == "GET" : false', true],
  ['1 / (destination.port - 8080) == 1', undefined],
  ['9223372036854775807 + destination.port > 0', undefined],
  ['"a" + "b" == "ab"', true],
  ['"b" > "a"', true],
  ['r"\\d" == "\\\\d"', true],
  ['"é" == "\\u00e9"', true],
  ['[1, 2] == [1, 2]', true],
  ['{"a": 1}["a"] == 1', true],
  ['string(destination.port) == "8080"', true],
  ['type(destination.port) == int', true],
];

describe('a condition', () => {
  test.each(table)('%s comes to %s', (text, expected) => {
    expect(outcome(text)).toBe(expected);
  });

  test.each(table)('%s comes to the same elsewhere', (text, expected) => {
    let value: boolean | undefined;
    try {
      value = oracle(text);
    } catch {
      value = undefined;
    }
    expect({ text, value }).toEqual({ text, value: expected });
  });

  test('that asks for what is not known of a request fails', () => {
    const bare: ConditionFacts = {
      ...facts,
      call: { ...facts.call, identity: undefined },
      namespace: undefined,
      service: undefined,
      request: { method: 'GET', host: undefined, path: undefined },
    };
    expect(outcome('request.path == "/"', bare)).toBeUndefined();
    expect(outcome('request.host == "x"', bare)).toBeUndefined();
    expect(outcome('request.method == "GET"', bare)).toBe(true);
    expect(outcome('source.namespace == "" && source.identity == "" && source.service == ""', bare)).toBe(true);
    expect(outcome('request.auth.present', bare)).toBe(false);
    expect(outcome('size(request.headers) == 0 && size(request.auth.claims) == 0', bare)).toBe(true);
  });

  test('finds nothing in names that objects of JavaScript have by themselves', () => {
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      expect(outcome(`"${name}" in request.headers`)).toBe(false);
      expect(outcome(`request.headers["${name}"] == "x"`)).toBeUndefined();
      expect(outcome(`request.auth.claims["${name}"] == "x"`)).toBeUndefined();
      expect(outcome(`has(request.auth.claims.address.${name})`)).toBe(false);
    }
  });
});

describe('what is no condition is told with its place', () => {
  test.each<readonly [string, string]>([
    ['', 'line 1, column 1: '],
    ['1 +', 'line 1, column 4: Unexpected token: EOF'],
    ['source.namespace == "shop" &&\n  request.verb == "GET"', 'line 2, column 11: No such key: verb'],
    ['user == "x"', 'line 1, column 1: Unknown variable: user'],
    ['source.namespace', 'it comes to string, not to true or false'],
    ['1', 'it comes to int'],
    ['destination.port == "8080"', 'line 1, column 1: '],
    ['source.namespace > 1', 'line 1, column 1: '],
    ['request.path.matches("^/a+$")', 'line 1, column 1: matches() cannot be used here'],
    ['cel.bind(x, request.path, x == x)', 'bind() cannot be used here'],
    ['request.auth.claims.groups.map(g, g) == []', 'map() cannot be used here'],
    ['request.auth.claims.groups.filter(g, true) == []', 'filter() cannot be used here'],
    ['nothing(1)', 'nothing() cannot be used here'],
    [
      'request.auth.claims.groups.exists(a, request.auth.claims.groups.exists(b, a == b))',
      'line 1, column 38: exists() cannot be used inside of another',
    ],
    [`${'('.repeat(40)}true${')'.repeat(40)}`, 'depth'],
    [`${'true && '.repeat(200)}true`, ''],
    [`source.namespace in [${'"a", '.repeat(70)}"b"]`, ''],
    ['"x', 'line 1, column '],
    ['request.headers[1] == "a" && request.headers.x.y', 'line 1, column '],
  ])('%s', (text, says) => {
    const fault = conditionFault(text);
    expect(fault).toEqual(expect.any(String));
    expect(fault?.toLowerCase()).toContain(says.toLowerCase());
    expect(conditionLanguage.compile(text)).toBeUndefined();
  });
});

describe('a rule with a condition', () => {
  const asked = (effect: 'Allow' | 'Deny', when: string): Decision => {
    const judge = prepare({ form: 1, rules: [{ name: 'r', effect, when }] }, 'cluster.local', conditionLanguage);
    return decideRequest(standing(judge, facts.call), facts.request, now);
  };

  // What it is, the condition, whether an Allow rule allows, whether a Deny rule lets pass; with neither it has failed.
  test.each<readonly [string, string, boolean, boolean]>([
    ['matches where it holds', 'source.service == "web"', true, false],
    ['does not match where it does not hold', 'source.service == "api"', false, true],
    ['does not allow and does deny where it fails', 'request.headers["gone"] == "x"', false, false],
    ['does not allow and does deny where it comes to something else', 'request.auth.claims.sub', false, false],
    ['does not allow and does deny where it is none', '1 +', false, false],
  ])('%s', (_, when, allows, passes) => {
    const fails = !allows && !passes;
    expect(asked('Allow', when).allowed).toBe(allows);
    expect(asked('Deny', when).allowed).toBe(passes);
    expect(asked('Allow', when).failed).toEqual(fails ? ['r'] : undefined);
    expect(asked('Deny', when).failed).toEqual(fails ? ['r'] : undefined);
  });

  // The path, the condition, whether an Allow rule allows, whether a Deny rule lets pass: both readings of an escape have to agree.
  test.each<readonly [string, string, boolean, boolean]>([
    ['/items:purge', 'request.path == "/items:purge"', true, false],
    ['/items%3Apurge', 'request.path == "/items:purge"', false, false],
    ['/items%3Apurge', 'request.path == "/items%3Apurge"', false, false],
    ['/items%3Apurge', 'request.path != "/items:purge"', false, false],
    ['/items%3Apurge', 'request.path.startsWith("/items")', true, false],
    ['/items%3Apurge', 'request.path == "/other"', false, true],
    ['/items%3Apurge', 'request.headers["gone"] == "x"', false, false],
    ['/items%3Apurge', 'request.path == "/items%3Apurge" || request.headers["gone"] == "x"', false, false],
  ])('of %s: %s', (path, when, allows, passes) => {
    const verdict = (effect: 'Allow' | 'Deny'): boolean => {
      const judge = prepare({ form: 1, rules: [{ name: 'r', effect, when }] }, 'cluster.local', conditionLanguage);
      return decideRequest(standing(judge, facts.call), { ...facts.request, path }, now).allowed;
    };
    expect(verdict('Allow')).toBe(allows);
    expect(verdict('Deny')).toBe(passes);
  });

  test('is not asked where its other parts do not match', () => {
    const when = 'request.headers["gone"] == "x"';
    const rules = [{ name: 'r', effect: 'Deny' as const, to: [{ paths: ['/other'] }], when }];
    const place = standing(prepare({ form: 1, rules }, 'cluster.local', conditionLanguage), facts.call);
    expect(decideRequest(place, facts.request, now)).toMatchObject({ allowed: true });
    expect(decideRequest(place, facts.request, now).failed).toBeUndefined();
  });
});

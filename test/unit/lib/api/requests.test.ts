// Decisions by what is asked for: one table for paths, one for hosts, one for methods, one for whole rules; and the random ones of
// test/support/authorization.ts against a judge that shares no code with the real one.
import { describe, expect, test } from '@jest/globals';
import type { Authorization, RuleMatch, TargetMatch } from '../../../../lib/api/authorization.ts';
import { type Call, type Decision, decide, decideRequest, standing } from '../../../../lib/api/decide.ts';
import { prepare } from '../../../../lib/api/judge.ts';
import { canonicalPath } from '../../../../lib/api/path.ts';
import { hostOf, type RequestFacts } from '../../../../lib/api/request.ts';
import { RandomRequests, slowRequestVerdict, slowVerdict } from '../../../support/authorization.ts';

const web = 'spiffe://cluster.local/ns/shop/svc/web';
const now = new Date('2026-11-22T12:00:00Z');
const call = (more: Partial<Call> = {}): Call => ({ identity: web, address: '10.0.0.1', port: 8080, ...more });
const get = (target: string, more: Partial<RequestFacts> = {}): RequestFacts => {
  const canonical = canonicalPath(target);
  return { method: 'GET', host: 'shop', path: canonical.ok ? canonical.path : undefined, ...more };
};
const rules = (...list: readonly RuleMatch[]): Authorization => ({ form: 1, rules: list });
const allow = (to: TargetMatch, more: Partial<RuleMatch> = {}): RuleMatch => ({
  name: 'allow',
  effect: 'Allow',
  to: [to],
  ...more,
});
const deny = (to: TargetMatch, more: Partial<RuleMatch> = {}): RuleMatch => ({
  name: 'deny',
  effect: 'Deny',
  to: [to],
  ...more,
});
const asked = (authorization: Authorization, request: RequestFacts, of: Call = call()): Decision =>
  decideRequest(standing(prepare(authorization, 'cluster.local'), of), request, now);

describe('a path', () => {
  // Pattern, target, whether an Allow rule for the pattern allows it, whether a Deny rule for it denies it.
  test.each<readonly [string, string, boolean, boolean]>([
    ['/a', '/a', true, true],
    ['/a', '/a?b=c', true, true],
    ['/a', '/%61', true, true],
    ['/a', '/A', false, true],
    ['/a', '/a/', false, true],
    ['/a', '/A/', false, true],
    ['/a', '/ab', false, false],
    ['/a', '/a/b', false, false],
    ['/a', '/', false, false],
    ['/a', '/b/a', false, false],
    ['/a', '//a', false, true],
    ['/a', '/./a', false, true],
    ['/a', '/b/../a', false, true],
    ['/a', '/b/%2e%2e/a', false, true],
    ['/a', '/a;x', false, true],
    ['/a', '/a%2f', false, true],
    ['/a', '/a\\', false, true],
    ['/a', '/%2561', false, true],
    ['/a', '/a%00', false, true],
    ['/a', '/a%ff', false, true],
    ['/a', '/a%', false, true],
    ['/a', 'http://shop/a', false, true],
    ['/a', '*', false, true],
    ['/a', 'shop:80', false, true],
    ['/a/', '/a/', true, true],
    ['/a/', '/a', false, true],
    ['/a/b', '/a/b', true, true],
    ['/a/b', '/a/B/', false, true],
    ['/a/b', '/a', false, false],
    ['/a/b', '/a/c', false, false],
    ['/a/*', '/a/b', true, true],
    ['/a/*', '/a/b/c', true, true],
    ['/a/*', '/a/', true, true],
    ['/a/*', '/a', false, true],
    ['/a/*', '/A/b', false, true],
    ['/a/*', '/ab', false, false],
    ['/a/*', '/ab/c', false, false],
    ['/a/*', '/b/a/c', false, false],
    ['/a/*', '/', false, false],
    ['/a/*', '/a/../b', false, true],
    ['/a/*', '/x/..;/a/b', false, true],
    ['/a/b/*', '/a/b/c', true, true],
    ['/a/b/*', '/a/c', false, false],
    ['/a/b/*', '/a/b', false, true],
    ['/*', '/', true, true],
    ['/*', '/a', true, true],
    ['/*', '/a/b/', true, true],
    ['/*', '//', false, true],
    ['/', '/', true, true],
    ['/', '/a', false, false],
    ['/', '/?a', true, true],
    ['/shop.Cart/Add', '/shop.Cart/Add', true, true],
    ['/shop.Cart/Add', '/shop.Cart/Remove', false, false],
    ['/shop.Cart/*', '/shop.Cart/Remove', true, true],
    ['/shop.Cart/*', '/shop.Cartoon/Remove', false, false],
    ['/a%20b', '/a%20b', true, true],
    ['/a%20b', '/a b', false, false],
    ['/%C3%A9', '/%c3%a9', true, true],
    ['/.well-known/*', '/.well-known/x', true, true],
    ['/a.b', '/aXb', false, false],
    ['/a+b', '/a+b', true, true],
    ['/a:b', '/a:b', true, true],
    ['/a:b', '/a%3Ab', false, true],
    ['/a:b', '/a%3ab/', false, true],
    ['/a:b', '/a%3Ac', false, false],
    ['/a:b/*', '/A%3ab/c', false, true],
    ['/@a/*', '/%40a/b', false, true],
    ['/a%3Ab', '/a:b', false, true],
    ['/a%3Ab', '/a%3ab', true, true],
    ['/a%7Cb', '/a|b', false, true],
    ['/u/*', '/u/a%40b', true, true],
    ['/a%3Fb', '/a?b', false, false],
    ['/a(b)*c', '/abc', false, true],
    ['a', '/a', false, true],
  ])('by %s is %s', (pattern, target, allowed, denied) => {
    expect(asked(rules(allow({ paths: [pattern] })), get(target)).allowed).toBe(allowed);
    expect(asked(rules(deny({ paths: [pattern] })), get(target)).allowed).toBe(!denied);
  });

  test('is found among many patterns, each of which means what it says', () => {
    const paths = ['/', '/a', '/a/*', '/a/b/c', '/x/y/*', '/x/y/z/w', '/a/b/*'];
    const judge = (target: string): readonly string[] =>
      paths.filter((pattern) => asked(rules(allow({ paths: [pattern] })), get(target)).allowed);
    for (const target of ['/', '/a', '/a/', '/a/b', '/a/b/c', '/a/b/c/d', '/x', '/x/y', '/x/y/z', '/x/y/z/w', '/q']) {
      const each = paths.map((pattern, index) => allow({ paths: [pattern] }, { name: `${index}`, audit: true }));
      const all = asked(rules(...each), get(target)).audited.map((name) => paths[Number(name)]);
      expect({ target, all }).toEqual({ target, all: judge(target) });
    }
  });
});

describe('a host', () => {
  test.each<readonly [string, string, boolean, boolean]>([
    ['shop', 'shop', true, true],
    ['shop', 'SHOP', true, true],
    ['shop', 'shop:8080', true, true],
    ['shop', 'shop.', true, true],
    ['shop', 'shop.shop', false, false],
    ['shop', 'xshop', false, false],
    ['shop.example', 'shop.example', true, true],
    ['shop.example', 'shopxexample', false, false],
    ['*.example', 'shop.example', true, true],
    ['*.example', 'a.shop.example:1', true, true],
    ['*.example', 'example', false, false],
    ['*.example', 'shopexample', false, false],
    ['*.shop.example', 'a.example', false, false],
    ['[::1]', '[::1]:80', true, true],
    ['shop', '', false, true],
    ['shop', 'sh%6fp', false, true],
    ['*.example', 'shop%2eexample:80', false, true],
    ['shop.*', 'shop.example', false, true],
  ])('by %s is "%s"', (pattern, authority, allowed, denied) => {
    const request = get('/', { host: hostOf(authority) });
    expect(asked(rules(allow({ hosts: [pattern] })), request).allowed).toBe(allowed);
    expect(asked(rules(deny({ hosts: [pattern] })), request).allowed).toBe(!denied);
  });
});

describe('a method', () => {
  test.each<readonly [readonly string[], string, boolean, boolean]>([
    [['GET'], 'GET', true, true],
    [['GET'], 'HEAD', false, false],
    [['GET'], 'get', false, true],
    [['GET', 'HEAD'], 'HEAD', true, true],
    [['GET'], 'GETS', false, false],
    [['DELETE'], 'dElEtE', false, true],
    [['CONNECT'], 'CONNECT', true, true],
    [['PROPFIND'], 'PROPFIND', true, true],
  ])('by %s is %s', (methods, method, allowed, denied) => {
    expect(asked(rules(allow({ methods })), get('/', { method })).allowed).toBe(allowed);
    expect(asked(rules(deny({ methods })), get('/', { method })).allowed).toBe(!denied);
  });
});

const reads: RuleMatch = allow({ ports: [8080], methods: ['GET'], paths: ['/items/*'] }, { name: 'reads' });
const admin: RuleMatch = deny({ paths: ['/admin/*'] }, { name: 'admin' });

describe('a request', () => {
  test.each<readonly [string, Authorization, RequestFacts, Call, boolean, string | undefined]>([
    ['is allowed by a rule of which everything matches', rules(reads), get('/items/1'), call(), true, 'reads'],
    [
      'is denied where the method does not match',
      rules(reads),
      get('/items/1', { method: 'PUT' }),
      call(),
      false,
      undefined,
    ],
    ['is denied where the path does not match', rules(reads), get('/admin'), call(), false, undefined],
    ['to another port is denied', rules(reads), get('/items/1'), call({ port: 1 }), false, undefined],
    [
      'of another caller is denied',
      rules({ ...reads, from: [{ services: ['api'] }] }),
      get('/items/1'),
      call(),
      false,
      undefined,
    ],
    [
      'of a caller without an identity is allowed where anyone is',
      rules(reads),
      get('/items/1'),
      call({ identity: undefined }),
      true,
      'reads',
    ],
    ['is denied by a Deny rule', rules(admin), get('/admin/x'), call(), false, 'admin'],
    ['is allowed where no Deny rule matches', rules(admin), get('/items'), call(), true, undefined],
    [
      'is denied although an Allow rule without paths matches',
      rules({ name: 'all', effect: 'Allow' }, admin),
      get('/admin/x'),
      call(),
      false,
      'admin',
    ],
    [
      'is allowed by the rule beside a Deny rule that does not match',
      rules({ name: 'all', effect: 'Allow' }, admin),
      get('/x'),
      call(),
      true,
      'all',
    ],
    [
      'must match one target whole',
      rules({
        ...reads,
        to: [
          { methods: ['GET'], paths: ['/a'] },
          { methods: ['PUT'], paths: ['/b'] },
        ],
      }),
      get('/b'),
      call(),
      false,
      undefined,
    ],
    [
      'may match the second target',
      rules({
        ...reads,
        to: [
          { methods: ['GET'], paths: ['/a'] },
          { methods: ['PUT'], paths: ['/b'] },
        ],
      }),
      get('/b', { method: 'PUT' }),
      call(),
      true,
      'reads',
    ],
    [
      'may match a target that asks nothing of it',
      rules({ ...reads, to: [{ paths: ['/a'] }, { ports: [8080] }] }),
      get('/b'),
      call(),
      true,
      'reads',
    ],
    [
      'with a host for which there is no rule is denied',
      rules(allow({ hosts: ['a'] })),
      get('/', { host: 'b' }),
      call(),
      false,
      undefined,
    ],
    [
      'is denied by a Deny rule for its host alone',
      rules(deny({ hosts: ['*.internal'] })),
      get('/', { host: 'x.internal' }),
      call(),
      false,
      'deny',
    ],
    [
      'without a canonical path is allowed by a rule that asks for none',
      rules(allow({ methods: ['GET'] })),
      get('/a//b'),
      call(),
      true,
      'allow',
    ],
    [
      'without a canonical path is denied by a Deny rule for any path',
      rules(deny({ paths: ['/q'] })),
      get('/a//b'),
      call(),
      false,
      'deny',
    ],
    [
      'without a canonical path is not denied by a Deny rule for another method',
      rules(deny({ methods: ['PUT'], paths: ['/q'] })),
      get('/a//b'),
      call(),
      true,
      undefined,
    ],
    [
      'without a canonical path is not denied by a Deny rule for other callers',
      rules(deny({ paths: ['/q'] }, { from: [{ services: ['api'] }] })),
      get('/a//b'),
      call(),
      true,
      undefined,
    ],
    [
      'is not allowed by a rule with a condition that nobody can read',
      rules(allow({}, { when: 'true' })),
      get('/'),
      call(),
      false,
      undefined,
    ],
    [
      'is denied by a rule with a condition that nobody can read',
      rules(deny({}, { when: 'false' })),
      get('/'),
      call(),
      false,
      'deny',
    ],
  ])('%s', (...[, authorization, request, of, allowed, rule]) => {
    expect(asked(authorization, request, of)).toMatchObject({ allowed, rule, audited: [], wouldBe: undefined });
  });
});

describe('what can be said before a request', () => {
  // Rules, the verdict with requests that are read (undefined: each has to be judged), and the one where none is.
  test.each<readonly [string, Authorization, boolean | undefined, boolean]>([
    ['is all where no rule asks for requests', rules({ name: 'a', effect: 'Allow' }), true, true],
    ['is nothing where a rule that allows does', rules(reads), undefined, false],
    ['is nothing where a rule that denies does', rules(admin), undefined, false],
    [
      'is that it is denied where no rule may allow it',
      rules({ ...reads, to: [{ ports: [9], paths: ['/'] }] }),
      false,
      false,
    ],
    ['is that it is denied by a rule that asks for nothing', rules(reads, deny({})), false, false],
    ['is that it is allowed by a rule that asks for nothing', rules(reads, allow({}, { name: 'all' })), true, true],
    [
      'is nothing where a Deny rule may still match beside one that allows',
      rules(admin, allow({}, { name: 'all' })),
      undefined,
      false,
    ],
    [
      'is all where rules that ask are for other callers',
      rules({ ...admin, from: [{ services: ['api'] }] }, allow({}, { name: 'all' })),
      true,
      true,
    ],
    ['is nothing where a rule has a condition', rules(allow({}, { when: 'x' })), undefined, false],
    [
      'is nothing where a rule in audit mode asks, although another allows',
      rules(allow({}, { name: 'all' }), { ...admin, audit: true }),
      undefined,
      true,
    ],
  ])('%s', (_, authorization, read, unread) => {
    const judge = prepare(authorization, 'cluster.local');
    expect(standing(judge, call()).decision?.allowed).toBe(read);
    expect(decide(judge, call()).allowed).toBe(unread);
  });
});

describe('a rule in audit mode that asks for requests', () => {
  test.each<readonly [string, Authorization, RequestFacts, Omit<Decision, 'failed'>]>([
    [
      'that denies is told and not enforced',
      rules({ ...admin, audit: true }),
      get('/admin/x'),
      { allowed: true, rule: undefined, audited: ['admin'], wouldBe: false },
    ],
    [
      'that denies says nothing of other paths',
      rules({ ...admin, audit: true }),
      get('/x'),
      { allowed: true, rule: undefined, audited: [], wouldBe: undefined },
    ],
    [
      'that allows tells whom it would not allow',
      rules({ ...reads, audit: true }),
      get('/x'),
      { allowed: true, rule: undefined, audited: [], wouldBe: false },
    ],
    [
      'that allows tells whom it would',
      rules({ ...reads, audit: true }),
      get('/items/1'),
      { allowed: true, rule: undefined, audited: ['reads'], wouldBe: undefined },
    ],
    [
      'is told beside the one that decided',
      rules({ ...reads, audit: true }, allow({}, { name: 'all' })),
      get('/items/1'),
      { allowed: true, rule: 'all', audited: ['reads'], wouldBe: undefined },
    ],
  ])('%s', (_, authorization, request, expected) => {
    expect(asked(authorization, request)).toEqual(expected);
  });
});

describe('random rules about requests', () => {
  const seeds = Array.from({ length: 200 }, (_, index) => index + 1);

  test.each(seeds)('decide as the slow judge does (seed %i)', (seed) => {
    const random = new RandomRequests(seed);
    const authorization = random.rules(seed % 5 === 0 ? 60 : 1 + (seed % 9));
    const judge = prepare(authorization, 'cluster.local');
    for (let turn = 0; turn < 20; turn += 1) {
      const [of, request] = [random.call(), random.request()];
      const place = standing(judge, of);
      const decision = decideRequest(place, request, now);
      const shown = { authorization, of, request, decision, foregone: place.decision !== undefined };
      expect({ ...shown, allowed: decision.allowed }).toEqual({
        ...shown,
        allowed: slowRequestVerdict(authorization.rules, of, request),
      });
      expect({ ...shown, unread: decide(judge, of).allowed }).toEqual({
        ...shown,
        unread: slowVerdict(authorization.rules, of),
      });
    }
  });

  test('come to both verdicts often enough to tell, and often only with the request', () => {
    const verdicts = seeds.flatMap((seed) => {
      const random = new RandomRequests(seed);
      const authorization = random.rules(1 + (seed % 9));
      const judge = prepare(authorization, 'cluster.local');
      return Array.from({ length: 20 }, () => {
        const of = random.call();
        const open = standing(judge, of).decision === undefined;
        return { open, allowed: slowRequestVerdict(authorization.rules, of, random.request()) };
      });
    });
    const share = (of: (each: (typeof verdicts)[number]) => boolean): number =>
      verdicts.filter(of).length / verdicts.length;
    expect(share(({ allowed }) => allowed)).toBeGreaterThan(0.15);
    expect(share(({ allowed }) => allowed)).toBeLessThan(0.85);
    expect(share(({ open }) => open)).toBeGreaterThan(0.15);
  });
});

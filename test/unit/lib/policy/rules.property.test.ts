// The compiler of rules under whatever people may write: it never throws, what it makes survives the wire, and nothing that is not understood
// lets in more or holds back less than what stands beside it.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AuthorizationRule, AuthorizationTarget } from '../../../../lib/api/authorization.ts';
import { type Call, decide, decideRequest, standing } from '../../../../lib/api/decide.ts';
import { prepare } from '../../../../lib/api/judge.ts';
import { canonicalPath } from '../../../../lib/api/path.ts';
import { hostOf, type RequestFacts } from '../../../../lib/api/request.ts';
import { conditionLanguage } from '../../../../lib/cel/language.ts';
import { compileAuthorization } from '../../../../lib/policy/authorization.ts';
import { parseAuthorization } from '../../../../sidecar/control/authorization.ts';
import { testPolicy } from '../../../support/policies.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const now = new Date('2026-11-22T12:00:00Z');
const sources = {
  baselines: [],
  accounts: { all: () => [], any: () => [] },
  role: () => undefined,
  trustDomain: 'cluster.local',
};

const piece = fc.constantFrom(
  'a',
  'A',
  'b',
  '*',
  '..',
  '.',
  '',
  '%61',
  '%2f',
  '%',
  ';',
  'x y',
  'é',
  '%C3%A9',
  '~',
  '\\',
);
const path = fc.array(piece, { maxLength: 4 }).map((pieces) => `/${pieces.join('/')}`);
const anyPath = fc.oneof({ weight: 8, arbitrary: path }, { weight: 1, arbitrary: fc.string({ maxLength: 12 }) });
const host = fc.constantFrom('shop', 'a.shop', '*.shop', '*', 'SHOP', 'shop.', 'shop:80', '', '[::1]', '*.*', 'x/y');
const method = fc.constantFrom('GET', 'get', 'PUT', '', 'G T');
const list = <T>(of: fc.Arbitrary<T>) => fc.option(fc.array(of, { maxLength: 3 }), { nil: undefined });

function present<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}

const target = fc
  .record({
    ports: list(fc.constantFrom(80, 8080)),
    methods: list(method),
    paths: list(anyPath),
    hosts: list(host),
    grpcMethods: list(fc.constantFrom('a.B/C', 'a.B/*', '/a', 'a//b', '')),
  })
  .map((value) => present(value) as AuthorizationTarget);
const rule = fc
  .record({
    effect: fc.constantFrom('Allow' as const, 'Deny' as const),
    from: list(fc.constantFrom({ services: ['web'] }, { ipBlocks: ['10/8'] }, { namespaces: ['dev'] })),
    to: list(target),
    when: fc.option(fc.constantFrom('true', 'request.path == "/a"', '1 +', 'request.headers["x"] == "a"'), {
      nil: undefined,
    }),
  })
  .map((value): Omit<AuthorizationRule, 'name'> => present(value) as Omit<AuthorizationRule, 'name'>);
const call = fc.record({
  identity: fc.constantFrom('spiffe://cluster.local/ns/shop/svc/web', undefined),
  address: fc.constantFrom('10.0.0.1', ''),
  port: fc.constantFrom(80, 8080, 9090),
});
const request = fc
  .record({ method, target: anyPath, authority: host })
  .map(({ method: verb, target: sent, authority }): RequestFacts => {
    const canonical = canonicalPath(sent);
    return { method: verb, host: hostOf(authority), path: canonical.ok ? canonical.path : undefined };
  });

const compiled = (rules: readonly Omit<AuthorizationRule, 'name'>[]) =>
  compileAuthorization(
    testPolicy('api', { authorization: { rules: rules.map((each, index) => ({ ...each, name: `r${index}` })) } }),
    sources,
  );
const allows = (authorization: ReturnType<typeof parseAuthorization>, of: Call, asked: RequestFacts): boolean =>
  decideRequest(standing(prepare(authorization, 'cluster.local', conditionLanguage), of), asked, now).allowed;

const parameters = runs(300);
const timeout = runsTimeout(60_000);

describe('rules of whatever kind', () => {
  test(
    'are compiled, and come over the wire as they are',
    () => {
      fc.assert(
        fc.property(fc.array(rule, { maxLength: 4 }), (rules) => {
          const { authorization } = compiled(rules);
          const sent: unknown = authorization === undefined ? undefined : JSON.parse(JSON.stringify(authorization));
          expect(parseAuthorization(sent)).toEqual(authorization);
        }),
        parameters,
      );
    },
    timeout,
  );

  test(
    'that allow let in no more when one more pattern is asked for that nobody understands',
    () => {
      const strange = fc.constantFrom('*', '/a/*/b', 'a', '/a?b', '/a;b', '/..');
      fc.assert(
        fc.property(target, strange, call, request, (to, pattern, of, asked) => {
          const paths = to.paths === undefined || to.paths.length === 0 ? [] : to.paths;
          const effect = 'Allow' as const;
          const { authorization: with_ } = compiled([{ effect, to: [{ ...to, paths: [...paths, pattern] }] }]);
          const { authorization: without } = compiled([{ effect, to: [to] }]);
          if (allows(with_, of, asked)) expect(allows(without, of, asked)).toBe(true);
        }),
        parameters,
      );
    },
    timeout,
  );

  test(
    'that deny hold back no less when one more pattern is named that nobody understands',
    () => {
      const strange = fc.constantFrom('*', '/a/*/b', 'a', '/a?b', '/a;b', '/..');
      fc.assert(
        fc.property(target, strange, call, request, (to, pattern, of, asked) => {
          const effect = 'Deny' as const;
          const hosts = to.hosts ?? ['shop'];
          const plain = { ...to, hosts };
          const { authorization: without } = compiled([{ effect, to: [plain] }]);
          const { authorization: with_ } = compiled([
            { effect, to: [{ ...plain, hosts: hosts.length === 0 ? hosts : [...hosts, `${pattern}:*`] }] },
          ]);
          if (!allows(without, of, asked)) expect(allows(with_, of, asked)).toBe(false);
        }),
        parameters,
      );
    },
    timeout,
  );

  test(
    'let nobody in by requests whom they would not where none is read, unless by what was asked for',
    () => {
      fc.assert(
        fc.property(fc.array(rule, { maxLength: 4 }), call, request, (rules, of, asked) => {
          const { authorization } = compiled(rules);
          const judge = prepare(authorization, 'cluster.local', conditionLanguage);
          // Unread is the strictest reading of all: whoever passes then passes with any request.
          if (decide(judge, of).allowed) expect(allows(authorization, of, asked)).toBe(true);
        }),
        parameters,
      );
    },
    timeout,
  );

  test(
    'about one path say the same of every request that means it',
    () => {
      fc.assert(
        fc.property(path, path, (pattern, sent) => {
          const [wanted, is] = [canonicalPath(pattern), canonicalPath(sent)];
          const { authorization } = compiled([{ effect: 'Allow', to: [{ paths: [pattern] }] }]);
          const of = { identity: undefined, address: '10.0.0.1', port: 80 };
          const asked = { method: 'GET', host: 'shop', path: is.ok ? is.path : undefined };
          const isPlain = wanted.ok && !pattern.includes('*');
          if (isPlain) expect(allows(authorization, of, asked)).toBe(is.ok && is.path === wanted.path);
          else if (!wanted.ok && !pattern.endsWith('/*')) expect(allows(authorization, of, asked)).toBe(false);
        }),
        parameters,
      );
    },
    timeout,
  );
});

// Conditions are taken apart and asked by programs of our own, in another order, sharing what they have in common. Whatever the condition and the
// request, that comes to what the library makes of the whole.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ConditionFacts } from '../../../../lib/api/condition.ts';
import { conditionFault, conditionLanguage } from '../../../../lib/cel/language.ts';
import { wholeCondition } from '../../../../lib/cel/library.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const text = fc.constantFrom('a', 'GET', 'shop', '/a/b', 'b', '', 'é', '"', "it's", 'a)) == ((b', '\\');
const literal = text.map((value) => JSON.stringify(value));
const attribute = fc.constantFrom(
  'source.identity',
  'source.namespace',
  'source.service',
  'source.address',
  'request.method',
  'request.path',
  'request.host',
  'request.headers["x-a"]',
  'request.headers.gone',
  'request.headers["constructor"]',
  '(request.headers)["x-a"]',
);
const claim = fc.constantFrom(
  'request.auth.claims.sub',
  'request.auth.claims["sub"]',
  'request.auth.claims.groups',
  'request.auth.claims.mixed',
  'request.auth.claims.empty',
  'request.auth.claims.level',
  'request.auth.claims.none',
  'request.auth.claims.deep.roles',
  'request.auth.claims.deep["roles"]',
  'request.auth.claims.deep.gone.further',
  'request.auth.claims.own.name',
  'request.auth.claims.groups.name',
  'request.auth.claims.gone',
  'request.auth.claims.constructor',
  'request.auth.claims.deep',
);
const relation = fc.constantFrom('==', '!=');
const atom = fc.oneof(
  fc.tuple(attribute, relation, literal).map((parts) => parts.join(' ')),
  fc.tuple(literal, relation, attribute).map((parts) => parts.join(' ')),
  fc.tuple(attribute, relation, attribute).map((parts) => parts.join(' ')),
  fc.tuple(attribute, fc.array(literal, { maxLength: 3 })).map(([of, list]) => `${of} in [${list.join(', ')}]`),
  fc
    .tuple(attribute, fc.constantFrom('startsWith', 'endsWith', 'contains'), literal)
    .map(([of, method, with_]) => `${of}.${method}(${with_})`),
  fc.tuple(claim, relation, literal).map((parts) => parts.join(' ')),
  fc.tuple(literal, relation, claim).map((parts) => parts.join(' ')),
  fc.tuple(literal, claim).map(([value, of]) => `${value} in ${of}`),
  fc.tuple(claim, fc.constantFrom('1', '1.0', 'null', 'true')).map(([of, value]) => `${of} == ${value}`),
  fc.constantFrom(
    'true',
    'false',
    'request.auth.present',
    'request.auth.present == true',
    '"x-a" in request.headers',
    '"gone" in request.headers',
    '"sub" in request.auth.claims',
    '"toString" in request.auth.claims',
    'has(request.auth.claims.sub)',
    'has(request.headers.gone)',
    'destination.port == 8080',
    'destination.port != 8080',
    '8080 == destination.port',
    'destination.port < 9000',
    '(destination.port + 1) * 2 == 16162',
    '((destination.port)) == ((8080))',
    '1 / (destination.port - 8080) == 1',
    'request.auth.claims.flag',
    'request.auth.claims.sub',
    '0.00000000000001 > 0.0',
    'now.getHours() == 12',
    'request.auth.claims.groups.exists(g, g == "a")',
    'request.auth.claims.mixed.exists(g, g == "a")',
    'request.auth.claims.deep.exists(g, g == "roles")',
    'request.auth.claims.deep.roles.exists(g, "shop" == g)',
    'request.auth.claims.sub.exists(g, g == "a")',
    '"a".startsWith(source.namespace)',
    'size(request.path) > 3',
  ),
);
const { condition } = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    atom,
    fc
      .tuple(tie('condition'), fc.constantFrom('&&', '||'), tie('condition'))
      .map(([left, op, right]) => `(${left}) ${op} ${right}`),
    fc
      .tuple(tie('condition'), fc.constantFrom('&&', '||'), tie('condition'))
      .map(([left, op, right]) => `${left} ${op} (${right})`),
    tie('condition').map((of) => `!(${of})`),
    fc.tuple(tie('condition'), tie('condition'), tie('condition')).map(([a, b, c]) => `((${a}) ? (${b}) : (${c}))`),
  ),
}));

const named = (members: Record<string, string>): Record<string, string> =>
  Object.assign(Object.create(null) as Record<string, string>, members);
const claims = fc.constantFrom<ConditionFacts['request']['claims']>(
  undefined,
  {},
  { sub: 'a', flag: true },
  {
    sub: 1,
    groups: ['a', 'b'],
    mixed: [1, 'a'],
    empty: [],
    level: 1,
    none: null,
    deep: { roles: ['shop'], gone: 'a' },
    own: { constructor: 'a', name: 'b' },
    flag: 'yes',
  },
);
const facts = fc
  .record({
    identity: fc.constantFrom(undefined, 'spiffe://cluster.local/ns/shop/svc/web', 'a'),
    port: fc.constantFrom(80, 8080),
    namespace: fc.constantFrom(undefined, 'shop'),
    method: fc.constantFrom('GET', 'a'),
    host: fc.constantFrom(undefined, 'shop', 'a'),
    path: fc.constantFrom(undefined, '/a/b', '/'),
    headers: fc.constantFrom(undefined, named({}), named({ 'x-a': 'a', gone: '' })),
    claims,
  })
  .map(
    ({ identity, port, namespace, method, host, path, headers, claims: has }): ConditionFacts => ({
      call: { identity, address: '10.0.0.1', port },
      namespace,
      service: namespace === undefined ? undefined : 'web',
      request: {
        method,
        host,
        path,
        ...(headers === undefined ? {} : { headers }),
        ...(has === undefined ? {} : { claims: has }),
      },
      now: new Date('2026-11-22T12:30:00Z'),
    }),
  );

const parameters = runs(400);
const timeout = runsTimeout(60_000);

describe('conditions that were taken apart', () => {
  test(
    'come to what the library makes of each as a whole, for one request after the other',
    () => {
      fc.assert(
        fc.property(
          fc.array(condition, { minLength: 1, maxLength: 3 }),
          fc.array(facts, { minLength: 1, maxLength: 3 }),
          (texts, asked) => {
            const fit = texts.filter((each) => conditionFault(each) === undefined);
            const compile = conditionLanguage.compiler();
            const compiled = fit.map((each) => compile(each));
            // Twice around, so that nothing of the request before is left in what they share.
            for (const each of [...asked, ...asked]) {
              expect({ fit, came: compiled.map((one) => one?.(each)) }).toEqual({
                fit,
                came: fit.map((one) => wholeCondition(one)(each)),
              });
            }
          },
        ),
        parameters,
      );
    },
    timeout,
  );

  test('that the table above makes are conditions for the most part', () => {
    const texts = fc.sample(condition, { seed: 6, numRuns: 400 });
    const fit = texts.filter((each) => conditionFault(each) === undefined);
    expect(fit.length).toBeGreaterThan(200);
  });

  test('ask what they have in common once for each request', () => {
    let asked = 0;
    const watched: ConditionFacts = {
      call: { identity: 'a', address: '', port: 1 },
      namespace: undefined,
      service: undefined,
      request: {
        method: 'GET',
        host: undefined,
        path: '/',
        get headers() {
          asked += 1;
          return named({ 'x-a': 'b' });
        },
      },
      now: new Date(0),
    };
    const compile = conditionLanguage.compiler();
    const conditions = ['a', 'b', 'c'].map((value) => compile(`request.headers["x-a"] == "${value}"`));
    const askAll = (facts_: ConditionFacts): number => {
      asked = 0;
      expect(conditions.map((each) => each?.(facts_))).toEqual([false, true, false]);
      return asked;
    };
    const once = askAll(watched);
    expect(once).toBeLessThanOrEqual(2);
    expect(askAll(watched)).toBe(0);
    expect(askAll({ ...watched })).toBe(once);
  });
});

// What a condition may cost one request, whatever the claims of its token.
import { describe, expect, test } from '@jest/globals';
import type { ConditionFacts } from '../../../../lib/api/condition.ts';
import { MOST_STEPS, nodesPerElement } from '../../../../lib/cel/cost.ts';
import { environment } from '../../../../lib/cel/environment.ts';
import { conditionLanguage } from '../../../../lib/cel/language.ts';

const asked = (text: string, claims: Readonly<Record<string, unknown>> | undefined): boolean | undefined => {
  const request = { method: 'GET', host: 'shop', path: '/', headers: {} };
  const facts: ConditionFacts = {
    call: { identity: undefined, address: '10.0.0.1', port: 8080 },
    namespace: undefined,
    service: undefined,
    request: claims === undefined ? request : { ...request, claims },
    now: new Date('2026-11-22T12:00:00Z'),
  };
  return conditionLanguage.compile(text)?.(facts);
};
const list = (length: number): readonly string[] => Array.from({ length }, (_, index) => `g-${index}`);

describe('the nodes for each element', () => {
  test.each([
    ['request.method == "GET"', 0],
    ['request.auth.claims.l.exists(g, g == "a")', 3],
    ['request.auth.claims.l.exists(g, g == "a" && true)', 5],
    ['request.auth.claims.l.all(g, g.startsWith("a") || g == "b")', 7],
    ['request.auth.claims.l.exists(g, g == "a") || [1, 2].all(x, x > 1)', 6],
    ['!(true && request.auth.claims.l.exists_one(g, g == "a"))', 3],
    ['(request.auth.claims.l + request.auth.claims.l + request.auth.claims.l).exists(g, g == "a")', 9],
  ])('of %s are %d', (text, nodes) => {
    expect(nodesPerElement(environment.parse(text).ast)).toBe(nodes);
  });
});

describe('a condition', () => {
  const walks = 'request.auth.claims.l.exists(g, g.endsWith("-1"))';
  const most = Math.floor(MOST_STEPS / nodesPerElement(environment.parse(walks).ast));

  test.each<readonly [string, string, Readonly<Record<string, unknown>> | undefined, boolean | undefined]>([
    ['walks over a list as long as it may be', walks, { l: list(most) }, true],
    ['fails over one that is longer', walks, { l: list(most + 1) }, undefined],
    ['fails whatever else would hold', `true || ${walks}`, { l: list(most + 1) }, undefined],
    ['fails by a list inside of other claims', walks, { l: [], of: { of: [{ l: list(most + 1) }] } }, undefined],
    [
      'fails over a map of too many names',
      walks,
      { l: Object.fromEntries(list(most + 1).map((each) => [each, 1])) },
      undefined,
    ],
    ['that walks over several lists has less for each', `${walks} || ${walks}`, { l: list(most - 1) }, undefined],
    ['that walks over nothing is asked of any claims', '"g-1" in request.auth.claims.l', { l: list(most * 2) }, true],
    ['without claims has nothing long to walk over', '[1, 2].exists(x, x == 2)', undefined, true],
  ])('%s', (_, text, claims, expected) => {
    expect(asked(text, claims)).toBe(expected);
  });
});

import { describe, expect, test } from '@jest/globals';
import type { Authorization, RuleMatch } from '../../../../lib/api/authorization.ts';
import { type Call, decide } from '../../../../lib/api/decide.ts';
import { prepare } from '../../../../lib/api/judge.ts';
import { RandomRules, slowVerdict } from '../../../support/authorization.ts';

const web = 'spiffe://cluster.local/ns/shop/svc/web';
const job = 'spiffe://cluster.local/ns/dev/svc/job';
const old = 'spiffe://cluster.local/ns/shop/sa/web';
const away = 'spiffe://other.example/ns/shop/svc/web';

const rules = (...list: readonly RuleMatch[]): Authorization => ({ form: 1, rules: list });
const call = (identity?: string, port = 8080, address = '10.0.0.1'): Call => ({ identity, address, port });
const judged = (authorization: Authorization | undefined, of: Call) =>
  decide(prepare(authorization, 'cluster.local'), of);

const allow = (more: Partial<RuleMatch> = {}): RuleMatch => ({ name: 'allow', effect: 'Allow', ...more });
const deny = (more: Partial<RuleMatch> = {}): RuleMatch => ({ name: 'deny', effect: 'Deny', ...more });

describe('a call', () => {
  test.each<readonly [string, Authorization | undefined, Call, boolean, string | undefined]>([
    ['is allowed where there are no rules', undefined, call(web), true, undefined],
    ['without an identity is allowed where there are no rules', undefined, call(), true, undefined],
    ['is allowed by a list without rules', rules(), call(web), true, undefined],
    [
      'is allowed where no Deny rule matches and there is no Allow rule',
      rules(deny({ from: [{ namespaces: ['dev'] }] })),
      call(web),
      true,
      undefined,
    ],
    ['is denied where a Deny rule matches', rules(deny({ from: [{ namespaces: ['dev'] }] })), call(job), false, 'deny'],
    ['is denied by a Deny rule for anyone', rules(deny()), call(), false, 'deny'],
    ['is denied although an Allow rule before it matches', rules(allow(), deny()), call(web), false, 'deny'],
    ['is allowed by an Allow rule for anyone', rules(allow()), call(), true, 'allow'],
    [
      'is denied where no Allow rule matches',
      rules(allow({ from: [{ services: ['api'] }] })),
      call(web),
      false,
      undefined,
    ],
    [
      'is allowed where one of two Allow rules matches',
      rules(allow({ name: 'other', from: [{ services: ['api'] }] }), allow({ from: [{ services: ['web'] }] })),
      call(web),
      true,
      'allow',
    ],
    ['is denied where all that is allowed is nobody', rules(allow({ from: [] })), call(web), false, undefined],
    ['is denied where all that is allowed is nothing', rules(allow({ to: [] })), call(web), false, undefined],
    ['is allowed where all that is denied is nobody', rules(deny({ from: [] })), call(web), true, undefined],
    ['matches by port', rules(allow({ to: [{ ports: [8080] }] })), call(web), true, 'allow'],
    ['to another port does not match', rules(allow({ to: [{ ports: [8080] }] })), call(web, 9090), false, undefined],
    [
      'matches the second of two targets',
      rules(allow({ to: [{ ports: [1] }, { ports: [2, 8080] }] })),
      call(web),
      true,
      'allow',
    ],
    ['matches a target without ports', rules(allow({ to: [{}] })), call(web, 5), true, 'allow'],
    [
      'must match every list of an entry',
      rules(allow({ from: [{ services: ['web'], namespaces: ['dev'] }] })),
      call(web),
      false,
      undefined,
    ],
    [
      'may match any entry',
      rules(allow({ from: [{ services: ['web'], namespaces: ['dev'] }, { namespaces: ['shop'] }] })),
      call(web),
      true,
      'allow',
    ],
    [
      'must match callers and targets',
      rules(allow({ from: [{ services: ['web'] }], to: [{ ports: [9090] }] })),
      call(web),
      false,
      undefined,
    ],
    ['matches an identity as it is', rules(allow({ from: [{ identities: [web] }] })), call(web), true, 'allow'],
    [
      'does not match an identity as a pattern',
      rules(allow({ from: [{ identities: ['spiffe://cluster.local/ns/shop/svc/.*'] }] })),
      call(web),
      false,
      undefined,
    ],
    [
      'does not match a service as a pattern',
      rules(allow({ from: [{ services: ['*'] }] })),
      call(web),
      false,
      undefined,
    ],
    [
      'does not match by the beginning of a name',
      rules(allow({ from: [{ services: ['we'] }] })),
      call(web),
      false,
      undefined,
    ],
    [
      'of another trust domain matches by its identity',
      rules(allow({ from: [{ identities: [away] }] })),
      call(away),
      true,
      'allow',
    ],
    [
      'of another trust domain is of no namespace here',
      rules(allow({ from: [{ namespaces: ['shop'] }] })),
      call(away),
      false,
      undefined,
    ],
    [
      'of another trust domain is no service here',
      rules(allow({ from: [{ services: ['web'] }] })),
      call(away),
      false,
      undefined,
    ],
    [
      'of a trust domain that begins like ours is no service here',
      rules(allow({ from: [{ services: ['web'] }] })),
      call('spiffe://cluster.local.evil/ns/shop/svc/web'),
      false,
      undefined,
    ],
    [
      'named by a service account is of its namespace',
      rules(allow({ from: [{ namespaces: ['shop'] }] })),
      call(old),
      true,
      'allow',
    ],
    [
      'named by a service account is no service of that name',
      rules(allow({ from: [{ services: ['web'] }] })),
      call(old),
      false,
      undefined,
    ],
    [
      'named by a service account matches as its holder',
      rules(allow({ from: [{ holders: [old] }] })),
      call(old),
      true,
      'allow',
    ],
    [
      'without an identity matches no service',
      rules(allow({ from: [{ services: ['web'] }] })),
      call(),
      false,
      undefined,
    ],
    [
      'without an identity is held back by no Deny rule for services',
      rules(deny({ from: [{ services: ['web'] }] })),
      call(),
      true,
      undefined,
    ],
    [
      'without an identity matches by its address',
      rules(allow({ from: [{ ipBlocks: ['10.0.0.0/8'] }] })),
      call(),
      true,
      'allow',
    ],
    [
      'without an identity does not match by address alone where more is asked',
      rules(allow({ from: [{ ipBlocks: ['10.0.0.0/8'], services: ['web'] }] })),
      call(),
      false,
      undefined,
    ],
    [
      'from IPv4 in the form of IPv6 is from IPv4',
      rules(deny({ from: [{ ipBlocks: ['10.0.0.0/8'] }] })),
      call(web, 80, '::ffff:10.9.9.9'),
      false,
      'deny',
    ],
    ['from IPv4 is in no range of IPv6', rules(allow({ from: [{ ipBlocks: ['::/0'] }] })), call(web), false, undefined],
    [
      'from something that is no address lies in no range',
      rules(allow({ from: [{ ipBlocks: ['0.0.0.0/0', '::/0'] }] })),
      call(web, 80, ''),
      false,
      undefined,
    ],
    [
      'is not allowed by a range that cannot be read',
      rules(allow({ from: [{ ipBlocks: ['10/8'] }] })),
      call(web),
      false,
      undefined,
    ],
    [
      'is denied by a range that cannot be read',
      rules(deny({ from: [{ ipBlocks: ['10/8'] }] })),
      call(web),
      false,
      'deny',
    ],
    [
      'is not denied by a range that cannot be read where another list does not match',
      rules(deny({ from: [{ ipBlocks: ['10/8'], services: ['api'] }] })),
      call(web),
      true,
      undefined,
    ],
  ])('%s', (...[, authorization, of, allowed, rule]) => {
    expect(judged(authorization, of)).toEqual({ allowed, rule, audited: [], wouldBe: undefined });
  });
});

describe('a rule in audit mode', () => {
  test.each<readonly [string, Authorization, Call, ReturnType<typeof decide>]>([
    [
      'that denies is told and not enforced',
      rules(deny({ audit: true })),
      call(web),
      { allowed: true, rule: undefined, audited: ['deny'], wouldBe: false },
    ],
    [
      'that allows does not make the others denied',
      rules(allow({ audit: true, from: [{ services: ['api'] }] })),
      call(web),
      { allowed: true, rule: undefined, audited: [], wouldBe: false },
    ],
    [
      'that allows tells of whom it would allow',
      rules(allow({ audit: true, from: [{ services: ['web'] }] })),
      call(web),
      { allowed: true, rule: undefined, audited: ['allow'], wouldBe: undefined },
    ],
    [
      'that allows tells of whom it would let in beside those that are',
      rules(allow({ name: 'api', from: [{ services: ['api'] }] }), allow({ audit: true })),
      call(web),
      { allowed: false, rule: undefined, audited: ['allow'], wouldBe: true },
    ],
    [
      'that denies what is denied anyhow changes nothing',
      rules(deny({ name: 'all' }), deny({ audit: true })),
      call(web),
      { allowed: false, rule: 'all', audited: ['deny'], wouldBe: undefined },
    ],
    [
      'that does not match says nothing',
      rules(allow(), deny({ audit: true, from: [{ services: ['api'] }] })),
      call(web),
      { allowed: true, rule: 'allow', audited: [], wouldBe: undefined },
    ],
  ])('%s', (_, authorization, of, expected) => {
    expect(judged(authorization, of)).toEqual(expected);
  });
});

describe('random rules', () => {
  const seeds = Array.from({ length: 300 }, (_, index) => index + 1);

  test.each(seeds)('decide as the slow judge does (seed %i)', (seed) => {
    const random = new RandomRules(seed);
    // Every fifth has more clauses than fit into one word of a set.
    const authorization = random.rules(seed % 5 === 0 ? 70 : 1 + (seed % 9));
    const judge = prepare(authorization, 'cluster.local');
    for (let turn = 0; turn < 20; turn += 1) {
      const of = random.call();
      const decision = decide(judge, of);
      const shown = { authorization, of, decision };
      expect({ ...shown, allowed: decision.allowed }).toEqual({
        ...shown,
        allowed: slowVerdict(authorization.rules, of),
      });
      const enforced = authorization.rules.map(({ audit: _audit, ...rule }) => rule);
      expect({ ...shown, wouldBe: decision.wouldBe ?? decision.allowed }).toEqual({
        ...shown,
        wouldBe: slowVerdict(enforced, of),
      });
    }
  });

  test('come to both verdicts often enough to tell', () => {
    const verdicts = seeds.flatMap((seed) => {
      const random = new RandomRules(seed);
      const { rules: list } = random.rules(1 + (seed % 9));
      return Array.from({ length: 20 }, () => slowVerdict(list, random.call()));
    });
    const share = verdicts.filter((allowed) => allowed).length / verdicts.length;
    expect(share).toBeGreaterThan(0.2);
    expect(share).toBeLessThan(0.8);
  });
});

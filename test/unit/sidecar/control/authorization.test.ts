import { describe, expect, test } from '@jest/globals';
import { type Call, decide } from '../../../../lib/api/decide.ts';
import { prepare } from '../../../../lib/api/judge.ts';
import { parseAuthorization, UNREADABLE } from '../../../../sidecar/control/authorization.ts';

const call: Call = { identity: 'spiffe://cluster.local/ns/shop/svc/web', address: '10.0.0.1', port: 8080 };
const judged = (value: unknown, of: Call = call) => decide(prepare(parseAuthorization(value), 'cluster.local'), of);
const one = (rule: object) => ({ form: 1, rules: [rule] });

describe('rules that are understood', () => {
  test('are taken over as they are', () => {
    const value = {
      form: 1,
      rules: [
        {
          name: 'a',
          effect: 'Deny',
          audit: true,
          from: [{ services: ['web'], namespaces: ['shop'], ipBlocks: ['10.0.0.0/8'] }],
        },
        { name: 'b', effect: 'Allow', from: [{ identities: ['x'], holders: ['y'] }, {}], to: [{ ports: [80] }, {}] },
      ],
    };
    expect(parseAuthorization(value)).toEqual(value);
  });

  test('may be absent', () => {
    expect(parseAuthorization(undefined)).toBeUndefined();
  });
});

describe('nobody is let in', () => {
  test.each<readonly [string, unknown]>([
    ['by rules of another form', { form: 2, rules: [] }],
    ['by rules of no form', { rules: [] }],
    ['by null', null],
    ['by a list', []],
    ['by a member that is not known beside the rules', { form: 1, rules: [], verdict: 'Deny' }],
    ['by rules that are no list', { form: 1, rules: {} }],
    ['beside a rule that is no object', { form: 1, rules: ['x', { name: 'a', effect: 'Allow' }] }],
    ['beside a rule without a name', one({ effect: 'Allow' })],
    ['beside an effect that is not known', one({ name: 'a', effect: 'Custom' })],
    ['beside an audit that is no boolean', one({ name: 'a', effect: 'Allow', audit: 'yes' })],
  ])('%s', (_, value) => {
    expect(judged(value)).toMatchObject({ allowed: false, rule: UNREADABLE });
  });
});

describe('a part that is not known', () => {
  test.each<readonly [string, object]>([
    ['of an Allow rule', { when: 'true' }],
    ['of its callers', { from: [{ services: ['web'], groups: ['x'] }] }],
    ['of its targets', { to: [{ ports: [8080], methods: ['GET'] }] }],
    ['in the form of its callers', { from: {} }],
    ['in the form of one caller', { from: ['web'] }],
    ['in the form of a list of callers', { from: [{ services: 'web' }] }],
    ['in the form of its targets', { to: 'x' }],
    ['in the form of one target', { to: [8080] }],
    ['in the form of its ports', { to: [{ ports: ['8080'] }] }],
  ])('%s makes it allow nothing', (_, part) => {
    expect(judged(one({ name: 'a', effect: 'Allow', ...part }))).toMatchObject({ allowed: false, rule: undefined });
  });

  test('of one caller or target leaves the others of an Allow rule as they are', () => {
    const from = [{ groups: ['x'] }, { services: ['web'] }];
    const to = [{ methods: ['GET'] }, { ports: [8080] }];
    expect(judged(one({ name: 'a', effect: 'Allow', from, to }))).toMatchObject({ allowed: true, rule: 'a' });
  });

  test.each<readonly [string, object]>([
    ['of a Deny rule', { when: 'false' }],
    ['of its callers', { from: [{ services: ['web'], groups: ['x'] }] }],
    ['of its targets', { to: [{ ports: [8080], methods: ['DELETE'] }] }],
    ['in the form of its callers', { from: {} }],
    ['in the form of one caller', { from: ['web'] }],
    ['in the form of its targets', { to: 'x' }],
    ['in the form of its ports', { to: [{ ports: ['80'] }] }],
  ])('%s is taken for fulfilled', (_, part) => {
    expect(judged(one({ name: 'a', effect: 'Deny', ...part }))).toMatchObject({ allowed: false, rule: 'a' });
  });

  test('of a Deny rule leaves the rest of it as it is', () => {
    const rule = {
      name: 'a',
      effect: 'Deny',
      from: [{ services: ['api'], groups: ['x'] }],
      to: [{ ports: [80], methods: [] }],
    };
    expect(judged(one(rule))).toMatchObject({ allowed: true });
    expect(judged(one({ ...rule, from: [{ services: ['web'], groups: ['x'] }] }))).toMatchObject({ allowed: true });
    expect(judged(one({ ...rule, from: [{ services: ['web'], groups: ['x'] }] }), { ...call, port: 80 })).toMatchObject(
      { allowed: false },
    );
  });
});

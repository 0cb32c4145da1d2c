import { describe, expect, test } from '@jest/globals';
import type { TLSBaseline, TLSRole } from '../../../../lib/api/tlsbaseline.ts';
import type { TLSPolicy } from '../../../../lib/api/tlspolicy.ts';
import type { Pod } from '../../../../lib/kube/object.ts';
import { Accounts } from '../../../../operator/mesh/accounts.ts';
import { Rulebook } from '../../../../operator/mesh/rulebook.ts';
import { testBaseline, testRole } from '../../../support/baselines.ts';
import { pod as meshPod } from '../../../support/meshbench.ts';
import { testPolicy } from '../../../support/policies.ts';

const id = (service: string): string => `spiffe://cluster.local/ns/shop/svc/${service}`;

/** A pod `<service>-<n>` that runs with an account. */
function pod(name: string, serviceAccountName: string | undefined, phase?: string): Pod {
  const made = meshPod({ name, ips: [] });
  const spec = { containers: [], ...made.spec, ...(serviceAccountName === undefined ? {} : { serviceAccountName }) };
  return { ...made, spec, ...(phase === undefined ? {} : { status: { ...made.status, phase } }) };
}

function book() {
  const changed: string[] = [];
  const accounts = new Accounts('cluster.local', (account) => changed.push(account));
  return {
    accounts,
    changed,
    add: (...pods: readonly Pod[]) => pods.forEach((each) => accounts.podChanged(undefined, each)),
  };
}

describe('the services that stand for an account', () => {
  test('are those of which all pods run with it, or any', () => {
    const { accounts, add } = book();
    add(pod('web-1', 'front'), pod('web-2', 'front'), pod('cart-1', 'front'), pod('cart-2', 'back'));
    expect(accounts.all('shop', 'front')).toEqual([id('web')]);
    expect(accounts.any('shop', 'front')).toEqual([id('cart'), id('web')]);
    expect(accounts.any('pay', 'front')).toEqual([]);
  });

  test('without a stated account run with the default one', () => {
    const { accounts, add } = book();
    add(pod('web-1', undefined));
    expect(accounts.all('shop', 'default')).toEqual([id('web')]);
  });

  test('follow a rolling change of account', () => {
    const { accounts, changed, add } = book();
    add(pod('web-1', 'old'));
    changed.length = 0;
    add(pod('web-2', 'new'));
    expect(changed.sort()).toEqual(['shop/new', 'shop/old']);
    expect([accounts.all('shop', 'old'), accounts.all('shop', 'new')]).toEqual([[], []]);
    expect([accounts.any('shop', 'old'), accounts.any('shop', 'new')]).toEqual([[id('web')], [id('web')]]);
    changed.length = 0;
    accounts.podChanged(pod('web-1', 'old'), undefined);
    expect(changed.sort()).toEqual(['shop/new', 'shop/old']);
    expect([accounts.any('shop', 'old'), accounts.all('shop', 'new')]).toEqual([[], [id('web')]]);
  });

  test('do not change with another pod of the same account', () => {
    const { changed, add } = book();
    add(pod('web-1', 'front'));
    changed.length = 0;
    add(pod('web-2', 'front'));
    expect(changed).toEqual([]);
  });

  test('are left by pods that have finished', () => {
    const { accounts, add } = book();
    add(pod('web-1', 'front'));
    accounts.podChanged(pod('web-1', 'front'), pod('web-1', 'front', 'Succeeded'));
    expect(accounts.any('shop', 'front')).toEqual([]);
  });

  test('are none that nobody injected', () => {
    const { accounts, add } = book();
    const plain = pod('web-1', 'front');
    add({ ...plain, metadata: { ...plain.metadata, labels: {} } });
    expect(accounts.any('shop', 'front')).toEqual([]);
  });
});

describe('the rulebook', () => {
  function rulebook() {
    const baselines: TLSBaseline[] = [];
    const roles: TLSRole[] = [];
    const { accounts, add } = book();
    const role = (name: string): TLSRole | undefined => roles.find(({ metadata }) => metadata.name === name);
    const rules = new Rulebook({ accounts, role, baselines: () => baselines, trustDomain: 'cluster.local' });
    return { rules, baselines, roles, add };
  }
  const policy: TLSPolicy = testPolicy('api', {
    authorization: {
      rules: [
        { name: 'a', roles: ['metrics'] },
        { name: 'b', from: [{ serviceAccounts: ['front'] }] },
      ],
    },
  });

  test('gives one object for equal rules, also when all is looked at anew', () => {
    const { rules } = rulebook();
    const first = rules.of(policy);
    rules.revised();
    expect(rules.of(policy)).toBe(first);
    expect(rules.of({ ...policy, metadata: { ...policy.metadata, generation: 2 } })).toBe(first);
  });

  test('follows roles, baselines and accounts once it is told', () => {
    const { rules, roles, baselines, add } = rulebook();
    const before = rules.of(policy);
    roles.push(testRole('metrics', [{ ports: [9090] }]));
    expect(rules.of(policy)).toBe(before);
    rules.revised();
    expect(rules.of(policy)?.rules[0]?.to).toEqual([{ ports: [9090] }]);
    baselines.push(testBaseline('b', { mode: 'Mutual', authorization: { rules: [{ name: 'x' }] } }));
    add(pod('web-1', 'front'));
    rules.revised();
    expect(rules.of(policy)?.rules.map(({ name }) => name)).toEqual(['b/x', 'a', 'b']);
    expect(rules.of(policy)?.rules[2]?.from?.[0]?.holders).toContain(id('web'));
    expect(rules.of(undefined)?.rules.map(({ name }) => name)).toEqual(['b/x']);
    expect(rules.floor()).toMatchObject({ mode: 'Mutual', by: ['b'] });
  });

  test('knows whom a change of an account concerns', () => {
    const { rules, baselines } = rulebook();
    rules.policyChanged(undefined, policy);
    expect(rules.concerned('shop/front')).toEqual(new Set(['shop']));
    expect(rules.concerned('pay/front')).toEqual(new Set([]));
    baselines.push(
      testBaseline('b', {
        authorization: { rules: [{ name: 'x', from: [{ serviceAccounts: ['front'], namespaces: ['pay'] }] }] },
      }),
    );
    expect(rules.concerned('pay/front')).toBe('all');
    rules.policyChanged(policy, undefined);
    expect(rules.concerned('shop/front')).toEqual(new Set(['shop']));
  });
});

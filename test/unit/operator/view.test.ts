// From the caches to what a sidecar is told: policies, baselines, roles and service accounts as they come and go.
import { describe, expect, test } from '@jest/globals';
import type { TLSBaseline, TLSRole } from '../../../lib/api/tlsbaseline.ts';
import type { TLSPolicy } from '../../../lib/api/tlspolicy.ts';
import { type ConfigMap, type EndpointSlice, keyOf, type Pod, type Service } from '../../../lib/kube/object.ts';
import { ObjectStore } from '../../../lib/kube/store.ts';
import type { Caches } from '../../../operator/caches.ts';
import { clusterIndexes } from '../../../operator/certificates/cluster.ts';
import type { Mesh } from '../../../operator/mesh/mesh.ts';
import { meshFrom } from '../../../operator/view.ts';
import { testBaseline, testRole } from '../../support/baselines.ts';
import { pod as meshPod, StoodClock } from '../../support/meshbench.ts';
import { testPolicy } from '../../support/policies.ts';

function bench() {
  const stores = {
    pods: new ObjectStore<Pod>(clusterIndexes.pods),
    services: new ObjectStore<Service>(clusterIndexes.services),
    slices: new ObjectStore<EndpointSlice>(),
    policies: new ObjectStore<TLSPolicy>(clusterIndexes.policies),
    baselines: new ObjectStore<TLSBaseline>(),
    roles: new ObjectStore<TLSRole>(),
    ownConfigMaps: new ObjectStore<ConfigMap>(),
  };
  const domains = { namespace: 'tabard-system', trustDomain: 'cluster.local', clusterDomain: 'cluster.local' };
  // The other caches are not looked at.
  const mesh: Mesh = meshFrom({ stores: stores as unknown as Caches, clock: new StoodClock(), ...domains });
  const told: string[] = [];
  mesh.subscribe(({ pods }) => told.push(...pods));
  stores.pods.set(pod('api-1', '10.0.0.1'));
  const policy = () => {
    const found = mesh.podAt('10.0.0.1');
    return found === undefined ? undefined : mesh.policyOf(found);
  };
  return { stores, told, policy, rules: () => policy()?.authorization?.rules ?? [] };
}

function pod(name: string, ip: string, serviceAccountName = 'default'): Pod {
  const made = meshPod({ name, ips: [ip] });
  return { ...made, spec: { containers: [], ...made.spec, serviceAccountName } };
}

const ruled = (version: number): TLSPolicy =>
  testPolicy(
    'all',
    { authorization: { rules: [{ name: 'front', from: [{ serviceAccounts: ['front'] }], roles: ['metrics'] }] } },
    { generation: version, resourceVersion: String(version) },
  );

describe('what a pod is told', () => {
  test('follows its policy', () => {
    const { stores, rules, told } = bench();
    expect(rules()).toEqual([]);
    stores.policies.set(ruled(2));
    expect(rules()).toMatchObject([{ name: 'front', to: [] }]);
    expect(told).toContain('uid-shop-api-1');
    stores.policies.delete(keyOf(ruled(2).metadata));
    expect(rules()).toEqual([]);
  });

  test('follows the services that stand for an account, and hears of nothing else', () => {
    const { stores, rules, told } = bench();
    stores.policies.set(ruled(2));
    const holders = () => rules()[0]?.from?.[0]?.holders;
    told.length = 0;
    stores.pods.set(pod('web-1', '10.0.0.2', 'front'));
    expect(holders()).toContain('spiffe://cluster.local/ns/shop/svc/web');
    expect(told).toContain('uid-shop-api-1');
    told.length = 0;
    stores.pods.set(pod('web-2', '10.0.0.3', 'front'));
    stores.pods.set(pod('cart-1', '10.0.0.4', 'other'));
    expect(told).not.toContain('uid-shop-api-1');
    stores.pods.set(pod('web-3', '10.0.0.5', 'other'));
    expect(holders()).not.toContain('spiffe://cluster.local/ns/shop/svc/web');
    stores.pods.delete(keyOf(pod('web-3', '10.0.0.5').metadata));
    expect(holders()).toContain('spiffe://cluster.local/ns/shop/svc/web');
  });

  test('follows roles', () => {
    const { stores, rules, told } = bench();
    stores.policies.set(ruled(2));
    told.length = 0;
    stores.roles.set(testRole('metrics', [{ ports: [9090] }]));
    expect(rules()[0]?.to).toEqual([{ ports: [9090] }]);
    expect(told).toContain('uid-shop-api-1');
  });

  test('follows baselines, also without a policy', () => {
    const { stores, policy, rules, told } = bench();
    const floor = testBaseline('floor', { mode: 'Mutual', authorization: { rules: [{ name: 'no-dev' }] } });
    stores.policies.set(testPolicy('lax', { mode: 'Disabled' }));
    expect(policy()?.mode).toBe('Disabled');
    stores.baselines.set(floor);
    expect(policy()?.mode).toBe('Mutual');
    expect(rules()).toMatchObject([{ name: 'floor/no-dev', effect: 'Deny' }]);
    stores.policies.delete(keyOf(testPolicy('lax').metadata));
    expect(rules()).toHaveLength(1);
    told.length = 0;
    stores.baselines.delete(keyOf(floor.metadata));
    expect(rules()).toEqual([]);
    expect(told).toContain('uid-shop-api-1');
  });
});

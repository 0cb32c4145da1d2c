import { describe, expect, test } from '@jest/globals';
import type { Touched } from '../../../../operator/mesh/mesh.ts';
import { MeshBench, pod, StoodClock, service, slice } from '../../../support/meshbench.ts';

const api1 = pod({ name: 'api-1', ips: ['10.0.0.1'] });
const api = service({ name: 'api', ips: ['10.96.0.1'], spec: { externalIPs: ['198.51.100.7'] } });
const apiSlice = slice({ name: 'api-x', of: 'api', endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }] });

function touchedBy(bench: MeshBench, change: () => void): readonly string[] {
  const seen: string[] = [];
  const end = bench.mesh.subscribe((touched: Touched) => {
    seen.push(...touched.pods, ...touched.services, ...touched.addresses);
  });
  change();
  end();
  return seen.sort();
}

describe('what a change touches', () => {
  const full = () => new MeshBench(new StoodClock()).apply(api1, api, apiSlice);

  test.each<[string, readonly string[], (bench: MeshBench) => void]>([
    [
      'a new address of a pod: the pod, its Services, both addresses',
      ['10.0.0.1', '10.0.0.2', 'shop/api', 'uid-shop-api-1'],
      (bench) => bench.apply(pod({ name: 'api-1', ips: ['10.0.0.2'] })),
    ],
    ['a pod that is gone: the same', ['10.0.0.1', 'shop/api', 'uid-shop-api-1'], (bench) => bench.remove(api1)],
    ['a pod event that changes nothing for the mesh: nothing', [], (bench) => bench.apply({ ...api1 })],
    [
      'a pod outside the mesh: nothing',
      [],
      (bench) => bench.apply(pod({ name: 'x-1', ips: ['10.0.0.3'], injected: false })),
    ],
    [
      'a new pod that a Service selects: the Service before any slice',
      ['shop/api', 'uid-shop-api-2'],
      (bench) => bench.apply(pod({ name: 'api-2' })),
    ],
    [
      'a relabelled pod: the Service that no longer selects it, too',
      ['10.0.0.1', 'shop/api', 'uid-shop-api-1'],
      (bench) => bench.apply(pod({ name: 'api-1', ips: ['10.0.0.1'], labels: { app: 'other' } })),
    ],
    ['a Service: it and its addresses', ['10.96.0.1', '198.51.100.7', 'shop/api'], (bench) => bench.remove(api)],
    [
      'a Service with a new address: the old and the new',
      ['10.96.0.1', '10.96.0.2', '198.51.100.7', 'shop/api'],
      (bench) => bench.apply(service({ name: 'api', ips: ['10.96.0.2'] })),
    ],
    [
      'a slice: its Service and the addresses in it',
      ['10.0.0.1', '10.0.0.4', 'shop/api'],
      (bench) => bench.apply(slice({ name: 'api-x', of: 'api', endpoints: [{ ip: '10.0.0.4', pod: 'api-4' }] })),
    ],
    [
      'a slice that moves to another Service: both',
      ['10.0.0.1', 'shop/api', 'shop/web'],
      (bench) => bench.apply(slice({ name: 'api-x', of: 'web', endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }] })),
    ],
    [
      'a policy that changes what holds for a pod: the pod, its Services, its addresses',
      ['10.0.0.1', 'shop/api', 'uid-shop-api-1'],
      (bench) => {
        bench.policies.set('api', { mode: 'Disabled' });
        bench.mesh.policiesChanged('shop');
      },
    ],
    ['a policy event that changes nothing for a pod: nothing', [], (bench) => bench.mesh.policiesChanged()],
    [
      'a policy of another namespace: nothing',
      [],
      (bench) => {
        bench.policies.set('api', { mode: 'Disabled' });
        bench.mesh.policiesChanged('other');
      },
    ],
  ])('%s', (_name, expected, change) => {
    const bench = full();
    expect(touchedBy(bench, () => change(bench))).toEqual(expected);
  });

  test('a changed policy is in the next answer', () => {
    const bench = full();
    bench.policies.set('api', { mode: 'Disabled' });
    bench.mesh.policiesChanged('shop');
    expect(bench.at('10.96.0.1:80')).toBe('api.shop: 10.0.0.1:8080 policy_disabled');
  });

  test('a pod that is gone is no longer found, by uid or address', () => {
    const bench = full().remove(api1);
    expect([bench.mesh.pod('uid-shop-api-1'), bench.mesh.podAt('10.0.0.1')]).toEqual([undefined, undefined]);
    expect(bench.mesh.sizes()).toEqual({ pods: 0, services: 1, slices: 1 });
  });
});

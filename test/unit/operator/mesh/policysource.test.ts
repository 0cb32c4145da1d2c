import { describe, expect, test } from '@jest/globals';
import type { TLSPolicy } from '../../../../lib/api/tlspolicy.ts';
import type { Pod, Service } from '../../../../lib/kube/object.ts';
import { createMesh } from '../../../../operator/mesh/mesh.ts';
import { policySource } from '../../../../operator/mesh/policysource.ts';
import { pod, StoodClock, service } from '../../../support/meshbench.ts';

function policy(name: string, spec: TLSPolicy['spec']): TLSPolicy {
  const metadata = {
    name,
    namespace: 'shop',
    uid: name,
    resourceVersion: '1',
    creationTimestamp: '2026-11-22T00:00:00Z',
  };
  return { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSPolicy', metadata, spec };
}

/** Stores of one namespace with a mesh on them. */
function bench(services: Service[], policies: TLSPolicy[]) {
  const pods = new Map<string, Pod>();
  const mesh = createMesh({
    trustDomain: 'cluster.local',
    clusterDomain: 'cluster.local',
    clock: new StoodClock(),
    policyOf: policySource({
      policiesIn: (namespace) => (namespace === 'shop' ? policies : []),
      servicesIn: () => services,
      pod: (key) => pods.get(key),
    }),
  });
  const add = (object: Pod) => {
    pods.set(`shop/${object.metadata.name}`, object);
    mesh.podChanged(undefined, object);
  };
  const policyAt = (address: string) => {
    const found = mesh.podAt(address);
    return found === undefined ? undefined : mesh.policyOf(found);
  };
  return { mesh, add, policyAt };
}

const named = (object: Pod): Pod => ({
  ...object,
  spec: { ...object.spec, containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }] },
});

describe('the policy of a pod', () => {
  test('is the one that selects it, with what its Services say of their ports', () => {
    const http = service({ name: 'api', ports: [{ port: 80, targetPort: 'http', appProtocol: 'grpc' }] });
    const elsewhere = service({ name: 'web', ports: [{ port: 80, targetPort: 'http', appProtocol: 'http' }] });
    const { add, policyAt } = bench(
      [http, elsewhere],
      [policy('strict', { selector: { matchLabels: { app: 'api' } }, mode: 'ServerOnly' })],
    );
    add(named(pod({ name: 'api-1', ips: ['10.0.0.1'] })));
    expect(policyAt('10.0.0.1')).toMatchObject({
      source: 'shop/strict',
      mode: 'ServerOnly',
      ports: [{ port: 8080, mode: 'ServerOnly', protocol: 'GRPC' }],
    });
  });

  test('is the defaults where nothing selects it; a Service without a selector says nothing', () => {
    const { add, policyAt } = bench(
      [service({ name: 'manual', selector: {}, ports: [{ port: 80, targetPort: 8080, appProtocol: 'http' }] })],
      [policy('other', { selector: { matchLabels: { app: 'web' } }, mode: 'Disabled' })],
    );
    add(pod({ name: 'api-1', ips: ['10.0.0.1'] }));
    expect(policyAt('10.0.0.1')).toMatchObject({ source: 'defaults', mode: 'Mutual', ports: [] });
  });

  test('follows a Service that begins to say what its port speaks', () => {
    const services: Service[] = [];
    const { add, mesh, policyAt } = bench(services, []);
    add(pod({ name: 'api-1', ips: ['10.0.0.1'] }));
    const touched: string[] = [];
    mesh.subscribe(({ pods }) => touched.push(...pods));
    const http = service({ name: 'api', ports: [{ port: 80, targetPort: 8080, appProtocol: 'http' }] });
    services.push(http);
    mesh.serviceChanged(undefined, http);
    expect(policyAt('10.0.0.1')?.ports).toEqual([{ port: 8080, mode: 'Mutual', protocol: 'HTTP' }]);
    expect(touched).toEqual(['uid-shop-api-1']);
    services.pop();
    mesh.serviceChanged(http, undefined);
    expect(policyAt('10.0.0.1')?.ports).toEqual([]);
  });
});

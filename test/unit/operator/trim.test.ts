// What the caches keep of pods, Services, endpoints, nodes and Secrets.
import { describe, expect, test } from '@jest/globals';
import type { EndpointSlice, Node, Pod, Secret, Service } from '../../../lib/kube/object.ts';
import { secretTrimmer, trimNode, trimPod, trimService, trimSlice } from '../../../operator/trim.ts';

const metadata = {
  name: 'web-0',
  uid: 'u1',
  resourceVersion: '7',
  creationTimestamp: '2026-01-01T00:00:00Z',
  labels: { app: 'web' },
  annotations: { 'tabard.dev/service': 'web', 'kubectl.kubernetes.io/last-applied-configuration': '{"huge":1}' },
};
const kept = { ...metadata, annotations: { 'tabard.dev/service': 'web' } };

describe('trimming', () => {
  test('leaves of a pod its names, our annotations, addresses, phase and what it was ready for', () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: {
        nodeName: 'n1',
        hostNetwork: false,
        serviceAccountName: 'web',
        volumes: [{ name: 'v' }],
        tolerations: [{}],
        initContainers: [{ name: 'tabard-proxy', restartPolicy: 'Always', image: 'x', env: [{ name: 'A' }] }],
        containers: [{ name: 'app', image: 'x', ports: [{ name: 'http', containerPort: 80 }], command: ['a'] }],
      },
      status: {
        phase: 'Running',
        podIP: '10.0.0.1',
        podIPs: [{ ip: '10.0.0.1' }],
        containerStatuses: [],
        conditions: [
          { type: 'PodScheduled', status: 'True', lastTransitionTime: 'a' },
          { type: 'Ready', status: 'False', lastTransitionTime: 'b', lastProbeTime: null, message: 'x' },
          { type: 'Initialized', status: 'True', lastTransitionTime: 'c' },
        ],
        qosClass: 'x',
      },
    } as unknown as Pod;
    expect(trimPod(pod)).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: kept,
      spec: {
        nodeName: 'n1',
        hostNetwork: false,
        serviceAccountName: 'web',
        containers: [],
      },
      status: {
        phase: 'Running',
        podIP: '10.0.0.1',
        podIPs: [{ ip: '10.0.0.1' }],
        conditions: [
          { type: 'Ready', status: 'False', lastTransitionTime: 'b' },
          { type: 'Initialized', status: 'True', lastTransitionTime: 'c' },
        ],
      },
    });
  });

  test('leaves of a pod the volume of a certificate whose key the kubelet makes', () => {
    const podCertificate = { signerName: 'tabard.dev/mesh', keyType: 'ECDSAP256' };
    const certificate = { name: 'tabard-tls', projected: { sources: [{ podCertificate }] } };
    const theirs = { name: 'theirs', projected: { sources: [{ podCertificate }] } };
    const secret = { name: 'tabard-tls', projected: { sources: [{ secret: { name: 'tabard-web' } }] } };
    const volumesOf = (volumes: readonly object[]) =>
      trimPod({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [], volumes } } as unknown as Pod).spec
        ?.volumes;
    expect(volumesOf([theirs, certificate])).toEqual([certificate]);
    expect(volumesOf([theirs, secret])).toBeUndefined();
  });

  test('a pod without spec or status stays without', () => {
    expect(trimPod({ apiVersion: 'v1', kind: 'Pod', metadata })).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: kept,
    });
  });

  test('leaves of a Service everything but the annotations of others', () => {
    const spec = { clusterIP: '10.1.0.1', ports: [{ name: 'http', port: 80 }] };
    const status = { loadBalancer: {} };
    const service = { apiVersion: 'v1', kind: 'Service', metadata, spec, status } as Service;
    expect(trimService(service)).toEqual({ apiVersion: 'v1', kind: 'Service', metadata: kept, spec, status });
  });

  test('leaves of an EndpointSlice what decides where connections go, also where there are no endpoints', () => {
    const endpoint = {
      addresses: ['10.0.0.1'],
      conditions: { ready: true },
      targetRef: { kind: 'Pod', name: 'web-0', uid: 'u1' },
      nodeName: 'n1',
    };
    const of = (endpoints: unknown) =>
      trimSlice({ apiVersion: 'v1', kind: 'EndpointSlice', metadata, addressType: 'IPv4', endpoints } as EndpointSlice);
    expect(of([{ ...endpoint, zone: 'z', hints: { forZones: [] } }]).endpoints).toEqual([endpoint]);
    expect(of(null).endpoints).toEqual([]);
    expect(of([])).toMatchObject({ addressType: 'IPv4', metadata: kept });
  });

  test('leaves of Secrets all their data, one text for all that hold the same bundle', () => {
    const trim = secretTrimmer();
    // Two texts that are equal and not the same, as two answers of the API server are.
    const secret = (name: string): Secret =>
      JSON.parse(
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Secret',
          type: 't',
          metadata,
          data: { 'ca.crt': 'Q0E=', 'tls.key': name },
        }),
      ) as Secret;
    expect(trim(secret('a'))).toEqual({ ...secret('a'), metadata: kept });
    expect(trim(secret('b')).data).toEqual({ 'ca.crt': 'Q0E=', 'tls.key': 'b' });
    const { data: _, ...empty } = secret('c');
    expect(trim(empty as Secret)).toEqual({ ...empty, metadata: kept });
  });

  test('leaves of a node its ranges', () => {
    const node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata,
      spec: { podCIDR: '10.0.0.0/24', podCIDRs: ['10.0.0.0/24'], providerID: 'x' },
      status: { images: [{}] },
    } as unknown as Node;
    const { name, uid, resourceVersion, creationTimestamp } = metadata;
    expect(trimNode(node)).toEqual({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, uid, resourceVersion, creationTimestamp },
      spec: { podCIDR: '10.0.0.0/24', podCIDRs: ['10.0.0.0/24'] },
    });
  });
});

// What the caches keep of pods and nodes.
import { describe, expect, test } from '@jest/globals';
import type { Node, Pod } from '../../../lib/kube/object.ts';
import { trimNode, trimPod } from '../../../operator/trim.ts';

const metadata = {
  name: 'web-0',
  uid: 'u1',
  resourceVersion: '7',
  creationTimestamp: '2026-01-01T00:00:00Z',
  labels: { app: 'web' },
  annotations: { 'tabard.dev/service': 'web', 'kubectl.kubernetes.io/last-applied-configuration': '{"huge":1}' },
};

describe('trimming', () => {
  test('leaves of a pod its names, ports, addresses and phase', () => {
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
        qosClass: 'x',
      },
    } as unknown as Pod;
    expect(trimPod(pod)).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, annotations: { 'tabard.dev/service': 'web' } },
      spec: {
        nodeName: 'n1',
        hostNetwork: false,
        serviceAccountName: 'web',
        initContainers: [{ name: 'tabard-proxy', restartPolicy: 'Always' }],
        containers: [{ name: 'app', ports: [{ name: 'http', containerPort: 80 }] }],
      },
      status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }] },
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
      metadata: { ...metadata, annotations: { 'tabard.dev/service': 'web' } },
    });
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

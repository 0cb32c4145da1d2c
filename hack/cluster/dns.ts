// The cluster's DNS: CoreDNS as a Deployment behind the Service `kube-dns`, with no server above it.

import { type ApiAddress, callApi, createObject } from './kubeapi.ts';
import type { Layout } from './layout.ts';

const LABELS = { 'k8s-app': 'kube-dns' };
const METADATA = { name: 'coredns', namespace: 'kube-system', labels: LABELS };

const COREFILE = `.:53 {
    errors
    health {
        lameduck 1s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }
    prometheus :9153
    cache 5
    loadbalance
}
`;

/** Creates CoreDNS and what it needs; objects that are there already stay. */
export async function createDns(api: ApiAddress, layout: Layout, image: string): Promise<void> {
  const core = '/api/v1/namespaces/kube-system';
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  await Promise.all([
    createObject(api, `${core}/serviceaccounts`, { metadata: METADATA }),
    createObject(api, `${rbac}/clusterroles`, role()),
    createObject(api, `${rbac}/clusterrolebindings`, binding()),
    createObject(api, `${core}/configmaps`, { metadata: METADATA, data: { Corefile: COREFILE } }),
    createObject(api, `${core}/services`, service(layout)),
  ]);
  await createObject(api, '/apis/apps/v1/namespaces/kube-system/deployments', deployment(image));
}

/** Whether a pod of CoreDNS is ready. */
export async function dnsIsReady(api: ApiAddress): Promise<boolean> {
  const answer = await callApi(api, 'GET', '/apis/apps/v1/namespaces/kube-system/deployments/coredns');
  if (answer.status !== 200) return false;
  const { status } = JSON.parse(answer.body) as { readonly status: { readonly readyReplicas?: number } };
  return (status.readyReplicas ?? 0) > 0;
}

function role(): object {
  return {
    metadata: { name: 'system:coredns' },
    rules: [
      { apiGroups: [''], resources: ['endpoints', 'services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
    ],
  };
}

function binding(): object {
  return {
    metadata: { name: 'system:coredns' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:coredns' },
    subjects: [{ kind: 'ServiceAccount', name: METADATA.name, namespace: METADATA.namespace }],
  };
}

function service(layout: Layout): object {
  const { dns4, dns6 } = layout.addresses;
  return {
    metadata: { ...METADATA, name: 'kube-dns' },
    spec: {
      selector: LABELS,
      clusterIP: dns4,
      clusterIPs: [dns4, dns6],
      ipFamilyPolicy: 'RequireDualStack',
      ipFamilies: ['IPv4', 'IPv6'],
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        { name: 'metrics', port: 9153, protocol: 'TCP' },
      ],
    },
  };
}

function deployment(image: string): object {
  return {
    metadata: METADATA,
    spec: {
      replicas: 1,
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: {
          serviceAccountName: METADATA.name,
          priorityClassName: 'system-cluster-critical',
          dnsPolicy: 'Default',
          terminationGracePeriodSeconds: 5,
          containers: [container(image)],
          volumes: [{ name: 'config', configMap: { name: METADATA.name } }],
        },
      },
    },
  };
}

function container(image: string): object {
  return {
    name: 'coredns',
    image,
    imagePullPolicy: 'Never',
    args: ['-conf', '/etc/coredns/Corefile'],
    volumeMounts: [{ name: 'config', mountPath: '/etc/coredns', readOnly: true }],
    ports: [
      { name: 'dns', containerPort: 53, protocol: 'UDP' },
      { name: 'dns-tcp', containerPort: 53, protocol: 'TCP' },
      { name: 'metrics', containerPort: 9153, protocol: 'TCP' },
    ],
    readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
    livenessProbe: { httpGet: { path: '/health', port: 8080 }, initialDelaySeconds: 30, failureThreshold: 5 },
    resources: { requests: { cpu: '20m', memory: '30Mi' }, limits: { memory: '170Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  };
}

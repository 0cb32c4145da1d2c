import { describe, expect, test } from '@jest/globals';
import { answers, type DestinationRow, pod, service, slice } from '../../../support/meshbench.ts';

const api1 = pod({ name: 'api-1', ips: ['10.0.0.1'] });
const api2 = pod({ name: 'api-2', ips: ['10.0.0.2'] });
const web1 = pod({ name: 'web-1', ips: ['10.0.0.9'] });
const api = service({ name: 'api', ips: ['10.96.0.1'] });
const oneOfApi = slice({ name: 'api-x', of: 'api', endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }] });
const twoOfApi = slice({
  name: 'api-x',
  of: 'api',
  endpoints: [
    { ip: '10.0.0.2', pod: 'api-2' },
    { ip: '10.0.0.1', pod: 'api-1' },
  ],
});
const endpointsOf = (...endpoints: Parameters<typeof slice>[0]['endpoints']) =>
  slice({ name: 'api-x', of: 'api', endpoints });

const both = '10.0.0.1:8080 shop/api, 10.0.0.2:8080 shop/api';

/** A pod without a sidecar that serves, and an injected one that its slice does not call ready. */
const bareAndStarting = slice({
  name: 'api-x',
  of: 'api',
  endpoints: [
    { ip: '10.0.0.3', pod: 'api-3', uid: 'uid-bare' },
    { ip: '10.0.0.9', pod: 'api-9', ready: false },
  ],
});

const services: readonly DestinationRow[] = [
  {
    name: 'a ClusterIP is its ready injected endpoints, in a fixed order',
    objects: [api1, api2, api, twoOfApi],
    at: { '10.96.0.1:80': `api.shop: ${both}` },
  },
  {
    name: 'a port that the Service does not have is not known',
    objects: [api1, api, oneOfApi],
    at: { '10.96.0.1:81': 'unknown' },
  },
  {
    name: 'a Service without endpoints and without injected pods is not known',
    objects: [api],
    at: { '10.96.0.1:80': 'unknown' },
  },
  {
    name: 'a Service of uninjected pods is not known',
    objects: [api, oneOfApi],
    at: { '10.96.0.1:80': 'unknown' },
  },
  {
    name: 'one injected pod among others: only that one is offered',
    objects: [api1, api, twoOfApi],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api' },
  },
  {
    name: 'an injected pod that is not ready keeps the others out, too',
    objects: [api1, api, endpointsOf({ ip: '10.0.0.1', pod: 'api-1', ready: false }, { ip: '10.0.0.2', pod: 'api-2' })],
    at: { '10.96.0.1:80': 'api.shop: none' },
  },
  {
    name: 'an endpoint that is not ready is not offered',
    objects: [
      api1,
      api2,
      api,
      endpointsOf({ ip: '10.0.0.1', pod: 'api-1', ready: false }, { ip: '10.0.0.2', pod: 'api-2' }),
    ],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.2:8080 shop/api' },
  },
  {
    name: 'an endpoint that terminates is not offered while another is ready',
    objects: [
      api1,
      api2,
      api,
      endpointsOf(
        { ip: '10.0.0.1', pod: 'api-1', ready: false, serving: true, terminating: true },
        { ip: '10.0.0.2', pod: 'api-2' },
      ),
    ],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.2:8080 shop/api' },
  },
  {
    name: 'endpoints that terminate but serve are offered when nothing is ready',
    objects: [
      api1,
      api2,
      api,
      endpointsOf(
        { ip: '10.0.0.1', pod: 'api-1', ready: false, serving: true, terminating: true },
        { ip: '10.0.0.2', pod: 'api-2', ready: false },
      ),
    ],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api' },
  },
  {
    name: 'publishNotReadyAddresses: the slice says ready and that counts, terminating or not',
    objects: [api1, api, endpointsOf({ ip: '10.0.0.1', pod: 'api-1', ready: true, serving: false, terminating: true })],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api' },
  },
  {
    name: 'several slices of one Service are one list; a repeated endpoint appears once, in its better state',
    objects: [
      api1,
      api2,
      api,
      slice({ name: 'a', of: 'api', endpoints: [{ ip: '10.0.0.1', pod: 'api-1', ready: false }] }),
      twoOfApi,
      slice({ name: 'b', of: 'api', endpoints: [{ ip: '10.0.0.2', pod: 'api-2', ready: false }] }),
    ],
    at: { '10.96.0.1:80': `api.shop: ${both}` },
  },
  {
    name: 'each Service port leads to the target port of its name',
    objects: [
      api1,
      service({
        name: 'api',
        ips: ['10.96.0.1'],
        ports: [
          { name: 'http', port: 80 },
          { name: 'metrics', port: 9090 },
        ],
      }),
      slice({
        name: 'api-x',
        of: 'api',
        endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }],
        ports: [
          { name: 'metrics', port: 9102 },
          { name: 'http', port: 8080 },
        ],
      }),
    ],
    at: {
      '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api',
      '10.96.0.1:9090': 'api.shop: 10.0.0.1:9102 shop/api',
    },
  },
  {
    name: 'a named target port that differs between pods stands in two slices',
    objects: [
      api1,
      api2,
      service({ name: 'api', ips: ['10.96.0.1'], ports: [{ name: 'http', port: 80, targetPort: 'http' }] }),
      slice({
        name: 'a',
        of: 'api',
        endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }],
        ports: [{ name: 'http', port: 8080 }],
      }),
      slice({
        name: 'b',
        of: 'api',
        endpoints: [{ ip: '10.0.0.2', pod: 'api-2' }],
        ports: [{ name: 'http', port: 8081 }],
      }),
    ],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api, 10.0.0.2:8081 shop/api' },
  },
  {
    name: 'a UDP port of the same number is not a TCP destination',
    objects: [
      api1,
      service({
        name: 'api',
        ips: ['10.96.0.1'],
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
          { name: 'u', port: 54, protocol: 'UDP' },
        ],
      }),
      slice({
        name: 'api-x',
        of: 'api',
        endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }],
        ports: [
          { name: 'dns', port: 5300, protocol: 'UDP' },
          { name: 'dns-tcp', port: 5353, protocol: 'TCP' },
        ],
      }),
    ],
    at: { '10.96.0.1:53': 'api.shop: 10.0.0.1:5353 shop/api', '10.96.0.1:54': 'unknown' },
  },
  {
    name: 'dual-stack: each ClusterIP leads to endpoints of its own family',
    objects: [
      pod({ name: 'api-1', ips: ['10.0.0.1', 'fd00::0001'] }),
      service({ name: 'api', ips: ['10.96.0.1', 'fd00:96::1'] }),
      oneOfApi,
      slice({ name: 'six', of: 'api', endpoints: [{ ip: 'fd00::1', pod: 'api-1' }] }),
    ],
    at: {
      '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api',
      '[FD00:96:0::1]:80': 'api.shop: fd00::1:8080 shop/api',
    },
  },
  {
    name: 'dual-stack: a family without slices of its own is known and empty',
    objects: [api1, service({ name: 'api', ips: ['10.96.0.1', 'fd00:96::1'] }), oneOfApi],
    at: { '[fd00:96::1]:80': 'api.shop: none' },
  },
  {
    name: 'two Tabard services behind one Kubernetes Service: each endpoint keeps its own identity',
    objects: [
      api1,
      pod({ name: 'canary-2', ips: ['10.0.0.2'] }),
      api,
      endpointsOf({ ip: '10.0.0.1', pod: 'api-1' }, { ip: '10.0.0.2', pod: 'canary-2' }),
    ],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api, 10.0.0.2:8080 shop/canary' },
  },
  {
    name: 'a headless Service has no address of its own; its pods are reached directly',
    objects: [api1, service({ name: 'api', spec: { clusterIP: 'None', clusterIPs: ['None'] } }), oneOfApi],
    at: { '10.0.0.1:8080': 'api.shop: 10.0.0.1:8080 shop/api' },
  },
  {
    name: 'an ExternalName Service has neither addresses nor endpoints',
    objects: [
      api1,
      service({ name: 'api', ips: ['10.96.0.1'], spec: { type: 'ExternalName', externalName: 'example.com' } }),
      oneOfApi,
    ],
    at: { '10.96.0.1:80': 'unknown' },
  },
  {
    name: 'a load balancer address that kube-proxy answers for is the Service',
    objects: [api1, service({ name: 'api', ips: ['10.96.0.1'], ingress: [{ ip: '192.0.2.1' }] }), oneOfApi],
    at: { '192.0.2.1:80': 'api.shop: 10.0.0.1:8080 shop/api' },
  },
  {
    name: 'a load balancer address of mode Proxy is the load balancer itself',
    objects: [
      api1,
      service({ name: 'api', ips: ['10.96.0.1'], ingress: [{ ip: '192.0.2.1', ipMode: 'Proxy' }] }),
      oneOfApi,
    ],
    at: { '192.0.2.1:80': 'unknown' },
  },
  {
    name: 'an external address is the Service',
    objects: [api1, service({ name: 'api', ips: ['10.96.0.1'], spec: { externalIPs: ['198.51.100.7'] } }), oneOfApi],
    at: { '198.51.100.7:80': 'api.shop: 10.0.0.1:8080 shop/api' },
  },
  {
    name: "another's ClusterIP written down as an external address is still the other's",
    objects: [
      api1,
      api,
      oneOfApi,
      pod({ name: 'evil-1', namespace: 'bad', ips: ['10.0.0.66'] }),
      service({
        name: 'evil',
        namespace: 'bad',
        ips: ['10.96.0.66'],
        spec: { externalIPs: ['10.96.0.1', '10.0.0.1'] },
      }),
      slice({ name: 'evil-x', of: 'evil', namespace: 'bad', endpoints: [{ ip: '10.0.0.66', pod: 'evil-1' }] }),
    ],
    at: {
      '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api',
      '10.0.0.1:80': 'api.shop: 10.0.0.1:80 shop/api',
      '10.96.0.66:80': 'evil.bad: 10.0.0.66:8080 bad/evil',
    },
  },
  {
    name: 'two Services with one external address: the older that has the port',
    objects: [
      api1,
      web1,
      service({ name: 'web', created: 9, ips: ['10.96.0.2'], spec: { externalIPs: ['198.51.100.7'] } }),
      service({ name: 'api', created: 5, ips: ['10.96.0.1'], spec: { externalIPs: ['198.51.100.7'] } }),
      oneOfApi,
      slice({ name: 'web-x', of: 'web', endpoints: [{ ip: '10.0.0.9', pod: 'web-1' }] }),
    ],
    at: { '198.51.100.7:80': 'api.shop: 10.0.0.1:8080 shop/api' },
  },
  {
    name: 'a slice written by hand with the address of an injected pod leads to that identity',
    objects: [
      api1,
      service({ name: 'manual', ips: ['10.96.0.3'], selector: {} }),
      slice({ name: 'manual-x', of: 'manual', endpoints: [{ ip: '10.0.0.1' }, { ip: '203.0.113.5' }] }),
    ],
    at: { '10.96.0.3:80': 'manual.shop: 10.0.0.1:8080 shop/api' },
  },
  {
    name: 'a slice written by hand with addresses outside is not known',
    objects: [
      api1,
      service({ name: 'manual', ips: ['10.96.0.3'], selector: {} }),
      slice({ name: 'manual-x', of: 'manual', endpoints: [{ ip: '203.0.113.5' }] }),
    ],
    at: { '10.96.0.3:80': 'unknown' },
  },
  {
    name: 'a slice that claims a pod of another namespace is judged by the address alone',
    objects: [
      api1,
      service({ name: 'thief', namespace: 'bad', ips: ['10.96.0.4'], selector: {} }),
      slice({
        name: 'thief-x',
        namespace: 'bad',
        of: 'thief',
        targetNamespace: 'shop',
        endpoints: [{ ip: '10.0.0.77', pod: 'api-1', uid: 'uid-shop-api-1' }],
      }),
    ],
    at: { '10.96.0.4:80': 'unknown' },
  },
  {
    name: 'a slice of host names holds nothing for us',
    objects: [
      api1,
      api,
      slice({ name: 'names', of: 'api', type: 'FQDN', endpoints: [{ ip: 'a.example', pod: 'api-1' }] }),
    ],
    at: { '10.96.0.1:80': 'api.shop: none' },
  },
  {
    name: 'injected pods that are still starting make their Service known before a slice lists them',
    objects: [api, pod({ name: 'api-1', phase: 'Pending' })],
    at: { '10.96.0.1:80': 'api.shop: none' },
  },
  {
    name: 'a first injected pod that is still starting does not cut off the uninjected ones',
    objects: [api, pod({ name: 'api-9', phase: 'Pending' }), oneOfApi],
    at: { '10.96.0.1:80': 'unknown' },
  },
  {
    name: 'a listed injected pod that was never ready does not cut off the uninjected ones',
    objects: [api, pod({ name: 'api-9', ips: ['10.0.0.9'], readiness: 'never' }), bareAndStarting],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.3:8080 not_in_mesh' },
  },
  {
    name: 'the first injected pod that is ready takes over before its slice says so',
    objects: [api, pod({ name: 'api-9', ips: ['10.0.0.9'], readiness: 'ready' }), bareAndStarting],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.9:8080 shop/api' },
  },
  {
    name: 'an injected pod that lost its readiness never gives way to an uninjected one',
    objects: [api, pod({ name: 'api-9', ips: ['10.0.0.9'], readiness: 'lost' }), bareAndStarting],
    at: { '10.96.0.1:80': 'api.shop: none' },
  },
  {
    name: 'a Service leaves the mesh when its injected pods are being deleted and a ready pod without a sidecar is there',
    objects: [api, pod({ name: 'api-9', ips: ['10.0.0.9'], readiness: 'ready', leaving: true }), bareAndStarting],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.3:8080 not_in_mesh' },
  },
  {
    name: 'a Service stays in the mesh while an injected pod is being deleted and another one starts',
    objects: [
      api,
      pod({ name: 'api-8', ips: ['10.0.0.8'], readiness: 'never' }),
      pod({ name: 'api-9', ips: ['10.0.0.9'], readiness: 'ready', leaving: true }),
      bareAndStarting,
      slice({ name: 'api-y', of: 'api', endpoints: [{ ip: '10.0.0.8', pod: 'api-8', ready: false }] }),
    ],
    at: { '10.96.0.1:80': 'api.shop: none' },
  },
  {
    name: 'an injected pod that was never ready is waited for where nothing else is there',
    objects: [
      api,
      pod({ name: 'api-9', ips: ['10.0.0.9'], readiness: 'never' }),
      slice({ name: 'api-x', of: 'api', endpoints: [{ ip: '10.0.0.9', pod: 'api-9', ready: false }] }),
    ],
    at: { '10.96.0.1:80': 'api.shop: none' },
  },
  {
    name: 'a deleted Service leaves nothing but its reserved address',
    objects: [api1, api, oneOfApi],
    gone: [api],
    at: { '10.96.0.1:80': 'api.shop: none', '10.0.0.1:80': 'api.shop: 10.0.0.1:80 shop/api' },
  },
  {
    name: 'a ClusterIP that moved to another Service leads there',
    objects: [api1, api, oneOfApi, web1],
    gone: [api],
    later: [
      service({ name: 'web', ips: ['10.96.0.1'] }),
      slice({ name: 'web-x', of: 'web', endpoints: [{ ip: '10.0.0.9', pod: 'web-1' }] }),
    ],
    at: { '10.96.0.1:80': 'web.shop: 10.0.0.9:8080 shop/web' },
  },
  {
    name: 'a Service that changes its ports is answered by the new ones',
    objects: [api1, api, oneOfApi],
    later: [service({ name: 'api', ips: ['10.96.0.1'], ports: [{ port: 8000 }] })],
    at: { '10.96.0.1:80': 'unknown', '10.96.0.1:8000': 'api.shop: 10.0.0.1:8080 shop/api' },
  },
];

describe('who is at an address: Services', () => {
  test.each(services)('$name', (row) => {
    expect(answers(row)).toEqual(row.at);
  });
});

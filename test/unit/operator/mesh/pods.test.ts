import { describe, expect, test } from '@jest/globals';
import { answers, type DestinationRow, pod, service, slice } from '../../../support/meshbench.ts';

const api1 = pod({ name: 'api-1', ips: ['10.0.0.1'] });
const web1 = pod({ name: 'web-1', ips: ['10.0.0.9'] });
const api = service({ name: 'api', ips: ['10.96.0.1'] });
const oneOfApi = slice({ name: 'api-x', of: 'api', endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }] });
const endpointsOf = (...endpoints: Parameters<typeof slice>[0]['endpoints']) =>
  slice({ name: 'api-x', of: 'api', endpoints });

const pods: readonly DestinationRow[] = [
  {
    name: 'any port of an injected pod is that pod',
    objects: [api1],
    at: { '10.0.0.1:1': 'api.shop: 10.0.0.1:1 shop/api', '10.0.0.1:65535': 'api.shop: 10.0.0.1:65535 shop/api' },
  },
  { name: 'an address that nobody has is not known', objects: [api1], at: { '10.0.0.5:80': 'unknown' } },
  {
    name: 'a pod without the mark of the injector is not in the mesh',
    objects: [pod({ name: 'api-1', ips: ['10.0.0.1'], injected: false })],
    at: { '10.0.0.1:80': 'unknown' },
  },
  {
    name: 'a pod on the network of its host is never in the mesh',
    objects: [pod({ name: 'api-1', ips: ['192.168.1.1'], hostNetwork: true })],
    at: { '192.168.1.1:80': 'unknown' },
  },
  {
    name: 'a pod is both its addresses',
    objects: [pod({ name: 'api-1', ips: ['10.0.0.1', 'fd00::1'] })],
    at: {
      '[fd00:0:0::1]:80': 'api.shop: fd00::1:80 shop/api',
      '[::ffff:10.0.0.1]:80': 'api.shop: 10.0.0.1:80 shop/api',
    },
  },
  {
    name: 'the admin port of the sidecar is never captured',
    objects: [api1],
    at: { '10.0.0.1:16020': 'api.shop: 10.0.0.1:16020 port_excluded' },
  },
  {
    name: 'excluded ports of the target are reached as they are, others are not',
    objects: [
      pod({ name: 'api-1', ips: ['10.0.0.1'], annotations: { 'tabard.dev/exclude-inbound-ports': '9100, 8080' } }),
      api,
      oneOfApi,
    ],
    at: {
      '10.0.0.1:9100': 'api.shop: 10.0.0.1:9100 port_excluded',
      '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 port_excluded',
      '10.0.0.1:81': 'api.shop: 10.0.0.1:81 shop/api',
    },
  },
  {
    name: 'nothing is captured with capture none',
    objects: [pod({ name: 'api-1', ips: ['10.0.0.1'], annotations: { 'tabard.dev/capture': 'none' } })],
    at: { '10.0.0.1:80': 'api.shop: 10.0.0.1:80 port_excluded' },
  },
  {
    name: 'a pod with the certificate alone speaks TLS itself, whatever its policy says',
    objects: [
      pod({ name: 'api-1', ips: ['10.0.0.1'], labels: { 'tabard.dev/injected': 'certificate' } }),
      api,
      oneOfApi,
    ],
    policies: { api: { mode: 'Disabled' } },
    at: {
      '10.0.0.1:8443': 'api.shop: 10.0.0.1:8443 application_tls',
      '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 application_tls',
    },
  },
  {
    name: 'pods with a sidecar and with the certificate alone stand side by side in a Service, each reached in its own way',
    objects: [
      api1,
      pod({ name: 'api-2', ips: ['10.0.0.2'], labels: { 'tabard.dev/injected': 'certificate' } }),
      api,
      endpointsOf({ ip: '10.0.0.1', pod: 'api-1' }, { ip: '10.0.0.2', pod: 'api-2' }),
    ],
    at: { '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api, 10.0.0.2:8080 application_tls' },
  },
  {
    name: 'mode Disabled: the bytes arrive as they are',
    objects: [api1, api, oneOfApi],
    policies: { api: { mode: 'Disabled' } },
    at: {
      '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 policy_disabled',
      '10.0.0.1:1': 'api.shop: 10.0.0.1:1 policy_disabled',
    },
  },
  {
    name: 'a port with a mode of its own: Disabled there, Mutual elsewhere',
    objects: [api1],
    policies: { api: { ports: [{ port: 9090, mode: 'Disabled', protocol: 'TCP' }] } },
    at: { '10.0.0.1:9090': 'api.shop: 10.0.0.1:9090 policy_disabled', '10.0.0.1:80': 'api.shop: 10.0.0.1:80 shop/api' },
  },
  {
    name: 'a port with a mode of its own: Mutual there, Disabled elsewhere',
    objects: [api1],
    policies: { api: { mode: 'Disabled', ports: [{ port: 9090, mode: 'Mutual', protocol: 'TCP' }] } },
    at: { '10.0.0.1:9090': 'api.shop: 10.0.0.1:9090 shop/api', '10.0.0.1:80': 'api.shop: 10.0.0.1:80 policy_disabled' },
  },
  {
    name: 'protocol Passthrough: the application speaks TLS itself',
    objects: [api1],
    policies: { api: { ports: [{ port: 5432, mode: 'Mutual', protocol: 'Passthrough' }] } },
    at: { '10.0.0.1:5432': 'api.shop: 10.0.0.1:5432 application_tls' },
  },
  {
    name: 'Permissive and ServerOnly targets are reached with mutual TLS, too',
    objects: [api1, web1],
    policies: { api: { mode: 'Permissive' }, web: { mode: 'ServerOnly' } },
    at: { '10.0.0.1:80': 'api.shop: 10.0.0.1:80 shop/api', '10.0.0.9:80': 'web.shop: 10.0.0.9:80 shop/web' },
  },
  {
    name: 'a pod whose address only the slice has told so far',
    objects: [pod({ name: 'api-1', phase: 'Pending' }), api, oneOfApi],
    at: {
      '10.0.0.1:8080': 'api.shop: 10.0.0.1:8080 shop/api',
      '10.96.0.1:80': 'api.shop: 10.0.0.1:8080 shop/api',
    },
  },
  {
    name: 'a finished pod gives its address up; it stays reserved a while',
    objects: [api1],
    later: [pod({ name: 'api-1', ips: ['10.0.0.1'], phase: 'Succeeded' })],
    at: { '10.0.0.1:80': 'api.shop: none' },
  },
  {
    name: 'the address of a finished pod belongs to who has it next',
    objects: [
      pod({ name: 'job-1', ips: ['10.0.0.1'], phase: 'Failed' }),
      web1,
      pod({ name: 'web-2', ips: ['10.0.0.1'] }),
    ],
    at: { '10.0.0.1:80': 'web.shop: 10.0.0.1:80 shop/web' },
  },
  {
    name: 'one address, two pods: the one that started later has it, whoever was seen first',
    objects: [
      pod({ name: 'new-1', ips: ['10.0.0.1'], started: 100 }),
      pod({ name: 'old-1', ips: ['10.0.0.1'], started: 50 }),
    ],
    at: { '10.0.0.1:80': 'new.shop: 10.0.0.1:80 shop/new' },
  },
  {
    name: 'the deletion of the older pod does not take the address from the newer',
    objects: [
      pod({ name: 'old-1', ips: ['10.0.0.1'], started: 50, leaving: true }),
      pod({ name: 'new-1', ips: ['10.0.0.1'], started: 100 }),
    ],
    gone: [pod({ name: 'old-1', ips: ['10.0.0.1'], started: 50 })],
    at: { '10.0.0.1:80': 'new.shop: 10.0.0.1:80 shop/new' },
  },
  {
    name: 'the deletion of the newer pod gives the address back to the older',
    objects: [
      pod({ name: 'old-1', ips: ['10.0.0.1'], started: 50 }),
      pod({ name: 'new-1', ips: ['10.0.0.1'], started: 100 }),
    ],
    gone: [pod({ name: 'new-1', ips: ['10.0.0.1'], started: 100 })],
    at: { '10.0.0.1:80': 'old.shop: 10.0.0.1:80 shop/old' },
  },
  {
    name: "a slice that still lists a pod whose address is another's by now does not lend the other's identity",
    objects: [
      pod({ name: 'api-1', ips: ['10.0.0.1'], started: 50 }),
      pod({ name: 'web-1', ips: ['10.0.0.1'], started: 100 }),
      api,
      oneOfApi,
    ],
    at: { '10.96.0.1:80': 'api.shop: none' },
  },
  {
    name: 'a Service whose only pod was just deleted stays known while its slice lists it',
    objects: [api1, api, oneOfApi],
    gone: [api1],
    at: { '10.96.0.1:80': 'api.shop: none' },
  },
  {
    name: 'a Service is outside again when the last slice that named an injected pod lets go of it',
    objects: [api1, api, oneOfApi],
    gone: [api1],
    later: [endpointsOf({ ip: '10.0.0.3', pod: 'api-3' })],
    at: { '10.96.0.1:80': 'unknown' },
  },
  {
    name: 'a pod that lost the mark of the injector is refused, not trusted and not outside',
    objects: [api1, api, oneOfApi],
    later: [pod({ name: 'api-1', ips: ['10.0.0.1'], injected: false })],
    at: { '10.96.0.1:80': 'api.shop: none', '10.0.0.1:80': 'api.shop: none' },
  },
  {
    name: 'a pod born again under its name is another pod',
    objects: [pod({ name: 'db-0', uid: 'first', ips: ['10.0.0.1'] })],
    later: [pod({ name: 'db-0', uid: 'second', ips: ['10.0.0.2'], started: 9 })],
    gone: [pod({ name: 'db-0', uid: 'first' })],
    at: { '10.0.0.2:80': 'db.shop: 10.0.0.2:80 shop/db', '10.0.0.1:80': 'db.shop: none' },
  },
];

describe('who is at an address: pods', () => {
  test.each(pods)('$name', (row) => {
    expect(answers(row)).toEqual(row.at);
  });
});

// What the policies of the churn's pods become, one after the other.
import type { SelfOptions } from '../../test/support/sidecar.ts';
import type { Way } from '../../test/support/ways.ts';
import { DEAF_PORT, HTTP_PORT, PLAIN_PORT } from './ports.ts';

/** What a pod is told. */
export interface Policy {
  readonly transport: Way['transport'];
  readonly self: SelfOptions;
}

const anyone = { name: 'plain', effect: 'Allow', to: [{ ports: [PLAIN_PORT, DEAF_PORT] }] } as const;
const open = {
  name: 'open',
  effect: 'Allow',
  to: [{ ports: [HTTP_PORT], methods: ['GET'], paths: ['/open/*'] }],
} as const;
const noVisitor = {
  name: 'no visitor',
  effect: 'Deny',
  from: [{ services: ['visitor'], namespaces: ['shop'] }],
} as const;
const short = { maxAgeMs: 20_000 };

/** What the server's policy becomes, one after the other; the steady client is let in by each. */
export const serverPolicies: readonly Policy[] = [
  { transport: 'Tunnel', self: {} },
  { transport: 'Tunnel', self: { authorization: { form: 1, rules: [noVisitor, anyone, open] } } },
  { transport: 'Tunnel', self: { mode: 'Permissive' } },
  { transport: 'Direct', self: {} },
  { transport: 'Tunnel', self: { connections: short } },
  { transport: 'Tunnel', self: { http: { hsts: 'max-age=60' } } },
  { transport: 'Tunnel', self: { accessLog: 'All', accessLogOneIn: 50 } },
];
/** And the client's. */
export const clientPolicies: readonly Policy[] = [
  { transport: 'Tunnel', self: {} },
  { transport: 'Direct', self: {} },
  { transport: 'Tunnel', self: { connections: short } },
  { transport: 'Tunnel', self: { mode: 'Permissive' } },
  { transport: 'Direct', self: { connections: short } },
];

/** What holds with each of them. */
export const common: SelfOptions = {
  accessLog: 'None',
  revocation: { mode: 'Soft', maxAgeMs: 3_600_000 },
  ports: [
    { port: PLAIN_PORT, mode: 'Mutual', protocol: 'TCP' },
    { port: HTTP_PORT, mode: 'Mutual', protocol: 'HTTP' },
  ],
  authorization: { form: 1, rules: [anyone, open] },
};

// An ACME issuer and an edge certificate as a user has them: objects applied to a real API server, the operator as a process, a
// sidecar process that it tells what to answer, and pebble. Only the kubelet's part is done by the test.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { type SidecarProcess, startSidecarProcess } from '../../support/acmebench.ts';
import { type PebbleServer, postManagement, revocationAt, startDns, startPebble } from '../../support/acmeservers.ts';
import { startBind } from '../../support/bind.ts';
import type { Daemon } from '../../support/daemon.ts';
import { openHelm } from '../../support/helm.ts';
import { type OperatorProcess, startOperatorProcess } from '../../support/operator.ts';

const setUpMs = 900_000;
const testMs = 400_000;
const edgeName = 'shop.example.com';

let plane: ControlPlane;
let operator: OperatorProcess;
let application: Server;
let sidecar: SidecarProcess;
let dns: Daemon & { readonly address: string };
let pebble: PebbleServer;

beforeAll(async () => {
  application = createServer((socket) => socket.end('the application')).listen(0, '127.0.0.1');
  await once(application, 'listening');
  [plane, dns] = await Promise.all([startControlPlane({ controllerManager: true }), startDns()]);
  const helm = await openHelm();
  const objects = await helm.render();
  helm.close();
  await apply(...objects.filter(({ kind }) => kind === 'CustomResourceDefinition'));
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  for (const name of ['tabard-system', 'shop']) await plane.kubectl(['create', 'namespace', name]);
  operator = startOperator('operator-1');
}, setUpMs);

function startOperator(name: string): OperatorProcess {
  return startOperatorProcess({ name, namespace: 'tabard-system', kubeconfig: plane.kubeconfig });
}

afterAll(async () => {
  await pebble?.stop();
  await sidecar?.end();
  await operator?.end('SIGKILL');
  await dns?.stop();
  await plane?.stop();
  application?.close();
});

async function apply(...objects: readonly object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  await plane.kubectl(['apply', '--server-side', '-f', '-'], { input });
}

/** A value of an object, asked for until it holds. */
async function eventually(args: readonly string[], holds: (text: string) => boolean, what: string): Promise<string> {
  const end = performance.now() + 150_000;
  for (;;) {
    const text = await plane.kubectl(args).catch(() => '');
    if (holds(text)) return text;
    if (performance.now() > end) throw new Error(`never: ${what}; last seen: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

const conditionOf = (type: string): string => `jsonpath={.status.conditions[?(@.type=="${type}")]}`;

async function secretFiles(name: string): Promise<Readonly<Record<string, string>>> {
  const args = ['-n', 'shop', 'get', 'secret', name, '-o', 'jsonpath={.data}'];
  const data = JSON.parse(await eventually(args, (text) => text !== '', `Secret ${name}`)) as Record<string, string>;
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64').toString()]));
}

/** A pod of shop, running as far as the API server knows; its uid. */
async function runPod(service: string, kind: 'true' | 'certificate', podIP: string): Promise<string> {
  const name = `${service}-1`;
  await eventually(
    ['-n', 'shop', 'get', 'serviceaccount', 'default', '-o', 'name'],
    (text) => text !== '',
    'an account',
  );
  await apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      labels: { app: service, 'tabard.dev/injected': kind },
      annotations: { 'tabard.dev/service': service },
    },
    spec: { containers: [{ name: 'app', image: 'example.com/app' }], automountServiceAccountToken: false },
  });
  const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }] };
  const patch = ['patch', 'pod', name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })];
  await plane.kubectl(['-n', 'shop', ...patch]);
  return plane.kubectl(['-n', 'shop', 'get', 'pod', name, '-o', 'jsonpath={.metadata.uid}']);
}

async function controlPort(): Promise<number> {
  for (;;) {
    const port = operator.lines.find(({ msg }) => msg === 'control API listening')?.['port'];
    if (typeof port === 'number') return port;
    if (operator.exitCode !== undefined) throw new Error('the operator ended');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('an ACME issuer and an edge certificate on a real API server', () => {
  test(
    'are as their objects say: account made, certificate had, conditions true, challenges gone',
    async () => {
      const uid = await runPod('web', 'true', '127.0.0.1');
      const files = await secretFiles('tabard-web');
      const { port: applicationPort } = application.address() as AddressInfo;
      sidecar = await startSidecarProcess({ applicationPort, controlPort: await controlPort(), podUid: uid }, files);
      const port = sidecar.inboundPort;
      pebble = await startPebble({ httpPort: port, tlsPort: port, dns: dns.address, refusedNonces: 33 });
      await apply(
        {
          apiVersion: 'tabard.dev/v1alpha1',
          kind: 'TLSIssuer',
          metadata: { name: 'public' },
          spec: {
            acme: {
              server: pebble.server,
              email: 'ops@example.com',
              caBundle: Buffer.from(pebble.trust).toString('base64'),
              profile: 'default',
              accountKeySecretRef: { name: 'public-account' },
              solvers: [{ tlsAlpn01: {} }],
            },
          },
        },
        {
          apiVersion: 'tabard.dev/v1alpha1',
          kind: 'TLSPolicy',
          metadata: { name: 'web', namespace: 'shop' },
          spec: {
            selector: { matchLabels: { app: 'web' } },
            mode: 'ServerOnly',
            edge: { issuer: 'public', dnsNames: [edgeName] },
          },
        },
      );
      const isTrue = (text: string): boolean => text.includes('"status":"True"');
      await eventually(['get', 'tlsissuer', 'public', '-o', conditionOf('Ready')], isTrue, 'the issuer is ready');
      const edge = ['-n', 'shop', 'get', 'tlspolicy', 'web', '-o', conditionOf('EdgeReady')];
      await eventually(edge, isTrue, 'the edge certificate is there');
      const written = await secretFiles('tabard-web.edge');
      const [leaf] = parseCertificates(written['tls.crt'] ?? '');
      expect(leaf?.subjectAltName).toBe(`DNS:${edgeName}`);
      expect(sidecar.lines.some(({ msg, type }) => msg === 'challenge answered' && type === 'tls-alpn-01')).toBe(true);
      const own = await plane.kubectl(['-n', 'tabard-system', 'get', 'secrets', '-o', 'name']);
      expect(own).toContain('secret/public-account');
      expect(own).not.toContain('tabard-challenges');
      // What an ACME server does not say is not made up.
      expect(
        await plane.kubectl(['get', 'tlsissuer', 'public', '-o', 'jsonpath={.status.trustBundle}{.status.caNotAfter}']),
      ).toBe('');

      // The account key is replaced on request; the certificate and its issuer stay as they are.
      const key = ['-n', 'tabard-system', 'get', 'secret', 'public-account', '-o', 'jsonpath={.data.tls\\.key}'];
      const before = await plane.kubectl(key);
      await plane.kubectl(['annotate', 'tlsissuer', 'public', 'tabard.dev/rotate-account-key=a test']);
      await eventually(key, (text) => text !== before && text !== '', 'another key');
      await eventually(['get', 'tlsissuer', 'public', '-o', conditionOf('Ready')], isTrue, 'the issuer is still ready');
    },
    testMs,
  );

  test(
    'say what is wrong by a reason',
    async () => {
      await apply({
        apiVersion: 'tabard.dev/v1alpha1',
        kind: 'TLSIssuer',
        metadata: { name: 'down' },
        spec: {
          acme: {
            server: 'https://127.0.0.1:1/directory',
            accountKeySecretRef: { name: 'down-account' },
            solvers: [{ http01: {} }],
          },
        },
      });
      const ready = ['get', 'tlsissuer', 'down', '-o', conditionOf('Ready')];
      const said = await eventually(ready, (text) => text.includes('"reason":"Unreachable"'), 'the reason');
      expect(said).toContain('network policy');
      await apply({
        apiVersion: 'tabard.dev/v1alpha1',
        kind: 'TLSPolicy',
        metadata: { name: 'web', namespace: 'shop' },
        spec: {
          selector: { matchLabels: { app: 'web' } },
          mode: 'ServerOnly',
          edge: { issuer: 'down', dnsNames: [edgeName] },
        },
      });
      const edge = ['-n', 'shop', 'get', 'tlspolicy', 'web', '-o', conditionOf('EdgeReady')];
      await eventually(edge, (text) => text.includes('"reason":"IssuerNotReady"'), 'the policy says so');
      // The certificate that is valid stays.
      expect(Object.keys(await secretFiles('tabard-web.edge'))).toEqual(['tls.crt', 'tls.key']);
    },
    testMs,
  );

  test(
    'serve a workload that terminates TLS itself: names proved in the DNS, renewed when the CA says, revoked at the CA; one with a sidecar is told why not',
    async () => {
      const bind = await startBind('corp.example.com', 'hmac-sha256');
      const ca = await startPebble({ httpPort: 1, tlsPort: 1, dns: bind.address, refusedNonces: 33 });
      try {
        await apply(
          {
            apiVersion: 'v1',
            kind: 'Secret',
            metadata: { name: 'tsig', namespace: 'tabard-system' },
            stringData: { secret: bind.secret },
          },
          {
            apiVersion: 'tabard.dev/v1alpha1',
            kind: 'TLSIssuer',
            metadata: { name: 'corporate' },
            spec: {
              acme: {
                server: ca.server,
                caBundle: Buffer.from(ca.trust).toString('base64'),
                accountKeySecretRef: { name: 'corporate-account' },
                solvers: [
                  {
                    dns01: {
                      rfc2136: {
                        nameserver: bind.address,
                        tsigKeyName: bind.keyName,
                        tsigSecretRef: { name: 'tsig', key: 'secret' },
                      },
                    },
                  },
                ],
              },
            },
          },
          corporatePolicy('ledger', ['ledger.corp.example.com']),
          corporatePolicy('proxied', ['proxied.corp.example.com']),
          corporatePolicy('nameless', []),
        );
        await runPod('ledger', 'certificate', '127.0.0.2');
        await runPod('proxied', 'true', '127.0.0.3');
        await runPod('nameless', 'certificate', '127.0.0.4');
        const files = await secretFiles('tabard-ledger');
        const [leaf] = parseCertificates(files['tls.crt'] ?? '');
        expect(leaf?.subjectAltName).toBe('DNS:ledger.corp.example.com');
        // Peers of the mesh are verified with the mesh's own bundle.
        expect((await secretFiles('tabard-web'))['ca.crt']).toBe(files['ca.crt']);
        const ready = (name: string) => ['-n', 'shop', 'get', 'tlspolicy', name, '-o', conditionOf('Ready')];
        await eventually(ready('ledger'), (text) => text.includes('"status":"True"'), 'ledger is ready');
        await eventually(ready('proxied'), (text) => text.includes('need one that does'), 'why not with a sidecar');
        await eventually(ready('nameless'), (text) => text.includes('dnsNames'), 'why not without names');

        // The CA wants it renewed (RFC 9773). Pebble says to ask in hours; a new leader asks at once.
        const suggestedWindow = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' };
        const ARIResponse = JSON.stringify({ suggestedWindow });
        await postManagement(ca, '/set-renewal-info/', { Certificate: String(leaf), ARIResponse });
        await operator.end('SIGTERM');
        operator = startOperator('operator-2');
        const noted = 'jsonpath={.metadata.annotations.tabard\\.dev/serial}';
        const serial = ['-n', 'shop', 'get', 'secret', 'tabard-ledger', '-o', noted];
        const renewed = await eventually(serial, (text) => text !== '' && text !== leaf?.serialNumber, 'a renewal');
        const replaced = operator.lines.find(({ msg }) => msg.startsWith('acme order made without naming'));
        // Pebble loses an order whose serial number begins with a zero octet in DER, which one of 256 does.
        if (leaf?.serialNumber.length === 16) expect(replaced).toBeUndefined();

        // A revocation reaches the CA, with its reason; the service goes on with another one.
        await apply({
          apiVersion: 'tabard.dev/v1alpha1',
          kind: 'TLSRevocation',
          metadata: { name: 'ledger' },
          spec: { serial: renewed, reason: 'keyCompromise' },
        });
        const upstream = ['get', 'tlsrevocation', 'ledger', '-o', 'jsonpath={.status.upstream[0].state}'];
        await eventually(upstream, (text) => text === 'Revoked', 'the CA is told');
        expect(await revocationAt(ca, renewed)).toMatchObject({ Status: 'Revoked', Reason: 1 });
        await eventually(serial, (text) => text !== '' && text !== renewed, 'a fresh certificate');
      } finally {
        await ca.stop();
        await bind.stop();
      }
    },
    testMs,
  );
});

function corporatePolicy(name: string, dnsNames: readonly string[]): object {
  return {
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSPolicy',
    metadata: { name, namespace: 'shop' },
    spec: { selector: { matchLabels: { app: name } }, certificate: { issuer: 'corporate', dnsNames } },
  };
}

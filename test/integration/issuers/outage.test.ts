// Signers that are away when a certificate is due, on a real API server with the operator as a process: a person who approves nothing, an ACME
// server (pebble) that was stopped, and a CA whose Secret was deleted or exchanged for halves. What served goes on serving, conditions,
// events and metrics tell, and it comes back by itself before the end. (Vault: vault.kubernetes.test.ts; the API server itself:
// operator/certificates.test.ts.) There is no kubelet.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ControlPlane } from '../../../hack/cluster/api.ts';
import { certificateSecretName, written } from '../../../lib/api/contract.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import { systemClock } from '../../../lib/clock.ts';
import { kubeMetrics } from '../../../lib/kube/metrics.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { type Connection, connect } from '../../../lib/kube/rest.ts';
import type { Authority } from '../../../lib/pki/ca.ts';
import { privateKeyPem } from '../../../lib/pki/keys.ts';
import { judgeCredentials } from '../../../lib/runtime/credentials.ts';
import { Metrics } from '../../../lib/runtime/metrics.ts';
import { dataOf } from '../../../operator/certificates/secret.ts';
import { startPebble } from '../../support/acmeservers.ts';
import { startBind } from '../../support/bind.ts';
import { BriefSigner } from '../../support/briefsigner.ts';
import { startHttpsProxy } from '../../support/httpsproxy.ts';
import { type OperatorProcess, startOperatorProcess } from '../../support/operator.ts';
import { testAuthority } from '../../support/pki.ts';
import { eventually } from '../../support/remoteissuer.ts';
import { startPlane } from '../../support/rotationmesh.ts';
import { runningPod } from '../../support/runningpod.ts';

const [namespace, system] = ['shop', 'tabard-system'];
const minute = 60_000;
const testMs = 10 * minute;
const signerName = 'example.com/mesh';

let plane: ControlPlane;
let connection: Connection;
let operator: OperatorProcess;

beforeAll(async () => {
  plane = await startPlane('1h', '10s');
  const metrics = kubeMetrics(new Metrics());
  connection = connect({ kubeconfig: plane.kubeconfig, userAgent: 'tabard-test/0', clock: systemClock, metrics });
  const env = { TABARD_FILE_DELIVERY: '1s', TABARD_MINIMUM_LIFETIME: '10s' };
  operator = startOperatorProcess({ name: 'op-1', namespace: system, kubeconfig: plane.kubeconfig, env });
}, 20 * minute);

afterAll(async () => {
  await operator?.end('SIGTERM');
  connection?.close();
  await plane?.stop();
}, 2 * minute);

const lastLines = (): string => JSON.stringify(operator.lines.slice(-15), undefined, 1);

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  await eventually(holds, () => `${what}: ${lastLines()}`, 6 * minute);
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const issuer = (name: string, spec: TLSIssuer['spec']) =>
  connection.client.create(resources.tlsissuers, { metadata: { name }, spec });

/** A policy for one service, and a pod of it that reads files: there is no sidecar that could report. */
async function service(name: string, certificate: object): Promise<void> {
  const spec = { selector: { matchLabels: { app: name } }, certificate };
  await connection.client.create(resources.tlspolicies, { metadata: { name, namespace }, spec });
  await runningPod(connection.client, { namespace, name: `${name}-1`, service: name, injected: 'certificate' });
}

const secretOf = (name: string): Promise<Secret | undefined> =>
  connection.client.get(resources.secrets, { namespace, name: certificateSecretName(name) }).catch(() => undefined);

const serialOf = (secret: Secret | undefined): string | undefined => secret?.metadata.annotations?.[written.serial];
const noted = (secret: Secret, name: string): number => Date.parse(secret.metadata.annotations?.[name] ?? '');

/** The Secret of a service with another certificate than that of `before`. */
async function another(name: string, before?: Secret): Promise<Secret> {
  let found: Secret | undefined;
  await until(
    async () => {
      found = await secretOf(name);
      return serialOf(found) !== undefined && serialOf(found) !== serialOf(before);
    },
    `no ${before === undefined ? '' : 'other '}certificate of ${name}`,
  );
  if (found === undefined) throw new Error('no Secret');
  return found;
}

/** Waits for the moment in which a certificate is due. */
async function due(secret: Secret): Promise<void> {
  await systemClock.sleep(Math.max(0, noted(secret, written.renewAt) - Date.now() + 100));
}

async function issuerSays(name: string): Promise<string> {
  const { status } = await connection.client.get(resources.tlsissuers, { name });
  return status?.conditions?.find(({ type }) => type === 'Ready')?.reason ?? '';
}

async function policySays(name: string): Promise<string> {
  const { status } = await connection.client.get(resources.tlspolicies, { namespace, name });
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return `${ready?.reason}: ${ready?.message}`;
}

/** Whether a Warning event with this reason is about an object. */
async function warned(kind: string, name: string, reason: string): Promise<boolean> {
  const { items } = await connection.client.list(resources.events);
  return items.some(
    (each) =>
      each.type === 'Warning' &&
      each.reason === reason &&
      each.regarding?.kind === kind &&
      each.regarding.name === name,
  );
}

/** The value of a series; undefined while there is none. */
async function metric(series: string): Promise<number | undefined> {
  const { text } = await operator.admin('/metrics');
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

function expectServed(secret: Secret): void {
  const [certificate, key, trustBundle] = ['tls.crt', 'tls.key', 'ca.crt'].map((name) => dataOf(secret, name));
  const texts = { certificate: certificate ?? '', key: key ?? '', trustBundle: trustBundle ?? '' };
  expect(judgeCredentials(texts, new Date())).toMatchObject({ good: true });
}

/** Each story takes minutes, most of which it waits: they are told side by side. */
type Story = 'person' | 'acme' | 'ca';
let stories: Readonly<Record<Story, Promise<void>>>;

async function person(): Promise<void> {
  const identity = { trustDomain: 'cluster.local', namespace, service: 'approved' };
  const signer = await BriefSigner.start(connection.client, { signerName, identity, lifetimeMs: 3 * minute });
  try {
    await issuer('person', { kubernetesCSR: { signerName, caBundle: base64(signer.ca) } });
    await service('approved', { issuer: 'person', lifetime: '10m', renewAt: 20 });
    const first = await another('approved');
    signer.approves = false;
    await due(first);
    await until(async () => (await policySays('approved')).includes('waits to be approved'), 'it does not say so');
    await until(() => warned('TLSPolicy', 'approved', 'OrderPending'), 'there is no event');
    const late = `tabard_certificate_renewal_timestamp_seconds{namespace="${namespace}",service="approved"}`;
    expect(await metric(late)).toBeLessThan(Date.now() / 1_000);
    expect(serialOf(await secretOf('approved'))).toBe(serialOf(first));
    expectServed(first);
    signer.approves = true;
    await another('approved', first);
    expect(Date.now()).toBeLessThan(noted(first, written.notAfter));
  } finally {
    await signer.stop();
  }
}

async function acme(): Promise<void> {
  const bind = await startBind('corp.example.com', 'hmac-sha256');
  const options = { httpPort: 1, tlsPort: 1, dns: bind.address, refusedNonces: 33, briefSeconds: 240 };
  const pebble = await startPebble(options);
  // Says when to renew in the place of pebble, which would say so after two thirds of the life.
  const proxy = await startHttpsProxy(pebble.server);
  const at = (seconds: number): string => new Date(Date.now() + seconds * 1_000).toISOString();
  let window: { readonly start: string; readonly end: string } | undefined;
  proxy.change = (body) => {
    if (!body.includes('suggestedWindow')) return body;
    window ??= { start: at(20), end: at(21) };
    return JSON.stringify({ suggestedWindow: window });
  };
  try {
    await connection.client.create(resources.secrets, {
      metadata: { name: 'tsig', namespace: system },
      data: { secret: base64(bind.secret) },
    });
    const tsigSecretRef = { name: 'tsig', key: 'secret' };
    const rfc2136 = { nameserver: bind.address, tsigKeyName: bind.keyName, tsigSecretRef };
    await issuer('acme', {
      acme: {
        server: proxy.server,
        caBundle: base64(proxy.trust),
        accountKeySecretRef: { name: 'acme-account' },
        profile: 'brief',
        solvers: [{ dns01: { rfc2136 } }],
      },
    });
    await service('ledger', { issuer: 'acme', dnsNames: ['ledger.corp.example.com'] });
    const first = await another('ledger');
    await until(async () => window !== undefined, 'the CA is not asked when to renew');
    await pebble.down();
    await until(async () => (await issuerSays('acme')) === 'Unreachable', 'the issuer does not say so');
    await until(() => warned('TLSIssuer', 'acme', 'Unreachable'), 'there is no event');
    expect(Date.now()).toBeGreaterThan(Date.parse(window?.start ?? ''));
    expect(await metric('tabard_issuer_ready{issuer="acme"}')).toBe(0);
    expect(await metric('tabard_certificate_issue_failures_total{code="issuer_failed"}')).toBeGreaterThan(0);
    expect(serialOf(await secretOf('ledger'))).toBe(serialOf(first));
    await pebble.up();
    await until(async () => (await issuerSays('acme')) === 'CanSign', 'the issuer does not come back');
    await another('ledger', first);
    expect(Date.now()).toBeLessThan(noted(first, written.notAfter));
  } finally {
    await proxy.stop();
    await pebble.stop();
    await bind.stop();
  }
}

async function ca(): Promise<void> {
  const [given, stranger] = [await testAuthority(), await testAuthority()];
  const ref = { name: 'given-ca', namespace: system };
  const put = async (certificate: Authority, key: Authority): Promise<void> => {
    const data = { 'tls.crt': base64(certificate.certificate), 'tls.key': base64(privateKeyPem(key.privateKey)) };
    await connection.client.create(resources.secrets, { metadata: ref, type: 'kubernetes.io/tls', data });
  };
  await put(given, given);
  await issuer('given', { ca: { secretRef: { name: 'given-ca' } } });
  await service('shopfront', { issuer: 'given', lifetime: '60s', renewAt: 30 });
  const first = await another('shopfront');
  await connection.client.delete(resources.secrets, ref);
  await until(async () => (await issuerSays('given')) === 'AuthorityMissing', 'the issuer does not say so');
  await until(() => warned('TLSIssuer', 'given', 'AuthorityMissing'), 'there is no event');
  expect(await metric('tabard_issuer_ready{issuer="given"}')).toBe(0);
  expectServed(await another('shopfront', first));
  await put(given, stranger);
  await until(async () => (await issuerSays('given')) === 'AuthorityBroken', 'the issuer does not say so');
  await until(() => warned('TLSIssuer', 'given', 'AuthorityBroken'), 'there is no event');
  expectServed(await another('shopfront', await secretOf('shopfront')));
  expect(await metric('tabard_audit_records_total{action="CaRefused"}')).toBeGreaterThanOrEqual(2);
  await connection.client.delete(resources.secrets, ref);
  await put(given, given);
  await until(async () => (await issuerSays('given')) === 'CanSign', 'the issuer does not come back');
  expect(await metric('tabard_issuer_ready{issuer="given"}')).toBe(1);
}

describe('a certificate is due while', () => {
  beforeAll(() => {
    stories = { person: person(), acme: acme(), ca: ca() };
    // Each is awaited by its test.
    for (const story of Object.values(stories)) story.catch(() => undefined);
  });

  afterAll(async () => {
    await Promise.allSettled(Object.values(stories));
  }, testMs);

  test.each<readonly [string, Story]>([
    [
      'nobody approves: what serves stays, it is said for what it waits, and once approved it is renewed in time',
      'person',
    ],
    ['the ACME server is stopped: the issuer says so, and once it is back the service is renewed in time', 'acme'],
    [
      'the Secret of its CA is gone, and then holds halves of two: the last good CA signs, and says what is wrong',
      'ca',
    ],
  ])(
    '%s',
    async (_, story) => {
      await stories[story];
    },
    testMs,
  );
});

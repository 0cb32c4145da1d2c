// Vault's own Kubernetes login, which asks the real API server about a real token of a service account; and the operator as a process
// that has Vault sign for services, also after Vault was away when a certificate was due.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import { certificateSecretName, labels, written } from '../../../lib/api/contract.ts';
import { systemClock } from '../../../lib/clock.ts';
import { kubeMetrics } from '../../../lib/kube/metrics.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { type Connection, connect } from '../../../lib/kube/rest.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { Metrics } from '../../../lib/runtime/metrics.ts';
import { mountedCredentials } from '../../../operator/issuers/vault/credentials.ts';
import { createVaultIssuer } from '../../../operator/issuers/vault/issuer.ts';
import { type OperatorProcess, startOperatorProcess } from '../../support/operator.ts';
import { eventually, RemoteIssuerBench } from '../../support/remoteissuer.ts';
import { meshRole, mountPki, startVault, type TestVault } from '../../support/vault.ts';

jest.setTimeout(300_000);

const system = 'tabard-system';
const shop = 'shop';
const auth = { kubernetes: { role: 'tabard', audience: 'vault' } };

let vault: TestVault;
let plane: ControlPlane;
let connection: Connection;
let operator: OperatorProcess | undefined;
const folder = mkdtempSync(join(tmpdir(), 'tabard-tokens-'));

beforeAll(async () => {
  vault = await startVault();
  await mountPki(vault);
  plane = await startControlPlane();
  connection = connect({
    kubeconfig: plane.kubeconfig,
    userAgent: 'tabard-test/0',
    clock: systemClock,
    metrics: kubeMetrics(new Metrics()),
  });
  await plane.kubectl(['apply', '-f', resolve(import.meta.dirname, '../../../crds')]);
  for (const name of [system, shop]) {
    await connection.client.create(resources.namespaces, { metadata: { name } });
    await plane.kubectl(['create', 'serviceaccount', 'default', '-n', name]);
  }
  for (const account of ['tabard-operator', 'vault-reviewer', 'stranger'])
    await plane.kubectl(['create', 'serviceaccount', account, '-n', system]);
  await plane.kubectl([
    'create',
    'clusterrolebinding',
    'vault-reviewer',
    '--clusterrole=system:auth-delegator',
    `--serviceaccount=${system}:vault-reviewer`,
  ]);
  await vault.admin('POST', 'sys/policies/acl/mesh', {
    policy: JSON.stringify({
      path: { 'pki/sign/mesh': { capabilities: ['update'] }, 'pki/sign/brief': { capabilities: ['update'] } },
    }),
  });
  await vault.admin('POST', 'sys/auth/kubernetes', { type: 'kubernetes' });
  await vault.admin('POST', 'auth/kubernetes/config', {
    kubernetes_host: plane.server,
    kubernetes_ca_cert: readFileSync(plane.ca, 'utf8'),
    token_reviewer_jwt: await accountToken('vault-reviewer'),
    disable_local_ca_jwt: true,
  });
  await vault.admin('POST', 'auth/kubernetes/role/tabard', {
    bound_service_account_names: 'tabard-operator',
    bound_service_account_namespaces: system,
    audience: 'vault',
    token_policies: 'mesh',
    token_ttl: '1h',
    token_max_ttl: '24h',
  });
}, 1_200_000);

afterAll(async () => {
  await operator?.end('SIGKILL');
  connection.close();
  await plane.stop();
  await vault.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function accountToken(account: string, audience?: string): Promise<string> {
  const wanted = audience === undefined ? [] : ['--audience', audience];
  return (await plane.kubectl(['create', 'token', account, '-n', system, ...wanted])).trim();
}

/** Puts a token where the kubelet would. */
async function mountToken(account: string, audience = 'vault'): Promise<void> {
  writeFileSync(join(folder, 'vault'), await accountToken(account, audience), { mode: 0o600 });
}

function start(): RemoteIssuerBench {
  const credentials = mountedCredentials({ folder, secrets: { get: () => undefined }, namespace: system });
  const spec = { server: vault.address, caBundle: vault.caBundle, path: 'pki', role: 'mesh', auth };
  return new RemoteIssuerBench({ vault: spec }, (object, deps) =>
    createVaultIssuer(object, { ...deps, credentials, checkMs: 500 }),
  );
}

async function within(work: (bench: RemoteIssuerBench) => Promise<void>): Promise<void> {
  const bench = start();
  try {
    await work(bench);
  } finally {
    await bench.stop();
  }
}

async function logins(): Promise<number> {
  return (await vault.log()).filter(({ path }) => path === 'auth/kubernetes/login').length;
}

describe('login with a token of the operator service account', () => {
  test('gives a token that may sign, once for many orders', async () => {
    await vault.clear();
    await mountToken('tabard-operator');
    await within(async (bench) => {
      await bench.until('ready');
      await Promise.all(Array.from({ length: 8 }, () => bench.sign()));
      expect(await logins()).toBe(1);
    });
  });

  test('is refused for another service account', async () => {
    await mountToken('stranger');
    await within((bench) => bench.until('Unauthorized'));
  });

  test('is refused for a token that is meant for somebody else', async () => {
    await mountToken('tabard-operator', 'another');
    await within((bench) => bench.until('Unauthorized'));
  });

  test('without a mounted token says so', async () => {
    rmSync(join(folder, 'vault'));
    await within((bench) => bench.until('CredentialMissing'));
  });

  test('is repeated when the token has expired in between: the order notices nothing', async () => {
    await vault.clear();
    await mountToken('tabard-operator');
    await within(async (bench) => {
      await bench.until('ready');
      await vault.advance(7_200);
      expect((await bench.refusal()).reason).toBe('signed');
      expect(await logins()).toBe(2);
    });
  });

  test('is repeated when the token was revoked', async () => {
    await mountToken('tabard-operator');
    await within(async (bench) => {
      await bench.until('ready');
      await vault.revokeTokens();
      expect((await bench.refusal()).reason).toBe('signed');
    });
  });

  test('is repeated after the policy was corrected: what a token may do is decided when it is given out', async () => {
    await mountToken('tabard-operator');
    await vault.admin('POST', 'auth/kubernetes/role/tabard', { token_policies: 'nothing' });
    await within(async (bench) => {
      await bench.until('Forbidden');
      await vault.admin('POST', 'auth/kubernetes/role/tabard', { token_policies: 'mesh' });
      await bench.until('ready');
    });
  });
});

async function certificateOf(service: string): Promise<Secret | undefined> {
  const ref = { namespace: shop, name: certificateSecretName(service) };
  return await connection.client.get(resources.secrets, ref).catch(() => undefined);
}

/** The serial in a service's Secret, once there is one that `fits`. */
async function serialWhere(service: string, fits: (serial: string) => boolean): Promise<string> {
  let serial: string | undefined;
  await eventually(
    async () => {
      serial = (await certificateOf(service))?.metadata.annotations?.[written.serial];
      return serial !== undefined && fits(serial);
    },
    () => `no fitting certificate of ${service}: ${JSON.stringify(operator?.lines.slice(-10))}`,
    180_000,
  );
  return serial ?? '';
}

describe('the operator with an issuer of kind vault', () => {
  test('(cert-manager#3941, #6378) renews after Vault was away when the certificate was due, by itself', async () => {
    await vault.clear();
    await mountToken('tabard-operator');
    // Signs for a minute, whatever is asked for: due after half of it.
    await vault.admin('POST', 'pki/roles/brief', { ...meshRole, max_ttl: '60s', not_before_duration: '2m' });
    const { server, ca } = { server: vault.address, ca: vault.caBundle };
    await connection.client.create(resources.tlsissuers, {
      metadata: { name: 'corp' },
      spec: { vault: { server, caBundle: ca, path: 'pki', role: 'brief', timeout: '5s', auth } },
    });
    await connection.client.create(resources.tlspolicies, {
      metadata: { name: 'default', namespace: shop },
      spec: { certificate: { issuer: 'corp', renewAt: 50 } },
    });
    await connection.client.create(resources.pods, {
      metadata: {
        name: 'web-1',
        namespace: shop,
        labels: { [labels.injected]: 'true' },
        annotations: { [written.service]: 'web' },
      },
      spec: { containers: [{ name: 'app', image: 'example.invalid/app:1' }] },
    });
    operator = startOperatorProcess({
      name: 'op-1',
      namespace: system,
      kubeconfig: plane.kubeconfig,
      env: { TABARD_TOKENS_FOLDER: folder },
    });
    const first = await serialWhere('web', () => true);
    const secret = await certificateOf('web');
    const text = (key: string): string => Buffer.from(secret?.data?.[key] ?? '', 'base64').toString();
    expect(parseCertificates(text('tls.crt'))[0]?.issuer).toBe('CN=Root');
    // The mesh trusts both: the CA of its own and that of Vault.
    expect(parseCertificates(text('ca.crt')).map(({ subject }) => subject ?? '')).toContain('CN=Root');
    expect(parseCertificates(text('ca.crt'))).toHaveLength(2);

    await vault.down();
    const due = new Date(secret?.metadata.annotations?.[written.renewAt] ?? '');
    await eventually(
      async () => new Date() > due && (await readyReason()) === 'Unreachable',
      () => 'the certificate is not due, or the issuer does not say that Vault is away',
      180_000,
    );
    // Nothing was taken away in the meantime.
    expect((await certificateOf('web'))?.metadata.annotations?.[written.serial]).toBe(first);
    await vault.up();
    await serialWhere('web', (serial) => serial !== first);
    await eventually(
      async () => (await readyReason()) === 'CanSign',
      () => 'the issuer does not say that it is good again',
    );
    expect(await operator.end('SIGTERM')).toBe(0);
    expect(JSON.stringify(operator.lines)).not.toContain('hvs.');
  });
});

async function readyReason(): Promise<string | undefined> {
  const issuer = await connection.client.get(resources.tlsissuers, { name: 'corp' });
  return issuer.status?.conditions?.find(({ type }) => type === 'Ready')?.reason;
}

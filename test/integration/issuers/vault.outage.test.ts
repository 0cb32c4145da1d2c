// Issuer `vault` while Vault, its token or the way to it is in trouble: one word for each, no hand needed once it is over.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { VaultIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import { IssuerError } from '../../../operator/issuers/problem.ts';
import { createVaultIssuer } from '../../../operator/issuers/vault/issuer.ts';
import { testAuthority } from '../../support/pki.ts';
import { eventually, RemoteIssuerBench } from '../../support/remoteissuer.ts';
import { mountPki, startVault, type TestVault } from '../../support/vault.ts';

jest.setTimeout(180_000);

let vault: TestVault;
let standby: TestVault;
let bench: RemoteIssuerBench | undefined;
/** What the Secret with the token holds now. */
let token: string;

beforeAll(async () => {
  vault = await startVault();
  standby = await startVault();
  await mountPki(vault);
  await vault.admin('POST', 'sys/policies/acl/signer', {
    policy: JSON.stringify({ path: { 'pki/sign/mesh': { capabilities: ['update'] } } }),
  });
}, 1_200_000);

afterAll(async () => {
  await vault.stop();
  await standby.stop();
});

beforeEach(async () => {
  await vault.clear();
  await vault.up();
  token = await newToken({});
});

afterEach(async () => {
  await bench?.stop();
  bench = undefined;
});

async function newToken(options: Readonly<Record<string, unknown>>): Promise<string> {
  const { auth } = await vault.admin('POST', 'auth/token/create', { policies: ['signer'], ...options });
  return (auth as { readonly client_token: string }).client_token;
}

function start(spec: Partial<VaultIssuerSpec> = {}): RemoteIssuerBench {
  const credentials = {
    secretValue: () => token,
    serviceAccountToken: () => Promise.reject(new Error('not in these tests')),
  };
  const { address: server, caBundle } = vault;
  const auth = { tokenSecretRef: { name: 'vault-token', key: 'token' } };
  const whole = { server, caBundle, path: 'pki', role: 'mesh', auth, ...spec };
  bench = new RemoteIssuerBench({ vault: whole }, (object, deps) =>
    createVaultIssuer(object, { ...deps, credentials }),
  );
  return bench;
}

async function ready(spec: Partial<VaultIssuerSpec> = {}): Promise<RemoteIssuerBench> {
  const issuer = start(spec);
  await issuer.until('ready');
  return issuer;
}

const paths = async (): Promise<readonly string[]> => (await vault.log()).map(({ path }) => path);

describe('a server that is away', () => {
  test('is Unreachable when an order meets it, and used again by itself when it is back', async () => {
    const issuer = await ready();
    await vault.down();
    expect((await issuer.refusal()).reason).toBe('Unreachable');
    expect(issuer.word).toBe('Unreachable');
    const changes = issuer.changes;
    await vault.up();
    await issuer.until('ready');
    // Whoever waits for a certificate is told, and need not sit out his own back-off.
    expect(issuer.changes).toBeGreaterThan(changes);
    expect((await issuer.refusal()).reason).toBe('signed');
  });

  test('at the start holds nothing up but this issuer', async () => {
    await vault.down();
    const issuer = start();
    await issuer.until('Unreachable');
    await vault.up();
    await issuer.until('ready');
  });

  test('is told from one whose certificate is not trusted', async () => {
    const { certificate } = await testAuthority();
    const issuer = start({ caBundle: Buffer.from(certificate).toString('base64') });
    await issuer.until('ServerUntrusted');
    expect(issuer.state).toMatchObject({ message: expect.stringContaining('set caBundle') });
    expect((await paths()).filter((path) => path.startsWith('pki/'))).toEqual([]);
  });

  test('that ends connections in the middle is Unreachable', async () => {
    const issuer = await ready();
    await vault.fault({ path: 'pki/sign/', cut: true });
    expect((await issuer.refusal()).reason).toBe('Unreachable');
  });
});

describe('a server that is slow or busy', () => {
  test('may take five seconds', async () => {
    const issuer = await ready();
    await vault.fault({ path: 'pki/sign/', delayMs: 5_000, times: 1 });
    expect((await issuer.refusal()).reason).toBe('signed');
  });

  test('may not take longer than spec.timeout', async () => {
    const issuer = await ready({ timeout: '1s' });
    await vault.fault({ path: 'pki/sign/', delayMs: 60_000, times: 1 });
    expect(await issuer.refusal()).toEqual({ reason: 'Unreachable', message: expect.stringContaining('1000 ms') });
  });

  test.each([429, 500, 502, 503])('that answers %i twice is asked a third time', async (status) => {
    const issuer = await ready();
    await vault.fault({ path: 'pki/sign/', status, body: '{"errors":["busy"]}', times: 2 });
    expect((await issuer.refusal()).reason).toBe('signed');
  });

  test.each([
    [429, 'Throttled'],
    [500, 'ServerFailed'],
  ])('that keeps answering %i is given up for now', async (status, reason) => {
    const issuer = await ready();
    await vault.fault({ path: 'pki/sign/', status, body: '{"errors":["too much"]}' });
    expect(await issuer.refusal()).toEqual({ reason, message: expect.stringContaining('too much') });
    expect((await paths()).filter((path) => path === 'pki/sign/mesh')).toHaveLength(3);
  });

  test('that asks to stay away for an hour is not asked again by that order', async () => {
    const issuer = await ready();
    await vault.fault({ path: 'pki/sign/', status: 429, headers: { 'Retry-After': '3600' } });
    expect((await issuer.refusal()).reason).toBe('Throttled');
    expect((await paths()).filter((path) => path === 'pki/sign/mesh')).toHaveLength(1);
  });
});

describe('a sealed Vault', () => {
  test('is Sealed, and used again when it was unsealed', async () => {
    const issuer = await ready();
    await vault.seal(true);
    expect((await issuer.refusal()).reason).toBe('Sealed');
    await issuer.until('Sealed');
    await vault.seal(false);
    await issuer.until('ready');
    expect((await issuer.refusal()).reason).toBe('signed');
  });
});

describe('a standby', () => {
  test('sends us to the active node, which signs', async () => {
    await standby.standby(vault.address);
    // Both nodes are of one cluster: one bundle is for both.
    const both = [standby, vault].map(({ caBundle }) => Buffer.from(caBundle, 'base64').toString()).join('');
    const issuer = await ready({ server: standby.address, caBundle: Buffer.from(both).toString('base64') });
    expect((await issuer.refusal()).reason).toBe('signed');
    await standby.clear();
  });

  test.each([
    ['to plain HTTP', 'http://127.0.0.1:1/v1/pki/sign/mesh'],
    ['to another path', '/v1/sys/raw'],
    ['nowhere', ''],
  ])('that sends us %s is not followed', async (_name, location) => {
    const issuer = await ready();
    await vault.fault({ path: 'pki/sign/', status: 307, headers: { Location: location } });
    expect((await issuer.refusal()).reason).toBe('BadAnswer');
  });

  test('that sends us round and round is left', async () => {
    const issuer = await ready();
    await vault.fault({ path: 'pki/sign/', status: 307, headers: { Location: `${vault.address}/v1/pki/sign/mesh` } });
    expect((await issuer.refusal()).reason).toBe('BadAnswer');
  });
});

describe('a token from a Secret', () => {
  test('is renewed at half of its life', async () => {
    token = await newToken({ ttl: '16s' });
    const issuer = await ready();
    await eventually(
      async () => (await paths()).filter((path) => path === 'auth/token/renew-self').length >= 2,
      () => 'it was not renewed twice',
    );
    // By now it would have ended.
    expect((await issuer.refusal()).reason).toBe('signed');
  });

  test('that was revoked in between is Unauthorized until another one is put there', async () => {
    const issuer = await ready();
    await vault.revokeTokens();
    expect((await issuer.refusal()).reason).toBe('Unauthorized');
    expect(issuer.word).toBe('Unauthorized');
    token = await newToken({});
    await issuer.until('ready');
    expect((await issuer.refusal()).reason).toBe('signed');
  });

  test('that was replaced is replaced at the next order, before the old one fails', async () => {
    const issuer = await ready();
    const old = token;
    token = await newToken({});
    await vault.clear();
    expect((await issuer.refusal()).reason).toBe('signed');
    expect((await vault.log()).map((each) => each.token)).not.toContain(old);
  });

  test('that is not there is CredentialMissing', async () => {
    const { vaultless } = missing();
    bench = vaultless;
    await bench.until('CredentialMissing');
  });
});

/** An issuer whose Secret is not there. */
function missing(): { readonly vaultless: RemoteIssuerBench } {
  const credentials = {
    secretValue: (): string => {
      throw new IssuerError('CredentialMissing', 'there is no Secret');
    },
    serviceAccountToken: () => Promise.reject(new Error('not in these tests')),
  };
  const auth = { tokenSecretRef: { name: 'none', key: 'token' } };
  const spec = { server: vault.address, caBundle: vault.caBundle, path: 'pki', role: 'mesh', auth };
  return {
    vaultless: new RemoteIssuerBench({ vault: spec }, (object, deps) =>
      createVaultIssuer(object, { ...deps, credentials }),
    ),
  };
}

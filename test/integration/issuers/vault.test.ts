// Issuer `vault` against Vault's own PKI engine: what it gets signed, and what it refuses although Vault has sent it.
import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { VaultIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { createRequest, requestPem } from '../../../lib/pki/csr.ts';
import { generateKey } from '../../../lib/pki/keys.ts';
import type { SignedLeaf } from '../../../operator/issuers/issuer.ts';
import { canRevoke } from '../../../operator/issuers/revoke.ts';
import type { Credentials } from '../../../operator/issuers/vault/credentials.ts';
import { createVaultIssuer } from '../../../operator/issuers/vault/issuer.ts';
import { testAuthority } from '../../support/pki.ts';
import { eventually, isKeyOf, leafOrder, RemoteIssuerBench, stated } from '../../support/remoteissuer.ts';
import { meshRole, mountPki, startVault, type TestVault } from '../../support/vault.ts';

jest.setTimeout(180_000);

let vault: TestVault;
let bench: RemoteIssuerBench | undefined;

beforeAll(async () => {
  vault = await startVault();
  await mountPki(vault);
}, 1_200_000);

afterAll(() => vault.stop());

beforeEach(() => vault.clear());

afterEach(async () => {
  await bench?.stop();
  bench = undefined;
});

/** The issuer with the root token, unless a test says otherwise. */
function start(spec: Partial<VaultIssuerSpec> = {}, token = (): string => vault.rootToken): RemoteIssuerBench {
  const credentials: Credentials = {
    secretValue: token,
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

describe('a leaf signed by Vault', () => {
  test('has our key, our names and nothing else, and chains to the engine root', async () => {
    const issuer = start();
    await issuer.until('ready');
    const order = await leafOrder();
    const leaf = await issuer.issuer.sign(order, AbortSignal.timeout(60_000));
    expect(isKeyOf(leaf.chain, order)).toBe(true);
    expect(stated(leaf.chain)).toMatchObject({
      names: 'DNS:web, DNS:web.shop.svc.cluster.local, URI:spiffe://cluster.local/ns/shop/svc/web',
      subject: '',
      issuer: 'CN=Root',
    });
    // The root is in the bundle and not in the chain.
    expect(parseCertificates(leaf.chain)).toHaveLength(1);
    const { state } = issuer;
    expect(state).toMatchObject({ ready: true, mesh: true, authorities: [{ role: 'Active' }] });
    expect(state.ready && state.trustBundle).toContain('BEGIN CERTIFICATE');
  });

  test.each(['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'Ed25519'] as const)('can have a key of kind %s', async (key) => {
    const issuer = start();
    await issuer.until('ready');
    const leaf = await issuer.sign({ key });
    expect(stated(leaf.chain).names).toContain('URI:spiffe://cluster.local/ns/shop/svc/web');
  });

  test('is asked for with `sign` alone, and the private key is in no request', async () => {
    const issuer = start();
    await issuer.until('ready');
    await issuer.sign();
    const posts = (await vault.log()).filter(({ method, path }) => method === 'POST' && path.startsWith('pki/'));
    expect(posts.map(({ path }) => path)).toEqual(['pki/sign/mesh']);
    expect(posts[0]?.members.toSorted()).toEqual([
      'alt_names',
      'csr',
      'exclude_cn_from_sans',
      'format',
      'ttl',
      'uri_sans',
    ]);
  });

  test('is another one when it is renewed', async () => {
    const issuer = start();
    await issuer.until('ready');
    const serials = [(await issuer.sign()).serial, (await issuer.sign()).serial];
    expect(new Set(serials).size).toBe(2);
  });

  test('may be shorter than asked where the role says so', async () => {
    await vault.admin('POST', 'pki/roles/short', { ...meshRole, max_ttl: '30m' });
    const issuer = start({ role: 'short' });
    await issuer.until('ready');
    const { notBefore, notAfter } = await issuer.sign({ lifetimeMs: 86_400_000 });
    expect(notAfter.getTime() - notBefore.getTime()).toBeLessThanOrEqual(31 * 60_000);
  });

  test('is signed for a key that its holder keeps, where the role takes names from beside the request', async () => {
    await vault.admin('POST', 'pki/roles/beside', { ...meshRole, use_csr_sans: false });
    const issuer = start({ role: 'beside' });
    await issuer.until('ready');
    const { privateKey, ...order } = await leafOrder();
    const names = { uris: ['spiffe://cluster.local/ns/shop/svc/other'], dnsNames: [], ipAddresses: [] };
    const request = createRequest(names, privateKey);
    const leaf = await signFor(issuer, { ...order, request });
    expect(stated(leaf.chain).names).toContain('URI:spiffe://cluster.local/ns/shop/svc/web');
  });

  test('comes with the intermediate of a two-tier engine, whose root is what peers trust', async () => {
    await twoTier('tiered');
    const issuer = start({ path: 'tiered' });
    await issuer.until('ready');
    const leaf = await issuer.sign();
    expect(parseCertificates(leaf.chain).map(({ subject }) => subject ?? '')).toEqual(['', 'CN=Mesh issuing CA']);
    const { state } = issuer;
    expect(state.ready && parseCertificates(state.trustBundle).map(({ subject }) => subject)).toEqual(['CN=Root']);
  });

  test('in a namespace of Vault is asked for there', async () => {
    await mountPki(vault, 'pki', 'teams/mesh');
    const issuer = start({ namespace: 'teams/mesh/' });
    await issuer.until('ready');
    await issuer.sign();
    expect((await vault.log()).filter(({ path }) => path === 'pki/sign/mesh').at(-1)?.namespace).toBe('teams/mesh');
  });
});

function signFor(
  { issuer }: RemoteIssuerBench,
  order: Parameters<NonNullable<RemoteIssuerBench['issuer']['signFor']>>[0],
): Promise<SignedLeaf> {
  if (issuer.signFor === undefined) throw new Error('the issuer signs for no key of others');
  return issuer.signFor(order, AbortSignal.timeout(60_000));
}

/** A PKI engine whose CA is signed by the root of the engine `pki`. */
async function twoTier(path: string): Promise<void> {
  await vault.admin('POST', `sys/mounts/${path}`, { type: 'pki' });
  const asked = await vault.admin('POST', `${path}/intermediate/generate/internal`, {
    common_name: 'Mesh issuing CA',
    key_type: 'ec',
    key_bits: 256,
  });
  const { csr } = asked['data'] as { readonly csr: string };
  const signed = await vault.admin('POST', 'pki/root/sign-intermediate', { csr, ttl: '4000h', format: 'pem_bundle' });
  const { certificate } = signed['data'] as { readonly certificate: string };
  await vault.admin('POST', `${path}/intermediate/set-signed`, { certificate });
  await vault.admin('POST', `${path}/roles/mesh`, meshRole);
}

describe('an answer of Vault that is not what was asked for is refused', () => {
  test('another key', async () => {
    const { privateKey } = await generateKey('ECDSA-P256');
    const names = { uris: ['spiffe://cluster.local/ns/shop/svc/web'], dnsNames: ['web'], ipAddresses: [] };
    const csr = requestPem(createRequest(names, privateKey));
    await refuses({ csr }, 'its key is not ours');
  });

  test.each([
    ['another identity', { uri_sans: 'spiffe://cluster.local/ns/shop/svc/admin' }, 'does not name URI:spiffe:'],
    [
      'a second identity',
      { uri_sans: `${identity()},spiffe://cluster.local/ns/a/svc/b` },
      'svc/b, which was not asked',
    ],
    ['no identity', { uri_sans: '' }, `does not name URI:${identity()}`],
    ['another DNS name', { alt_names: 'web,web.shop.svc.cluster.local,evil.example' }, 'DNS:evil.example, which was'],
    ['a DNS name less', { alt_names: 'web' }, 'does not name DNS:web.shop.svc.cluster.local'],
    ['an IP address', { ip_sans: '10.0.0.1' }, 'IP Address:10.0.0.1, which was not asked'],
    ['a longer life', { ttl: '48h' }, '1h was asked for'],
  ])('%s', async (_name, override, why) => {
    await vault.admin('POST', 'pki/roles/loose', { ...meshRole, use_csr_sans: false, allow_ip_sans: true });
    await refuses(override, why, 'loose');
  });

  test('a certificate that has expired', async () => {
    const issuer = start();
    await issuer.until('ready');
    const keys = await generateKey('ECDSA-P256');
    const names = { uris: [identity()], dnsNames: ['web', 'web.shop.svc.cluster.local'], ipAddresses: [] };
    const csr = requestPem(createRequest(names, keys.privateKey));
    const answer = await vault.admin('POST', 'pki/sign/mesh', { csr, ttl: '1s' });
    const { certificate } = answer['data'] as { readonly certificate: string };
    const { validToDate } = new X509Certificate(certificate);
    await eventually(
      () => new Date() > validToDate,
      () => 'it does not expire',
    );
    await vault.fault({ path: 'pki/sign/', status: 200, body: JSON.stringify(answer) });
    const { reason, message } = await issuer.refusal({ keys });
    expect({ reason, message }).toEqual({
      reason: 'CertificateNotAsAsked',
      message: expect.stringContaining('expired'),
    });
  });

  test('a certificate of a CA that is not the engine root', async () => {
    const other = await testAuthority();
    const body = JSON.stringify({ data: { certificate: other.certificate, ca_chain: [] } });
    const issuer = start();
    await issuer.until('ready');
    await vault.fault({ path: 'pki/sign/', status: 200, body });
    expect((await issuer.refusal()).reason).toBe('CertificateNotAsAsked');
  });

  test('a role that is for one end of a connection alone', async () => {
    await vault.admin('POST', 'pki/roles/server', { ...meshRole, client_flag: false });
    const issuer = start({ role: 'server' });
    await issuer.until('ready');
    expect(await issuer.refusal()).toMatchObject({ reason: 'CertificateNotAsAsked' });
  });

  test.each([
    ['garbage', { body: 'what?' }, 'BadAnswer'],
    ['JSON without a certificate', { body: '{"data":{}}' }, 'BadAnswer'],
    [
      'a certificate that does not parse',
      { body: '{"data":{"certificate":"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----"}}' },
      'CertificateNotAsAsked',
    ],
    ['5 MB', { size: 5_000_000 }, 'BadAnswer'],
  ])('%s', async (_name, fault, reason) => {
    const issuer = start();
    await issuer.until('ready');
    await vault.fault({ path: 'pki/sign/', status: 200, ...fault });
    expect((await issuer.refusal()).reason).toBe(reason);
    await vault.clear();
    expect((await issuer.refusal()).reason).toBe('signed');
  });
});

function identity(): string {
  return 'spiffe://cluster.local/ns/shop/svc/web';
}

/** Vault signs something else than what we asked for, by its own hand: a member of the request is replaced on the way. */
async function refuses(override: Readonly<Record<string, unknown>>, why: string, role = 'mesh'): Promise<void> {
  const issuer = start({ role });
  await issuer.until('ready');
  await vault.fault({ path: '/sign/', override });
  const { reason, message } = await issuer.refusal();
  expect({ reason, message }).toEqual({ reason: 'CertificateNotAsAsked', message: expect.stringContaining(why) });
}

describe('Vault says no', () => {
  test('to a name that the role does not allow: that order fails with its words, the issuer stays good', async () => {
    await vault.admin('POST', 'pki/roles/other', { ...meshRole, allowed_uri_sans: 'spiffe://other.example/*' });
    const issuer = start({ role: 'other' });
    await issuer.until('ready');
    expect(await issuer.refusal()).toEqual({
      reason: 'RoleRefuses',
      message: expect.stringMatching(/URI Subject Alternative Names.*let the role allow these names/),
    });
    expect(issuer.word).toBe('ready');
  });

  test('to a role that does not exist', async () => {
    await start({ role: 'nobody' }).until('NotFound');
  });

  test('to a path where no engine is', async () => {
    await start({ path: 'nowhere' }).until('NotFound');
  });

  test('to a token whose policy does not let it sign: said before anything is ordered', async () => {
    await vault.admin('POST', 'sys/policies/acl/reader', {
      policy: JSON.stringify({ path: { 'pki/roles/mesh': { capabilities: ['read'] } } }),
    });
    const token = await newToken({ policies: ['reader'] });
    await start({}, () => token).until('Forbidden');
  });

  test('and not a word about the role to a token that may only sign', async () => {
    await vault.admin('POST', 'sys/policies/acl/signer', {
      policy: JSON.stringify({ path: { 'pki/sign/mesh': { capabilities: ['update'] } } }),
    });
    const token = await newToken({ policies: ['signer'] });
    const issuer = start({}, () => token);
    await issuer.until('ready');
    expect((await issuer.refusal()).reason).toBe('signed');
  });

  test.each([
    ['a path that climbs', { path: '../sys' }],
    ['a path with a space', { path: 'pki mesh' }],
    ['a path that begins with a slash', { path: '/pki' }],
    ['a path with a query', { path: 'pki?x=1' }],
    ['a role that climbs', { role: '..' }],
    ['a role with a slash', { role: 'a/b' }],
    ['a namespace that climbs', { namespace: 'a/../b' }],
    ['an address without https', { server: 'http://127.0.0.1:8200' }],
  ])('(cert-manager#8930) %s is never sent', async (_name, spec) => {
    await start(spec).until('SpecInvalid');
    expect((await vault.log()).filter(({ path }) => path.includes('sign'))).toEqual([]);
  });
});

async function newToken(body: Readonly<Record<string, unknown>>): Promise<string> {
  const { auth } = await vault.admin('POST', 'auth/token/create', body);
  return (auth as { readonly client_token: string }).client_token;
}

describe('a lease', () => {
  test('is left to Vault where a role makes one', async () => {
    await vault.admin('POST', 'pki/roles/leased', { ...meshRole, no_store: false, generate_lease: true });
    const before = await vault.leases();
    const issuer = start({ role: 'leased' });
    await issuer.until('ready');
    await issuer.sign();
    expect(await vault.leases()).toBe(before + 1);
  });
});

describe('a leaf that is revoked', () => {
  const never = AbortSignal.timeout(170_000);

  test.each([
    ['by its serial, where the role stores certificates', false, 'the serial'],
    ['by the certificate itself, where the role stores none', true, 'the certificate'],
  ])('is on the list of Vault: %s', async (_name, noStore, what) => {
    await vault.admin('POST', 'pki/roles/mesh', { ...meshRole, no_store: noStore });
    const issuer = start();
    await issuer.until('ready');
    const { chain, serial } = await issuer.sign();
    const certificate = what === 'the serial' ? undefined : new X509Certificate(chain).raw;
    const signer = issuer.issuer;
    if (!canRevoke(signer)) throw new Error('it cannot be told');
    await signer.revoke({ serial, certificate, reason: 'keyCompromise' }, never);
    // Told again, Vault is content.
    await signer.revoke({ serial, certificate, reason: 'keyCompromise' }, never);
    const { data } = await vault.admin('LIST', 'pki/certs/revoked');
    const plain = (text: string): string => text.replaceAll(/[:-]/g, '').toUpperCase().replace(/^0+/, '');
    expect((data as { readonly keys: readonly string[] }).keys.map(plain)).toContain(plain(serial));
    await vault.admin('POST', 'pki/roles/mesh', meshRole);
  });

  test('that Vault does not know is not had, and says what Vault said', async () => {
    const issuer = start();
    await issuer.until('ready');
    const signer = issuer.issuer;
    if (!canRevoke(signer)) throw new Error('it cannot be told');
    const revoking = signer.revoke({ serial: '0ABC', certificate: undefined, reason: 'unspecified' }, never);
    await expect(revoking).rejects.toMatchObject({ retryable: true, message: expect.stringContaining('pki/revoke') });
  });

  test('waits for the right to say so', async () => {
    const policy = JSON.stringify({ path: { 'pki/sign/mesh': { capabilities: ['update'] } } });
    await vault.admin('POST', 'sys/policies/acl/signs', { policy });
    const { auth } = await vault.admin('POST', 'auth/token/create', { policies: ['signs'] });
    const { client_token: token } = auth as { readonly client_token: string };
    const issuer = start({}, () => token);
    await issuer.until('ready');
    const { serial } = await issuer.sign();
    const signer = issuer.issuer;
    if (!canRevoke(signer)) throw new Error('it cannot be told');
    const revoking = signer.revoke({ serial, certificate: undefined, reason: 'unspecified' }, never);
    await expect(revoking).rejects.toMatchObject({
      reason: 'NotRevoked',
      message: expect.stringContaining('grant update on pki/revoke'),
    });
  });
});

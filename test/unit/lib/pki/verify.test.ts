import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { type Authority, loadAuthority } from '../../../../lib/pki/ca.ts';
import { parsePrivateKey, privateKeyPem } from '../../../../lib/pki/keys.ts';
import { emptyName } from '../../../../lib/pki/names.ts';
import { chainVerdict } from '../../../../lib/pki/verify.ts';
import { keyIdOf, signCertificate } from '../../../../lib/pki/x509.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../../support/pki.ts';

const now = new Date('2026-11-22T12:00:00Z');
const later = (ms: number): Date => new Date(now.getTime() + ms);
const old = await testAuthority({ now, lifetimeMs: 30 * DAY_MS });
const fresh = await testAuthority({ now, lifetimeMs: 60 * DAY_MS });
const certificate = (authority: Authority): X509Certificate => new X509Certificate(authority.certificate);
const leafOf = async (authority: Authority, lifetimeMs = DAY_MS): Promise<X509Certificate> =>
  new X509Certificate((await testLeaf(authority, { now, lifetimeMs })).certificate);

/** A CA certificate for `fresh`'s name and key, signed by `old`: what a cross-signed rotation sends along. */
function crossSigned(): X509Certificate {
  const subject = certificate(fresh);
  const der = signCertificate(
    {
      serial: Buffer.from('77', 'hex'),
      issuerName: old.name,
      subjectName: fresh.name,
      notBefore: now,
      notAfter: later(2 * DAY_MS),
      publicKey: subject.publicKey,
      subjectKeyId: Buffer.from(fresh.keyId, 'hex'),
      authorityKeyId: Buffer.from(old.keyId, 'hex'),
      role: { kind: 'ca', permittedUriHost: 'cluster.local' },
    },
    old.privateKey,
  );
  return new X509Certificate(der);
}

describe('the chain of a peer', () => {
  test.each([
    ['old', 'old first', old, [old, fresh]],
    ['old', 'fresh first', old, [fresh, old]],
    ['fresh', 'old first', fresh, [old, fresh]],
    ['fresh', 'fresh first', fresh, [fresh, old]],
  ])('a leaf of the %s CA is good with both in the bundle, %s', async (_, __, signer, bundle) => {
    const verdict = chainVerdict({ leaf: await leafOf(signer), bundle: bundle.map(certificate), now });
    expect(verdict).toMatchObject({ ok: true });
  });

  test('a leaf of a CA that is not in the bundle is unknown', async () => {
    const verdict = chainVerdict({ leaf: await leafOf(old), bundle: [certificate(fresh)], now });
    expect(verdict).toMatchObject({ ok: false, reason: 'unknown_ca' });
  });

  test('an empty bundle trusts nobody', async () => {
    expect(chainVerdict({ leaf: await leafOf(old), bundle: [], now })).toMatchObject({ reason: 'unknown_ca' });
  });

  test.each([
    ['just before it begins', -120_001, 'not_yet_valid'],
    ['when it begins', -120_000, 'ok'],
    ['when it ends', DAY_MS, 'ok'],
    ['just after it ended', DAY_MS + 1, 'expired'],
  ])('a leaf %s', async (_, offsetMs, expected) => {
    const verdict = chainVerdict({ leaf: await leafOf(old), bundle: [certificate(old)], now: later(offsetMs) });
    expect(verdict.ok ? 'ok' : verdict.reason).toBe(expected);
  });

  test('a CA past its time is expired', () => {
    const leaf = certificate(old);
    expect(chainVerdict({ leaf, bundle: [leaf], now: later(31 * DAY_MS) })).toMatchObject({ reason: 'expired' });
  });

  test('a leaf cannot sign another', async () => {
    const middle = await testLeaf(old, { now });
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const signer = new X509Certificate(middle.certificate);
    const der = signCertificate(
      {
        serial: Buffer.of(5),
        issuerName: emptyName,
        subjectName: emptyName,
        notBefore: now,
        notAfter: later(DAY_MS),
        publicKey,
        subjectKeyId: keyIdOf(publicKey),
        authorityKeyId: keyIdOf(signer.publicKey),
        role: {
          kind: 'leaf',
          uris: ['spiffe://cluster.local/ns/shop/svc/api'],
          dnsNames: [],
          ipAddresses: [],
          usages: ['clientAuth'],
        },
      },
      parsePrivateKey(middle.key),
    );
    const request = { leaf: new X509Certificate(der), intermediates: [signer], bundle: [certificate(old)], now };
    expect(chainVerdict(request)).toMatchObject({ reason: 'unknown_ca' });
  });

  test('a CA that only claims the name and key id of a trusted one is unknown', async () => {
    const impostor = await testAuthority({ now });
    const claimed: Authority = { ...impostor, name: old.name, keyId: old.keyId };
    const verdict = chainVerdict({ leaf: await leafOf(claimed), bundle: [certificate(old)], now });
    expect(verdict).toMatchObject({ reason: 'unknown_ca' });
  });

  test('an intermediate that the peer sends leads to a trusted CA', async () => {
    const request = { leaf: await leafOf(fresh), intermediates: [crossSigned()], bundle: [certificate(old)] };
    expect(chainVerdict({ ...request, now })).toMatchObject({ ok: true, chain: { length: 3 } });
  });

  test('an expired intermediate is expired, and does no harm where another path is good', async () => {
    const leaf = await leafOf(fresh, 10 * DAY_MS);
    const intermediates = [crossSigned()];
    const at = later(3 * DAY_MS);
    expect(chainVerdict({ leaf, intermediates, bundle: [certificate(old)], now: at })).toMatchObject({
      reason: 'expired',
    });
    const bundle = [certificate(old), certificate(fresh)];
    expect(chainVerdict({ leaf, intermediates, bundle, now: at })).toMatchObject({ ok: true });
  });

  test('certificates that sign each other in a ring end the search', async () => {
    const ring = [crossSigned(), certificate(fresh), certificate(old)];
    expect(chainVerdict({ leaf: await leafOf(fresh), intermediates: ring, bundle: [], now })).toMatchObject({
      ok: false,
    });
  });

  test('a reloaded CA signs leaves of the same chain', async () => {
    const reloaded = loadAuthority(old.certificate, privateKeyPem(old.privateKey), 'cluster.local');
    expect(chainVerdict({ leaf: await leafOf(reloaded), bundle: [certificate(old)], now })).toMatchObject({ ok: true });
  });
});

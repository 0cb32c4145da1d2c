import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { der as derOf, extension, oid, primitive, sequence, Type, tagged } from '../../../../lib/pki/asn1.ts';
import { type Authority, loadAuthority } from '../../../../lib/pki/ca.ts';
import { parsePrivateKey, privateKeyPem } from '../../../../lib/pki/keys.ts';
import { emptyName, extensionIds } from '../../../../lib/pki/names.ts';
import { chainVerdict } from '../../../../lib/pki/verify.ts';
import { keyIdOf, signCertificate } from '../../../../lib/pki/x509.ts';
import { type Foreign, foreign } from '../../../support/foreign.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../../support/pki.ts';

const now = new Date('2026-11-22T12:00:00Z');
const later = (ms: number): Date => new Date(now.getTime() + ms);
const old = await testAuthority({ now, lifetimeMs: 30 * DAY_MS });
const fresh = await testAuthority({ now, lifetimeMs: 60 * DAY_MS });
const certificate = (authority: Authority): X509Certificate => new X509Certificate(authority.certificate);
const leafOf = async (authority: Authority, lifetimeMs = DAY_MS): Promise<X509Certificate> =>
  new X509Certificate((await testLeaf(authority, { now, lifetimeMs })).certificate);

const times = { notBefore: now, notAfter: later(20 * DAY_MS) };
const root = foreign({ name: 'Root of the company', ...times });

/** A CA certificate for `fresh`'s name and key, signed by `root`: what an issuing CA below another one sends along. */
function crossSigned(by: Foreign = root): X509Certificate {
  const subject = certificate(fresh);
  const der = signCertificate(
    {
      serial: Buffer.from('77', 'hex'),
      issuerName: derOf(by.name),
      subjectName: fresh.name,
      notBefore: now,
      notAfter: later(2 * DAY_MS),
      publicKey: subject.publicKey,
      subjectKeyId: Buffer.from(fresh.keyId, 'hex'),
      authorityKeyId: keyIdOf(by.certificate.publicKey),
      role: { kind: 'ca', permittedUriHost: 'cluster.local' },
    },
    by.key,
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
    ['a second before it ends', DAY_MS - 1_000, 'ok'],
    ['when it ends', DAY_MS, 'expired'],
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
    const request = { leaf: await leafOf(fresh), intermediates: [crossSigned()], bundle: [root.certificate] };
    expect(chainVerdict({ ...request, now })).toMatchObject({ ok: true, chain: { length: 3 } });
  });

  test('an expired intermediate is expired, and does no harm where another path is good', async () => {
    const leaf = await leafOf(fresh, 10 * DAY_MS);
    const intermediates = [crossSigned()];
    const at = later(3 * DAY_MS);
    expect(chainVerdict({ leaf, intermediates, bundle: [root.certificate], now: at })).toMatchObject({
      reason: 'expired',
    });
    const bundle = [root.certificate, certificate(fresh)];
    expect(chainVerdict({ leaf, intermediates, bundle, now: at })).toMatchObject({ ok: true });
  });

  test('certificates that sign each other in a ring end the search', async () => {
    const ring = [crossSigned(), certificate(fresh), root.certificate];
    expect(chainVerdict({ leaf: await leafOf(fresh), intermediates: ring, bundle: [], now })).toMatchObject({
      ok: false,
    });
  });

  test('a reloaded CA signs leaves of the same chain', async () => {
    const reloaded = loadAuthority(old.certificate, privateKeyPem(old.privateKey), 'cluster.local');
    expect(chainVerdict({ leaf: await leafOf(reloaded), bundle: [certificate(old)], now })).toMatchObject({ ok: true });
  });

  test('a CA of the bundle that is no root leads on to one, and alone trusts nobody', async () => {
    const leaf = await leafOf(fresh);
    expect(chainVerdict({ leaf, bundle: [crossSigned(), root.certificate], now })).toMatchObject({
      chain: { length: 3 },
    });
    const detail = expect.stringContaining('the bundle holds no root');
    expect(chainVerdict({ leaf, bundle: [crossSigned()], now })).toMatchObject({ reason: 'unknown_ca', detail });
  });

  const uri = (host: string) =>
    extension(extensionIds.nameConstraints, true, sequence(tagged(0, [sequence(tagged(6, host))])));
  const usage = (id: string) => extension(extensionIds.extendedKeyUsage, false, sequence(oid(id)));
  const clientAuth = '1.3.6.1.5.5.7.3.2';
  test.each<[string, Foreign, string]>([
    ['allows no CA below it', foreign({ name: 'short', pathLength: 0, ...times }), 'longer than it allows'],
    [
      'may only name another host',
      foreign({ name: 'other', extensions: [uri('other.example')], ...times }),
      'name constraints',
    ],
    [
      'has a critical extension that nobody knows',
      foreign({ name: 'odd', extensions: [extension('1.2.3.4', true, primitive(Type.NULL, ''))], ...times }),
      'critical extension',
    ],
    [
      'may only sign clients',
      foreign({ name: 'clients', extensions: [usage(clientAuth)], ...times }),
      'may not be used by a server',
    ],
    [
      'has an extension twice',
      foreign({ name: 'twice', extensions: [usage(clientAuth), usage(clientAuth)], ...times }),
      'no trusted CA signed',
    ],
  ])('a root that %s is no root for a server of ours, however its leaf was accepted before', async (_, other, why) => {
    const request = {
      leaf: await leafOf(fresh),
      intermediates: [crossSigned(other)],
      bundle: [other.certificate],
      now,
    };
    expect(chainVerdict({ ...request, purpose: 'server' })).toMatchObject({
      reason: 'unknown_ca',
      detail: expect.stringContaining(why),
    });
    const good = {
      ...request,
      intermediates: [...request.intermediates, crossSigned()],
      bundle: [other.certificate, root.certificate],
    };
    expect(chainVerdict({ ...good, purpose: 'server' })).toMatchObject({ ok: true });
  });

  test('a CA is no peer, whoever signed it', () => {
    const request = { leaf: crossSigned(), bundle: [root.certificate], now };
    expect(chainVerdict({ ...request, purpose: 'client' })).toMatchObject({ reason: 'unknown_ca' });
    expect(chainVerdict(request)).toMatchObject({ ok: true });
  });

  test('a hundred intermediates of one name cost a bounded number of signatures', async () => {
    const same = Array.from({ length: 100 }, () => crossSigned(foreign({ name: 'Root of the company', ...times })));
    expect(
      chainVerdict({ leaf: await leafOf(fresh), intermediates: same, bundle: [root.certificate], now }),
    ).toMatchObject({ ok: false });
  });
});

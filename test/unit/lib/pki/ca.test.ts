import { createPublicKey, X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { KeyAlgorithm } from '../../../../lib/api/tlspolicy.ts';
import { createAuthority, issueLeaf, loadAuthority } from '../../../../lib/pki/ca.ts';
import { parseAlternativeNames } from '../../../../lib/pki/identity.ts';
import { generateKey, keyAlgorithmOf, parsePrivateKey, privateKeyPem } from '../../../../lib/pki/keys.ts';
import { authorityKeyIdOf, keyIdOf } from '../../../../lib/pki/x509.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../../support/pki.ts';

const now = new Date('2026-11-22T12:00:00Z');
const identity = { trustDomain: 'cluster.local', namespace: 'shop', service: 'web' };
const fast: readonly KeyAlgorithm[] = ['ECDSA-P256', 'ECDSA-P384', 'Ed25519', 'RSA-2048'];

describe('keys', () => {
  test.each<KeyAlgorithm>(['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'RSA-3072', 'Ed25519'])(
    'a %s key is what it says and survives PEM',
    async (algorithm) => {
      const { privateKey, publicKey } = await generateKey(algorithm);
      const pem = privateKeyPem(privateKey);
      expect(pem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
      expect(keyAlgorithmOf(parsePrivateKey(pem))).toBe(algorithm);
      expect(keyAlgorithmOf(publicKey)).toBe(algorithm);
    },
  );

  test('a broken key is refused without repeating any of it', () => {
    const pem = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n';
    expect(() => parsePrivateKey(pem)).toThrow(expect.objectContaining({ code: 'pki_invalid' }));
    expect(() => parsePrivateKey(pem)).not.toThrow(/c2VjcmV0/);
  });
});

describe('a CA', () => {
  test('is a CA for its lifetime and no two have one subject', async () => {
    const [one, two] = [await testAuthority({ now, lifetimeMs: DAY_MS }), await testAuthority({ now })];
    const certificate = new X509Certificate(one.certificate);
    expect(certificate.ca).toBe(true);
    expect(one.notAfter).toEqual(new Date(now.getTime() + DAY_MS));
    expect(one.notBefore).toEqual(new Date(now.getTime() - 120_000));
    expect(certificate.subject).toBe(certificate.issuer);
    expect(certificate.subject).not.toBe(new X509Certificate(two.certificate).subject);
  });

  test.each(fast)('with a %s key signs leaves that it verifies', async (key) => {
    const authority = await testAuthority({ key });
    const leaf = new X509Certificate((await testLeaf(authority)).certificate);
    expect(leaf.verify(createPublicKey(authority.certificate))).toBe(true);
    expect(leaf.checkIssued(new X509Certificate(authority.certificate))).toBe(true);
  });

  test('comes back from its Secret as it was', async () => {
    const made = await testAuthority({ now });
    const loaded = loadAuthority(made.certificate, privateKeyPem(made.privateKey), 'cluster.local');
    const plain = (authority: typeof made): unknown => ({
      ...authority,
      privateKey: privateKeyPem(authority.privateKey),
    });
    expect(plain(loaded)).toEqual(plain(made));
  });

  test.each<[string, (ca: Awaited<ReturnType<typeof testAuthority>>) => Promise<[string, string, string]>]>([
    ['a certificate that does not parse', async (ca) => ['rubbish', privateKeyPem(ca.privateKey), 'cluster.local']],
    [
      'the key of another CA',
      async (ca) => [ca.certificate, privateKeyPem((await testAuthority()).privateKey), 'cluster.local'],
    ],
    ['a key that does not parse', async (ca) => [ca.certificate, 'rubbish', 'cluster.local']],
    ['another trust domain', async (ca) => [ca.certificate, privateKeyPem(ca.privateKey), 'other.example']],
    [
      'a leaf in place of a CA',
      async (ca) => {
        const leaf = await testLeaf(ca);
        return [leaf.certificate, leaf.key, 'cluster.local'];
      },
    ],
  ])('is not loaded from %s', async (_, parts) => {
    const [certificate, key, trustDomain] = await parts(await testAuthority());
    expect(() => loadAuthority(certificate, key, trustDomain)).toThrow(
      expect.objectContaining({ code: 'pki_invalid' }),
    );
  });

  test('is not made for a trust domain that no certificate could name', async () => {
    await expect(createAuthority({ trustDomain: 'Not A Domain', lifetimeMs: DAY_MS, now })).rejects.toMatchObject({
      code: 'input_invalid',
    });
  });
});

describe('a leaf', () => {
  test('never outlives its CA', async () => {
    const authority = await testAuthority({ now, lifetimeMs: DAY_MS });
    const { publicKey } = await generateKey('ECDSA-P256');
    const leaf = issueLeaf({ authority, publicKey, identity, dnsNames: [], now, lifetimeMs: 2 * DAY_MS });
    expect(leaf.notAfter).toEqual(authority.notAfter);
    expect(new X509Certificate(leaf.certificate).validToDate).toEqual(authority.notAfter);
  });

  test('is not valid before its CA', async () => {
    const authority = await testAuthority({ now });
    const leaf = await testLeaf(authority, { now: new Date(now.getTime() - 60_000) });
    expect(leaf.notBefore).toEqual(authority.notBefore);
  });

  test.each<[string, object]>([
    ['an identity of another trust domain', { identity: { ...identity, trustDomain: 'other.example' } }],
    ['a service that is no label', { identity: { ...identity, service: 'a/b' } }],
    ['a DNS name with a blank', { dnsNames: ['a b'] }],
    ['a bare wildcard', { dnsNames: ['*'] }],
    ['an address that is none', { ipAddresses: ['10.0.0.256'] }],
    ['an address with a zone', { ipAddresses: ['fe80::1%eth0'] }],
    ['a time after the CA ended', { now: new Date(now.getTime() + 2 * DAY_MS) }],
    ['a time before the CA began', { now: new Date(now.getTime() - DAY_MS) }],
  ])('is not signed for %s', async (_, change) => {
    const authority = await testAuthority({ now, lifetimeMs: DAY_MS });
    const { publicKey } = await generateKey('ECDSA-P256');
    const request = { authority, publicKey, identity, dnsNames: [], now, lifetimeMs: DAY_MS, ...change };
    expect(() => issueLeaf(request)).toThrow(expect.objectContaining({ code: 'pki_invalid' }));
  });

  test.each(['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'Ed25519'] as const)(
    'is not given out when the key that signed is not that of the CA certificate, but another one of kind %s',
    async (kind) => {
      const authority = await testAuthority({ now });
      const { publicKey } = await generateKey('ECDSA-P256');
      const { privateKey: another } = await generateKey(kind);
      const request = { publicKey, identity, dnsNames: [], now, lifetimeMs: DAY_MS };
      expect(() => issueLeaf({ ...request, authority: { ...authority, privateKey: another } })).toThrow(
        expect.objectContaining({ code: 'pki_invalid', message: expect.stringContaining('does not verify') }),
      );
    },
  );

  test('is PEM as OpenSSL writes it', async () => {
    const authority = await testAuthority({ now });
    const { publicKey } = await generateKey('ECDSA-P256');
    // Names of every length, so that the last line is short, full and all between.
    for (let length = 1; length <= 60; length += 1) {
      const dnsNames = ['a'.repeat(length)];
      const leaf = issueLeaf({ authority, publicKey, identity, dnsNames, now, lifetimeMs: DAY_MS });
      expect(leaf.certificate).toBe(new X509Certificate(leaf.certificate).toString());
    }
  });

  test('holds whatever names and times it was given, for any of them', async () => {
    const authority = await testAuthority({ now });
    const { publicKey } = await generateKey('ECDSA-P256');
    const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/);
    const request = fc.record({
      namespace: label,
      service: label,
      dnsNames: fc.uniqueArray(
        fc.array(label, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('.')),
        { maxLength: 40 },
      ),
      ipAddresses: fc.uniqueArray(
        fc.oneof(
          fc.ipV4(),
          fc.ipV6().map((text) => new URL(`http://[${text}]`).hostname.slice(1, -1)),
        ),
        { maxLength: 5 },
      ),
      lifetimeMs: fc.integer({ min: 1_000, max: 90 * DAY_MS }),
    });
    fc.assert(
      fc.property(request, ({ namespace, service, dnsNames, ipAddresses, lifetimeMs }) => {
        const named = { trustDomain: 'cluster.local', namespace, service };
        const issued = issueLeaf({ authority, publicKey, identity: named, dnsNames, ipAddresses, now, lifetimeMs });
        const read = new X509Certificate(issued.certificate);
        const names = parseAlternativeNames(read.subjectAltName ?? '') ?? [];
        const of = (kind: string): string[] => names.filter((name) => name.kind === kind).map(({ value }) => value);
        expect(of('URI')).toEqual([`spiffe://cluster.local/ns/${namespace}/svc/${service}`]);
        expect(of('DNS')).toEqual(dnsNames);
        expect(of('IP Address').map(canonical)).toEqual(ipAddresses.map(canonical));
        expect(read.serialNumber).toBe(issued.serial);
        expect(issued.serial).toMatch(/^[0-9A-F]{32}$/);
        expect([read.validFromDate, read.validToDate]).toEqual([issued.notBefore, issued.notAfter]);
        expect(read.ca).toBe(false);
        expect(read.verify(createPublicKey(authority.certificate))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test('states years past 2049 in the long form of time', async () => {
    const authority = await testAuthority({ now: new Date('2060-01-01T00:00:00Z') });
    expect(new X509Certificate(authority.certificate).validToDate).toEqual(authority.notAfter);
    expect(authority.notBefore).toEqual(new Date('2059-12-31T23:58:00Z'));
  });

  test('has the key id of its own key and the AKI of its CA', async () => {
    const authority = await testAuthority();
    const leaf = new X509Certificate((await testLeaf(authority)).certificate);
    const hex = leaf.raw.toString('hex').toUpperCase();
    expect(hex).toContain(`301F0603551D23041830168014${authority.keyId}`);
    expect(authorityKeyIdOf(leaf.raw)).toBe(authority.keyId);
    expect(hex).toContain(`301D0603551D0E04160414${keyIdOf(leaf.publicKey).toString('hex').toUpperCase()}`);
  });
});

function canonical(address: string): string {
  return address.includes(':') ? new URL(`http://[${address}]`).hostname : address;
}

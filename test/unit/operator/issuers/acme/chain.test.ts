// What a CA sent, against what was asked for.
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parsePrivateKey } from '../../../../../lib/pki/keys.ts';
import { alpnCertificate } from '../../../../../operator/issuers/acme/alpn.ts';
import { challengesIn, challengesSecretName, challengesValue } from '../../../../../operator/issuers/acme/board.ts';
import { judgeChain } from '../../../../../operator/issuers/acme/chain.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../../../support/pki.ts';

describe('a chain', () => {
  test('is taken when key, names and time are those that were asked for, without the root', async () => {
    const { certificate, key } = alpnCertificate('shop.example.com', 'token.thumb', new Date());
    const request = { key: parsePrivateKey(key), dnsNames: ['shop.example.com'], now: new Date() };
    const { chain, serial } = judgeChain(certificate, request);
    expect(new X509Certificate(chain).serialNumber).toBe(serial);
    const refused: readonly [string, Partial<typeof request>, RegExp][] = [
      [certificate, { dnsNames: ['other.example.com'] }, /asked for was other/],
      [certificate, { dnsNames: ['shop.example.com', 'www.example.com'] }, /asked for was/],
      [certificate, { key: parsePrivateKey(alpnCertificate('a.b', 'x', new Date()).key) }, /key is not ours/],
      [certificate, { now: new Date(Date.now() + 2 * DAY_MS) }, /expired/],
      [certificate, { now: new Date(Date.now() - DAY_MS) }, /valid only from/],
      ['no PEM', {}, /no PEM/],
      ['', {}, /no PEM/],
    ];
    for (const [pem, changes, why] of refused) expect(() => judgeChain(pem, { ...request, ...changes })).toThrow(why);
  });

  test('is refused with an identity in it, or with a certificate that did not sign the one before', async () => {
    const authority = await testAuthority();
    const leaf = await testLeaf(authority, { dnsNames: ['shop.example.com'] });
    const request = { key: parsePrivateKey(leaf.key), dnsNames: ['shop.example.com'], now: new Date() };
    expect(() => judgeChain(leaf.certificate, request)).toThrow(/URI spiffe/);
    const { certificate, key } = alpnCertificate('a.example.com', 'x', new Date());
    const own = { key: parsePrivateKey(key), dnsNames: ['a.example.com'], now: new Date() };
    expect(() => judgeChain(certificate + authority.certificate, own)).toThrow(/not signed by the one after it/);
  });
});

describe('the certificate of a tls-alpn-01 challenge', () => {
  test('is for the name alone, and carries the digest in a critical extension (RFC 8737 section 3)', () => {
    const parsed = new X509Certificate(alpnCertificate('shop.example.com', 'token.thumb', new Date()).certificate);
    expect(parsed.subjectAltName).toBe('DNS:shop.example.com');
    // id-pe-acmeIdentifier, critical, an OCTET STRING of an OCTET STRING of 32 bytes: SHA-256 of "token.thumb".
    const extension = Buffer.from('06082b0601050507011f0101ff04220420', 'hex');
    const at = parsed.raw.indexOf(extension);
    expect(at).toBeGreaterThan(0);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.validToDate.getTime() - Date.now()).toBeLessThanOrEqual(DAY_MS);
  });
});

describe('the Secret with challenges', () => {
  const challenge = { type: 'http-01', token: 't', keyAuthorization: 't.x' } as const;
  const until = new Date('2026-11-22T10:30:00Z');

  test('holds them until they run out', () => {
    const data = challengesValue([challenge], until);
    expect(challengesIn({ data }, new Date('2026-11-22T10:00:00Z'))).toEqual([challenge]);
    expect(challengesIn({ data }, until)).toEqual([]);
  });

  test.each([['{'], ['[]'], ['null'], ['{"until":"2030-01-01T00:00:00Z","challenges":[{"type":"http-01"},null,3]}']])(
    'that says %s holds none',
    (text) => {
      const data = { 'challenges.json': Buffer.from(text).toString('base64') };
      expect(challengesIn({ data }, until)).toEqual([]);
    },
  );

  test('of two services never have one name', () => {
    const names = [
      { namespace: 'a', service: 'b-c' },
      { namespace: 'a-b', service: 'c' },
    ].map((service) => challengesSecretName(service));
    expect(new Set(names).size).toBe(2);
  });
});

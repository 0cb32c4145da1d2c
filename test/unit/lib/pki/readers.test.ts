// The readers of certificates, keys and lists take whatever bytes there are: they give a result or an AppError, never another error, in bounded time. What is
// read are good things with a few bytes wrong, cut or doubled, and texts that are none.
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AppError } from '../../../../lib/errors.ts';
import { read } from '../../../../lib/pki/asn1.ts';
import { parseCertificates } from '../../../../lib/pki/bundle.ts';
import { loadAuthority } from '../../../../lib/pki/ca.ts';
import { signCrl } from '../../../../lib/pki/crl.ts';
import { readCrl } from '../../../../lib/pki/crlread.ts';
import { createRequest } from '../../../../lib/pki/csr.ts';
import { derElements } from '../../../../lib/pki/der.ts';
import { pathFacts } from '../../../../lib/pki/facts.ts';
import { identityOf, parseAlternativeNames, parseIdentity } from '../../../../lib/pki/identity.ts';
import { parsePrivateKey, privateKeyPem } from '../../../../lib/pki/keys.ts';
import { parseChain } from '../../../../lib/pki/pair.ts';
import { keyOfRequest } from '../../../../lib/pki/pkcs10.ts';
import { chainVerdict } from '../../../../lib/pki/verify.ts';
import { authorityKeyIdOf, issuerFacts } from '../../../../lib/pki/x509.ts';
import { judgeCredentials } from '../../../../lib/runtime/credentials.ts';
import { readMaterial } from '../../../../webhook/material.ts';
import { hostileName } from '../../../support/hostile.ts';
import { limboCases } from '../../../support/limbo.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const authority = await testAuthority();
const leaf = await testLeaf(authority);
const caKey = privateKeyPem(authority.privateKey);
const bundle = [new X509Certificate(authority.certificate)];
const certificates = [
  new X509Certificate(authority.certificate).raw,
  new X509Certificate(leaf.certificate).raw,
  // Certificates of others, with every extension that there is.
  ...limboCases()
    .slice(0, 150)
    .map(({ trusted }) => new X509Certificate(trusted[0] ?? leaf.certificate).raw),
];
const names = { uris: ['spiffe://cluster.local/ns/shop/svc/web'], dnsNames: ['web'], ipAddresses: [] };
const list = signCrl(
  {
    issuerName: authority.name,
    authorityKeyId: Buffer.from(authority.keyId, 'hex'),
    number: 7,
    thisUpdate: authority.notBefore,
    nextUpdate: authority.notAfter,
    entries: [{ serial: 'AB', revokedAt: authority.notBefore, reason: 'keyCompromise' }],
  },
  authority.privateKey,
);
const request = createRequest(names, parsePrivateKey(leaf.key));

/** Nothing, a few changes of single bytes, a cut, or a part doubled. */
const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom('set', 'cut', 'double', 'drop')), {
  maxLength: 4,
});

function changed(bytes: Buffer, those: readonly (readonly [number, number, string])[]): Buffer {
  let result = Buffer.from(bytes);
  for (const [place, value, how] of those) {
    const at = result.length === 0 ? 0 : place % result.length;
    if (how === 'set') result[at] = value;
    else if (how === 'cut') result = result.subarray(0, at);
    else if (how === 'drop') result = Buffer.concat([result.subarray(0, at), result.subarray(at + 1 + (value % 8))]);
    else result = Buffer.concat([result.subarray(0, at), result.subarray(at, at + value), result.subarray(at)]);
  }
  return result;
}

const mangled = (good: readonly Buffer[]) =>
  fc.tuple(fc.constantFrom(...good), changes).map(([bytes, those]) => changed(bytes, those));
const mangledText = (good: readonly string[]) =>
  fc.oneof(
    mangled(good.map((text) => Buffer.from(text))).map((bytes) => bytes.toString('utf8')),
    fc
      .array(fc.oneof(hostileName, fc.constantFrom(...good, '-----BEGIN CERTIFICATE-----\n', '-----END ')), {
        maxLength: 5,
      })
      .map((parts) => parts.join('')),
  );

/** Runs a reader; anything that it throws must be an AppError. */
function quiet(reader: () => unknown): void {
  try {
    reader();
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
  }
}

describe('a reader never fails in another way than it says', () => {
  test.each<[string, readonly Buffer[], (bytes: Buffer) => unknown]>([
    ['elements of DER', certificates, derElements],
    ['DER as a tree', certificates, read],
    ['what a leaf copies from its CA', certificates, issuerFacts],
    ['the key id of the CA', certificates, authorityKeyIdOf],
    ['the key of a request', [request], keyOfRequest],
    ['a revocation list', [list], readCrl],
  ])(
    '%s',
    (_, good, reader) => {
      fc.assert(
        fc.property(mangled(good), (bytes) => quiet(() => reader(bytes))),
        runs(400),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'the facts of a certificate, its identity and its path',
    () => {
      let parsed = 0;
      fc.assert(
        fc.property(mangled(certificates), (bytes) => {
          let certificate: X509Certificate;
          try {
            certificate = new X509Certificate(bytes);
          } catch {
            return;
          }
          parsed += 1;
          quiet(() => pathFacts(certificate));
          identityOf(certificate);
          const now = new Date();
          const verdict = chainVerdict({
            leaf: certificate,
            intermediates: [certificate],
            bundle,
            now,
            purpose: 'client',
          });
          // Only what our CA signed, and nobody changed, may be good.
          expect(verdict.ok && !certificate.raw.equals(new X509Certificate(leaf.certificate).raw)).toBe(false);
        }),
        runs(1_000),
      );
      expect(parsed).toBeGreaterThan(50);
    },
    runsTimeout(60_000),
  );

  test.each<[string, readonly string[], (text: string) => unknown]>([
    ['certificates in PEM', [leaf.certificate, authority.certificate], parseCertificates],
    ['a chain in PEM', [leaf.certificate, leaf.certificate + authority.certificate], parseChain],
    ['a private key in PEM', [leaf.key, caKey], parsePrivateKey],
    ['a CA', [authority.certificate], (text) => loadAuthority(text, caKey, 'cluster.local')],
    ["a CA's key", [caKey], (text) => loadAuthority(authority.certificate, text, 'cluster.local')],
    ['the names in a text of Node', ['URI:a, DNS:"b, c", IP Address:::1'], parseAlternativeNames],
    ['an identity', ['spiffe://cluster.local/ns/shop/svc/web'], parseIdentity],
  ])(
    '%s',
    (_, good, reader) => {
      fc.assert(
        fc.property(mangledText(good), (text) => quiet(() => reader(text))),
        runs(400),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'a certificate with key and bundle is judged, whatever the three texts are',
    () => {
      const { certificate, key, bundle: trustBundle } = leaf;
      const texts = fc.tuple(mangledText([certificate]), mangledText([key]), mangledText([trustBundle]));
      fc.assert(
        fc.property(texts, fc.nat(7), ([first, second, third], which) => {
          const pick = (bit: number, other: string, own: string): string => ((which & bit) === 0 ? own : other);
          const given = {
            certificate: pick(1, first, certificate),
            key: pick(2, second, key),
            trustBundle: pick(4, third, trustBundle),
          };
          const verdict = judgeCredentials(given, new Date());
          if (verdict.good) expect(verdict.credentials.serial).toBe(leaf.serial);
        }),
        runs(400),
      );
    },
    runsTimeout(60_000),
  );

  test(
    "the webhook's own Secret",
    () => {
      const { certificate, key, bundle: trusted } = leaf;
      const values = fc.tuple(mangledText([certificate, trusted]), mangledText([key, caKey]), fc.nat(31));
      fc.assert(
        fc.property(values, ([one, other, which]) => {
          const names = ['ca.crt', 'ca.key', 'next.key', 'tls.crt', 'tls.key'];
          const good = [trusted, caKey, '', certificate, key];
          const texts = names.map((name, at) => [
            name,
            (which & (1 << at)) === 0 ? good[at] : name.endsWith('.crt') ? one : other,
          ]);
          const data = Object.fromEntries(
            texts.map(([name, text = '']) => [name, Buffer.from(text).toString('base64')]),
          );
          quiet(() => readMaterial(data, { trustDomain: 'cluster.local' }));
        }),
        runs(200),
      );
    },
    runsTimeout(60_000),
  );

  test('deep nesting and long repeats end soon: the work is bounded by the text', () => {
    const deep = Buffer.concat(Array.from({ length: 50_000 }, () => Buffer.of(0x30, 0x80)));
    const nested = Array.from({ length: 2_000 }).reduce<Buffer>((inner) => {
      const size =
        inner.length < 0x80 ? Buffer.of(inner.length) : Buffer.of(0x82, inner.length >> 8, inner.length & 0xff);
      return Buffer.concat([Buffer.of(0x30), size, inner]);
    }, Buffer.alloc(0));
    for (const bytes of [deep, nested])
      for (const reader of [read, derElements, issuerFacts]) quiet(() => reader(bytes));
    const begin = '-----BEGIN CERTIFICATE-----';
    for (const text of [
      begin.repeat(10_000),
      `${begin}\n`.repeat(10_000),
      `${begin}${'A'.repeat(300_000)}`,
      '-'.repeat(300_000),
    ]) {
      for (const reader of [parseCertificates, parseChain, parsePrivateKey]) quiet(() => reader(text));
    }
    expect(parseAlternativeNames('DNS:"'.repeat(50_000))).toBeUndefined();
    expect(parseIdentity(`spiffe://${'a.'.repeat(100_000)}/ns/a/svc/b`)).toBeUndefined();
  });
});

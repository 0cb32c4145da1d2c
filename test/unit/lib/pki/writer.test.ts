// The DER writer: whatever is written is read back by OpenSSL (node:crypto) and by an independent ASN.1 library as exactly what was meant, field by field,
// and has the one form that DER allows. The other tools look at a fixed matrix (test/integration/pki/matrix.test.ts); here the values are generated.

import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import * as asn from '@peculiar/asn1-x509';
import fc from 'fast-check';
import { addressBytes } from '../../../../lib/pki/address.ts';
import { type DerElement, derElements } from '../../../../lib/pki/der.ts';
import { parseAlternativeNames } from '../../../../lib/pki/identity.ts';
import { distinguishedName, emptyName } from '../../../../lib/pki/names.ts';
import { type CertificateRequest, keyIdOf, signCertificate } from '../../../../lib/pki/x509.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const pairs = [
  generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  generateKeyPairSync('ed25519'),
  generateKeyPairSync('rsa', { modulusLength: 2048 }),
];
const pair = fc.constantFrom(...pairs);

/** From 1950 to 9999 (RFC 5280 section 4.1.2.5), often near the year in which the form changes. */
const seconds = (from: string, to: string) =>
  fc.integer({ min: Date.parse(from) / 1_000, max: Date.parse(to) / 1_000 }).map((each) => new Date(each * 1_000));
const moment = fc.oneof(
  seconds('1950-01-01T00:00:00Z', '9999-12-31T23:59:59Z'),
  seconds('2049-12-31T23:59:50Z', '2050-01-01T00:00:10Z'),
);

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const dnsName = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
const uri = fc.tuple(dnsName, label, label).map(([domain, ns, svc]) => `spiffe://${domain}/ns/${ns}/svc/${svc}`);
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6().filter((text) => isPlain(text)),
);
const serial = fc.uint8Array({ minLength: 1, maxLength: 19 }).filter((bytes) => bytes.some((byte) => byte !== 0));
const commonName = fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' });

function isPlain(text: string): boolean {
  try {
    return isIP(text) === 6 && addressBytes(text).length === 16;
  } catch {
    return false;
  }
}

const leafRole = fc.record({
  kind: fc.constant('leaf' as const),
  uris: fc.array(uri, { minLength: 1, maxLength: 2 }),
  dnsNames: fc.array(dnsName, { maxLength: 20 }),
  ipAddresses: fc.array(address, { maxLength: 4 }),
  usages: fc.subarray(['serverAuth', 'clientAuth'] as const, { minLength: 1 }),
});
const caRole = fc.record({ kind: fc.constant('ca' as const), permittedUriHost: dnsName });

interface Case {
  readonly request: CertificateRequest;
  readonly signer: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

const anyCase: fc.Arbitrary<Case> = fc
  .record({
    role: fc.oneof(leafRole, caRole),
    subject: pair,
    signer: pair,
    serial,
    times: fc.tuple(moment, moment),
    commonName,
  })
  .map((given) => {
    const [notBefore, notAfter] = given.times;
    const own = given.role.kind === 'leaf' ? emptyName : distinguishedName('Tabard', given.commonName);
    const request = {
      serial: Buffer.from(given.serial),
      issuerName: distinguishedName('Tabard', given.commonName),
      subjectName: own,
      notBefore,
      notAfter,
      publicKey: given.subject.publicKey,
      authorityKeyId: keyIdOf(given.signer.publicKey),
      role: given.role,
    };
    return { request, signer: given.signer };
  });

const hex = (bytes: Uint8Array | ArrayBuffer): string => Buffer.from(bytes as ArrayBuffer).toString('hex');
const number = (bytes: Uint8Array): bigint => BigInt(`0x${hex(bytes)}`);
/** One spelling for all that mean the same address. */
const sameAddress = (text: string): string =>
  isIP(text) === 6 ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text;

describe('what the writer wrote', () => {
  test(
    'OpenSSL reads as it was meant',
    () => {
      fc.assert(
        fc.property(anyCase, ({ request, signer }) => {
          const read = new X509Certificate(signCertificate(request, signer.privateKey));
          expect(BigInt(`0x${read.serialNumber}`)).toBe(number(request.serial));
          expect(read.validFromDate).toEqual(request.notBefore);
          expect(read.validToDate).toEqual(request.notAfter);
          expect(read.ca).toBe(request.role.kind === 'ca');
          expect(read.verify(createPublicKey(signer.publicKey.export({ type: 'spki', format: 'pem' })))).toBe(true);
          expect(read.publicKey.equals(request.publicKey)).toBe(true);
          if (request.role.kind === 'ca') return;
          const { uris, dnsNames, ipAddresses, usages } = request.role;
          const names = parseAlternativeNames(read.subjectAltName ?? '') ?? [];
          const of = (kind: string): string[] => names.filter((each) => each.kind === kind).map(({ value }) => value);
          expect([of('URI'), of('DNS')]).toEqual([uris, dnsNames]);
          expect(of('IP Address').map(sameAddress)).toEqual(ipAddresses.map(sameAddress));
          expect(names).toHaveLength(uris.length + dnsNames.length + ipAddresses.length);
          expect(read.keyUsage).toEqual(usages.map((usage) => `1.3.6.1.5.5.7.3.${usage === 'serverAuth' ? 1 : 2}`));
        }),
        runs(300),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'an independent library reads as it was meant, and writes again byte for byte',
    () => {
      fc.assert(
        fc.property(anyCase, ({ request, signer }) => {
          const der = signCertificate(request, signer.privateKey);
          const read = AsnConvert.parse(der, asn.Certificate);
          const body = read.tbsCertificate;
          expect(body.version).toBe(asn.Version.v3);
          expect(number(new Uint8Array(body.serialNumber))).toBe(number(request.serial));
          expect([body.validity.notBefore.getTime(), body.validity.notAfter.getTime()]).toEqual([
            request.notBefore,
            request.notAfter,
          ]);
          expect(hex(AsnConvert.serialize(body.issuer))).toBe(hex(request.issuerName));
          expect(hex(AsnConvert.serialize(body.subject))).toBe(hex(request.subjectName));
          expect(hex(AsnConvert.serialize(body.subjectPublicKeyInfo))).toBe(
            hex(request.publicKey.export({ type: 'spki', format: 'der' })),
          );
          expect(body.signature.algorithm).toBe(read.signatureAlgorithm.algorithm);
          expect([...(body.extensions ?? [])].map(described)).toEqual(expectedExtensions(request));
          expect(hex(AsnConvert.serialize(read))).toBe(hex(der));
        }),
        runs(300),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'is DER to the last level: our own strict reader takes every element',
    () => {
      fc.assert(
        fc.property(anyCase, ({ request, signer }) => {
          const [only] = derElements(signCertificate(request, signer.privateKey));
          expect(depthOf(only)).toBeGreaterThan(4);
        }),
        runs(100),
      );
    },
    runsTimeout(30_000),
  );

  test.each([
    ['before 1950', '1949-12-31T23:59:59Z'],
    ['after 9999', '+010000-01-01T00:00:00Z'],
  ])('is nothing at all for a time %s, which no certificate can state', (_, text) => {
    const [signer] = pairs;
    if (signer === undefined) throw new Error('there is no key');
    const keyId = keyIdOf(signer.publicKey);
    const at = new Date(text);
    const request: CertificateRequest = {
      serial: Buffer.of(1),
      issuerName: emptyName,
      subjectName: emptyName,
      notBefore: at,
      notAfter: at,
      publicKey: signer.publicKey,
      subjectKeyId: keyId,
      authorityKeyId: keyId,
      role: { kind: 'ca', permittedUriHost: 'a' },
    };
    expect(() => signCertificate(request, signer.privateKey)).toThrow(expect.objectContaining({ code: 'pki_invalid' }));
  });
});

/** Constructed elements, extension values and bit strings aside, down to the deepest. Throws where one is not DER. */
function depthOf(element: DerElement | undefined): number {
  if (element === undefined || (element.tag & 0x20) === 0) return 0;
  return 1 + Math.max(0, ...derElements(element.content).map(depthOf));
}

/** An extension as the library reads it: id, criticality, and what it says. */
function described(extension: asn.Extension): readonly unknown[] {
  const { extnID, critical, extnValue } = extension;
  return [extnID, critical, hex(extnValue.buffer)];
}

/** The extensions that a request must lead to, in order, written by the library. */
function expectedExtensions({ role, publicKey, subjectKeyId, authorityKeyId }: CertificateRequest): readonly unknown[] {
  const written = (value: unknown): string => hex(AsnConvert.serialize(value));
  const keyId = new OctetString(subjectKeyId ?? keyIdOf(publicKey));
  const keyIds = [
    [asn.id_ce_subjectKeyIdentifier, false, written(new asn.SubjectKeyIdentifier(keyId))],
    [
      asn.id_ce_authorityKeyIdentifier,
      false,
      written(
        new asn.AuthorityKeyIdentifier({ keyIdentifier: new asn.KeyIdentifier(new OctetString(authorityKeyId)) }),
      ),
    ],
  ];
  const { KeyUsageFlags: flags } = asn;
  if (role.kind === 'ca') {
    const base = new asn.GeneralName({ uniformResourceIdentifier: role.permittedUriHost });
    const permittedSubtrees = new asn.GeneralSubtrees([new asn.GeneralSubtree({ base })]);
    return [
      [asn.id_ce_basicConstraints, true, written(new asn.BasicConstraints({ cA: true, pathLenConstraint: 0 }))],
      [asn.id_ce_keyUsage, true, written(new asn.KeyUsage(flags.keyCertSign | flags.cRLSign))],
      [asn.id_ce_nameConstraints, true, written(new asn.NameConstraints({ permittedSubtrees }))],
      ...keyIds,
    ];
  }
  const names = [
    ...role.uris.map((text) => new asn.GeneralName({ uniformResourceIdentifier: text })),
    ...role.dnsNames.map((text) => new asn.GeneralName({ dNSName: text })),
    ...role.ipAddresses.map((text) => new asn.GeneralName({ iPAddress: sameAddress(text) })),
  ];
  const usage = flags.digitalSignature | (publicKey.asymmetricKeyType === 'rsa' ? flags.keyEncipherment : 0);
  const purposes = role.usages.map((each) => (each === 'serverAuth' ? asn.id_kp_serverAuth : asn.id_kp_clientAuth));
  return [
    [asn.id_ce_subjectAltName, true, written(new asn.SubjectAlternativeName(names))],
    [asn.id_ce_keyUsage, true, written(new asn.KeyUsage(usage))],
    [asn.id_ce_extKeyUsage, false, written(new asn.ExtendedKeyUsage(purposes))],
    [asn.id_ce_basicConstraints, true, written(new asn.BasicConstraints({ cA: false }))],
    ...keyIds,
  ];
}

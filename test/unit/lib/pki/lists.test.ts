// The writers of revocation lists and of requests on generated values: an independent library and our own strict readers read back what was meant.
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { AsnConvert } from '@peculiar/asn1-schema';
import * as asn from '@peculiar/asn1-x509';
import fc from 'fast-check';
import type { RevocationReason } from '../../../../lib/api/tlsrevocation.ts';
import { type CrlRequest, reasonCodes, signCrl } from '../../../../lib/pki/crl.ts';
import { readCrl } from '../../../../lib/pki/crlread.ts';
import { createRequest } from '../../../../lib/pki/csr.ts';
import { distinguishedName } from '../../../../lib/pki/names.ts';
import { keyOfRequest } from '../../../../lib/pki/pkcs10.ts';
import { keyIdOf } from '../../../../lib/pki/x509.ts';
import { hostileNames } from '../../../support/hostile.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const pairs = [
  generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  generateKeyPairSync('ed25519'),
  generateKeyPairSync('rsa', { modulusLength: 2048 }),
];
const pair = fc.constantFrom(...pairs);
const reasons = Object.keys(reasonCodes).filter((each): each is RevocationReason => each in reasonCodes);
const moment = fc
  .integer({ min: Date.parse('1950-01-01T00:00:00Z') / 1_000, max: Date.parse('9999-12-31T23:59:59Z') / 1_000 })
  .map((seconds) => new Date(seconds * 1_000));
const serial = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .filter((bytes) => bytes[0] !== 0)
  .map((bytes) => Buffer.from(bytes).toString('hex').toUpperCase());
const entry = fc.record({ serial, revokedAt: moment, reason: fc.constantFrom(...reasons) });

const anyList = fc.record({
  number: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  thisUpdate: moment,
  nextUpdate: moment,
  entries: fc.uniqueArray(entry, { maxLength: 20, selector: ({ serial: one }) => BigInt(`0x${one}`) }),
  signer: pair,
  name: fc.string({ minLength: 1, maxLength: 60 }),
});

const hex = (bytes: ArrayBuffer | Uint8Array): string => Buffer.from(bytes as ArrayBuffer).toString('hex');
const bySerial = (a: { serial: string }, b: { serial: string }): number =>
  BigInt(`0x${a.serial}`) < BigInt(`0x${b.serial}`) ? -1 : 1;
const number = (text: string): bigint => BigInt(`0x${text}`);

describe('a revocation list', () => {
  test(
    'is read as it was meant by an independent library and by our own reader, and written again byte for byte',
    () => {
      fc.assert(
        fc.property(anyList, ({ signer, name, ...given }) => {
          const authorityKeyId = keyIdOf(signer.publicKey);
          const request: CrlRequest = { ...given, issuerName: distinguishedName('Tabard', name), authorityKeyId };
          const der = signCrl(request, signer.privateKey);
          const wanted = [...given.entries].sort(bySerial);

          const ours = readCrl(der);
          expect(ours.entries.map((each) => [number(each.serial), each.revokedAt, each.reason])).toEqual(
            wanted.map((each) => [number(each.serial), each.revokedAt, each.reason]),
          );
          expect([ours.number, ours.thisUpdate, ours.nextUpdate]).toEqual([
            BigInt(given.number),
            given.thisUpdate,
            given.nextUpdate,
          ]);
          expect(ours.authorityKeyId).toBe(hex(authorityKeyId).toUpperCase());

          const theirs = AsnConvert.parse(der, asn.CertificateList);
          const body = theirs.tbsCertList;
          expect([body.thisUpdate.getTime(), body.nextUpdate?.getTime()]).toEqual([given.thisUpdate, given.nextUpdate]);
          const listed = [...(body.revokedCertificates ?? [])].map(({ userCertificate }) =>
            number(hex(userCertificate)),
          );
          expect(listed).toEqual(wanted.map((each) => number(each.serial)));
          expect(hex(AsnConvert.serialize(body.issuer))).toBe(hex(request.issuerName));
          expect(hex(AsnConvert.serialize(theirs))).toBe(hex(der));
        }),
        runs(150),
      );
    },
    runsTimeout(60_000),
  );
});

describe('a request', () => {
  test(
    'proves its key, whatever names it asks for',
    () => {
      fc.assert(
        fc.property(hostileNames, pair, (names, { publicKey, privateKey }) => {
          const request = createRequest({ ...names, ipAddresses: [] }, privateKey);
          expect(keyOfRequest(request).equals(publicKey)).toBe(true);
          const end = request.length - 1;
          const forged = Buffer.from(request);
          forged[end] = (forged[end] ?? 0) ^ 1;
          expect(() => keyOfRequest(forged)).toThrow(expect.objectContaining({ code: 'pki_invalid' }));
        }),
        runs(150),
      );
    },
    runsTimeout(60_000),
  );
});

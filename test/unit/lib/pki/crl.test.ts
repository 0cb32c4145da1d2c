// Revocation lists: what is written is what is read, in the form of RFC 5280, and what is not a list of this CA is refused.
import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { revocationReasons } from '../../../../lib/api/tlsrevocation.ts';
import type { Authority } from '../../../../lib/pki/ca.ts';
import { type CrlRequest, crlPem, signCrl } from '../../../../lib/pki/crl.ts';
import { crlFault, maximumCrlBytes, readCrl } from '../../../../lib/pki/crlread.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';

const thisUpdate = new Date('2026-06-01T12:00:00Z');
const nextUpdate = new Date('2026-06-02T12:00:00Z');
let authority: Authority;
let other: Authority;

beforeAll(async () => {
  [authority, other] = await Promise.all([testAuthority(), testAuthority()]);
});

function list(change: Partial<CrlRequest> = {}, by: Authority = authority): Buffer {
  const request: CrlRequest = {
    issuerName: by.name,
    authorityKeyId: Buffer.from(by.keyId, 'hex'),
    number: 7,
    thisUpdate,
    nextUpdate,
    entries: [],
    ...change,
  };
  return signCrl(request, by.privateKey);
}

const entry = (serial: string, reason: (typeof revocationReasons)[number] = 'unspecified') => ({
  serial,
  revokedAt: thisUpdate,
  reason,
});

describe('a list that Tabard signs', () => {
  test('states issuer, key id, number, both times and its entries in the order of their serials', () => {
    const entries = [entry('FF01'), entry('0A', 'keyCompromise'), entry('80AA', 'aACompromise')];
    const read = readCrl(list({ entries }));
    expect(read).toMatchObject({ authorityKeyId: authority.keyId, number: 7n, thisUpdate, nextUpdate });
    expect(read.issuerName.equals(authority.name)).toBe(true);
    expect(read.entries).toEqual([
      { serial: 'A', revokedAt: thisUpdate, reason: 'keyCompromise' },
      { serial: '80AA', revokedAt: thisUpdate, reason: 'aACompromise' },
      { serial: 'FF01', revokedAt: thisUpdate, reason: 'unspecified' },
    ]);
    expect(crlFault(read, new X509Certificate(authority.certificate))).toBeUndefined();
  });

  test('without entries has no list of them, and with an unspecified reason no reason', () => {
    const empty = list();
    expect(readCrl(empty).entries).toEqual([]);
    const [plain, stated] = [entry('01'), entry('01', 'superseded')].map((each) => list({ entries: [each] }));
    // 30 0C 30 0A 06 03 55 1D 15 04 03 0A 01 04: the extensions of one entry.
    expect((stated?.length ?? 0) - (plain?.length ?? 0)).toBeGreaterThanOrEqual(14 - 2);
    expect(stated?.includes(Buffer.from('0603551d1504030a0104', 'hex'))).toBe(true);
    expect(plain?.includes(Buffer.from('0603551d15', 'hex'))).toBe(false);
  });

  test.each(['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'Ed25519'] as const)(
    'verifies when its CA key is %s',
    async (key) => {
      const by = await testAuthority({ key });
      const read = readCrl(list({ entries: [entry('01')] }, by));
      expect(crlFault(read, new X509Certificate(by.certificate))).toBeUndefined();
      expect(crlFault(read, new X509Certificate(other.certificate))).toBe('foreign');
    },
  );

  test('writes years from 2050 on in the longer form, and reads both', () => {
    const late = new Date('2050-01-01T00:00:00Z');
    expect(readCrl(list({ nextUpdate: late })).nextUpdate).toEqual(late);
    expect(readCrl(list({ nextUpdate: new Date(late.getTime() - 1_000) })).nextUpdate?.getUTCFullYear()).toBe(2049);
  });

  test('is read back whatever is in it, as DER and as PEM', () => {
    const serial = fc
      .uint8Array({ minLength: 1, maxLength: 20 })
      .map((bytes) => Buffer.from(bytes).toString('hex').toUpperCase())
      .filter((hex) => !/^0*$/.test(hex));
    const entries = fc.uniqueArray(fc.record({ serial, reason: fc.constantFrom(...revocationReasons) }), {
      maxLength: 20,
      selector: (each) => each.serial.replace(/^0+/, ''),
    });
    fc.assert(
      fc.property(entries, fc.integer({ min: 1, max: 2 ** 40 }), (revoked, number) => {
        const bytes = list({ number, entries: revoked.map((each) => ({ ...each, revokedAt: thisUpdate })) });
        const read = readCrl(bytes);
        const pairs = (all: readonly { readonly serial: string; readonly reason: string }[]) =>
          all.map(({ serial: each, reason }) => `${BigInt(`0x${each}`)} ${reason}`).sort();
        expect(pairs(read.entries)).toEqual(pairs(revoked));
        expect(read.number).toBe(BigInt(number));
        expect(readCrl(Buffer.from(crlPem(bytes))).fingerprint).toBe(read.fingerprint);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a list that is not good', () => {
  test.each<[string, () => Buffer, RegExp]>([
    ['nothing', () => Buffer.alloc(0), /empty/],
    ['a text', () => Buffer.from('hello'), /neither DER nor PEM/],
    ['half of one', () => list({ entries: [entry('01')] }).subarray(0, 100), /ends early/],
    ['one with something behind it', () => Buffer.concat([list(), Buffer.from([5, 0])]), /expected/],
    ['a certificate', () => new X509Certificate(authority.certificate).raw, /no revocation list|signature algorithms/],
    ['one over 1 MiB', () => Buffer.alloc(maximumCrlBytes + 1, 0x30), /at most 1048576/],
  ])('%s says so', (_, bytes, message) => {
    expect(() => readCrl(bytes())).toThrow(
      expect.objectContaining({ code: 'pki_invalid', message: expect.stringMatching(message) }),
    );
  });

  test('of a CA with the same name but another key is told by its signature', () => {
    const forged = signCrl(
      {
        issuerName: authority.name,
        authorityKeyId: Buffer.from(authority.keyId, 'hex'),
        number: 8,
        thisUpdate,
        nextUpdate,
        entries: [],
      },
      other.privateKey,
    );
    expect(crlFault(readCrl(forged), new X509Certificate(authority.certificate))).toBe('signature');
  });

  test('is never one that a leaf signed', async () => {
    const leaf = await testLeaf(authority);
    expect(crlFault(readCrl(list()), new X509Certificate(leaf.certificate))).toBe('foreign');
  });

  test('with one bit changed is refused or does not verify', () => {
    const good = list({ entries: [entry('0102030405', 'keyCompromise')] });
    const issuer = new X509Certificate(authority.certificate);
    for (let at = 0; at < good.length; at += 1) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ 0x01;
      let fault: string | undefined = 'refused';
      try {
        fault = crlFault(readCrl(bad), issuer);
      } catch {
        // Refused by its form.
      }
      expect([at, fault]).not.toEqual([at, undefined]);
    }
  });
});

test('a leaf states where the list of its CA is, when it is told', async () => {
  const url = 'http://tabard-operator.tabard-system.svc.cluster.local:16012/crl/AB.crl';
  const leaf = new X509Certificate((await testLeaf(authority, { crlUrl: url })).certificate);
  expect(leaf.raw.includes(Buffer.from(url))).toBe(true);
  expect(new X509Certificate((await testLeaf(authority)).certificate).raw.includes(Buffer.from('551d1f', 'hex'))).toBe(
    false,
  );
});

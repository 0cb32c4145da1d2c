// Lists of CAs that somebody else keeps: the answer to each thing that can be wrong with one, and that the last good one stays.
import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Authority } from '../../../../lib/pki/ca.ts';
import { type CrlEntry, crlPem, signCrl } from '../../../../lib/pki/crl.ts';
import { maximumCrlBytes } from '../../../../lib/pki/crlread.ts';
import { type ImportedList, type ImportRequest, judgeImport } from '../../../../operator/revocation/imports/judge.ts';
import { importedIn, importMap } from '../../../../operator/revocation/imports/store.ts';
import { testAuthority } from '../../../support/pki.ts';

const now = new Date('2026-06-01T12:00:00Z');
const hour = 3_600_000;
let authority: Authority;
let stranger: Authority;

beforeAll(async () => {
  [authority, stranger] = await Promise.all([testAuthority(), testAuthority()]);
});

interface Change {
  readonly by?: Authority;
  readonly signer?: Authority;
  readonly number?: number;
  readonly atMs?: number;
  readonly endMs?: number;
  readonly entries?: readonly CrlEntry[];
}

function crl({
  by = authority,
  signer = by,
  number = 7,
  atMs = -hour,
  endMs = hour,
  entries = [],
}: Change = {}): Buffer {
  const [thisUpdate, nextUpdate] = [atMs, endMs].map((ms) => new Date(now.getTime() + ms)) as [Date, Date];
  const authorityKeyId = Buffer.from(by.keyId, 'hex');
  return signCrl({ issuerName: by.name, authorityKeyId, number, thisUpdate, nextUpdate, entries }, signer.privateKey);
}

const entry = (serial: string): CrlEntry => ({ serial, revokedAt: now, reason: 'keyCompromise' });

function judge(found: ImportRequest['found'], last?: ImportedList): ReturnType<typeof judgeImport> {
  return judgeImport({ found, authorities: [new X509Certificate(authority.certificate)], last, now });
}

function taken(found: Buffer): ImportedList {
  const verdict = judge(found);
  if (!verdict.ok) throw new Error(verdict.message);
  return verdict.list;
}

describe('a list that is good', () => {
  test('is taken in with its serials in one form, whichever way it is written', () => {
    const der = crl({ entries: [entry('0A0B'), entry('FF')] });
    const list = taken(der);
    expect(list).toMatchObject({
      number: '7',
      serials: ['A0B', 'FF'],
      issuer: new X509Certificate(authority.certificate).subject,
    });
    expect(taken(Buffer.from(crlPem(der)))).toEqual(list);
  });

  test('may be empty of entries', () => {
    expect(taken(crl()).serials).toEqual([]);
  });

  test('is kept in a ConfigMap as it is', () => {
    const list = taken(crl({ entries: [entry('0A0B')] }));
    const map = importMap('tabard-system', 'corp', list);
    expect(importedIn(map as unknown as Parameters<typeof importedIn>[0])).toEqual(list);
  });

  test('fits into a ConfigMap at its largest', () => {
    const serials = Array.from({ length: 29_000 }, (_, index) =>
      (BigInt(index + 1) * 0x9e3779b97f4a7c15f39cc0605cedc834n).toString(16).slice(0, 32).toUpperCase(),
    );
    const input = importMap('tabard-system', 'corp', { ...taken(crl()), serials });
    expect(JSON.stringify(input).length).toBeLessThan(1_048_576 * 1.3);
  });

  test('of the next CA may begin its numbers anew', () => {
    const before = { ...taken(crl({ number: 900 })), issuer: 'CN=the CA before' };
    expect(judge(crl({ number: 1 }), before)).toMatchObject({ ok: true });
  });

  test('may come again', () => {
    const same = crl();
    expect(judge(same, taken(same))).toMatchObject({ ok: true });
  });
});

describe('a list that is not (OpenSSL answers an expired or missing list by refusing everybody)', () => {
  test.each<[string, string, () => ImportRequest['found']]>([
    ['missing', 'CrlMissing', () => ({ missing: 'there is no ConfigMap "corp-crl"' })],
    ['empty', 'CrlEmpty', () => Buffer.alloc(0)],
    ['over 1 MiB', 'CrlTooLarge', () => Buffer.alloc(maximumCrlBytes + 1, 0x30)],
    ['far over 1 MiB', 'CrlTooLarge', () => Buffer.alloc(2 * maximumCrlBytes, 0x30)],
    ['garbage', 'CrlUnreadable', () => Buffer.from('<html>not found</html>')],
    ['cut short', 'CrlUnreadable', () => crl().subarray(0, 80)],
    ['of a foreign issuer', 'CrlForeignIssuer', () => crl({ by: stranger })],
    ['signed by somebody else in the name of the CA', 'CrlSignatureInvalid', () => crl({ signer: stranger })],
    ['expired', 'CrlExpired', () => crl({ atMs: -3 * hour, endMs: -hour })],
    ['of the future', 'CrlNotYetValid', () => crl({ atMs: hour, endMs: 2 * hour })],
  ])('%s is refused as such', (_, fault, found) => {
    expect(judge(found(), taken(crl()))).toMatchObject({ ok: false, fault, message: expect.stringMatching(/.{10}/) });
    expect(judge(found())).toMatchObject({ ok: false, fault });
  });

  test.each([
    ['a lower number', { number: 6, atMs: -60_000 }],
    ['an earlier date under a higher number', { number: 8, atMs: -2 * hour }],
  ])('goes back with %s', (_, change) => {
    expect(judge(crl(change), taken(crl()))).toMatchObject({ ok: false, fault: 'CrlNumberWentBack' });
  });
});

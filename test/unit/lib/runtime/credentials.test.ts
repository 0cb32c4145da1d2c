import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Authority } from '../../../../lib/pki/ca.ts';
import {
  type CredentialFault,
  type CredentialTexts,
  judgeCredentials,
  MemoryCertificateSource,
} from '../../../../lib/runtime/credentials.ts';
import { DAY_MS, type TestLeaf, testAuthority, testLeaf } from '../../../support/pki.ts';

let authority: Authority;
let leaf: TestLeaf;
let other: TestLeaf;
let strangersBundle: string;
const now = new Date();

const textsOf = ({ certificate, key, bundle }: TestLeaf): CredentialTexts => ({
  certificate,
  key,
  trustBundle: bundle,
});

beforeAll(async () => {
  authority = await testAuthority();
  leaf = await testLeaf(authority);
  other = await testLeaf(authority, { service: 'api' });
  strangersBundle = (await testAuthority()).certificate;
});

function faultOf(texts: CredentialTexts, at = now): CredentialFault | 'none' {
  const verdict = judgeCredentials(texts, at);
  return verdict.good ? 'none' : verdict.fault;
}

describe('judgeCredentials', () => {
  test('finds a fresh pair good and tells the facts of its leaf', () => {
    expect(judgeCredentials(textsOf(leaf), now)).toMatchObject({
      good: true,
      credentials: {
        serial: expect.stringMatching(new RegExp(`^${leaf.serial}$`, 'i')),
        notAfter: leaf.notAfter,
        key: leaf.key,
      },
    });
  });

  test.each<[string, CredentialFault, (texts: CredentialTexts) => CredentialTexts]>([
    ['an empty certificate', 'certificate_invalid', (texts) => ({ ...texts, certificate: '' })],
    [
      'a certificate that was written half',
      'certificate_invalid',
      (texts) => ({ ...texts, certificate: texts.certificate.slice(0, 300) }),
    ],
    [
      'a certificate whose base64 is garbled',
      'certificate_invalid',
      (texts) => ({ ...texts, certificate: texts.certificate.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA') }),
    ],
    ['an empty key', 'key_invalid', (texts) => ({ ...texts, key: '' })],
    ['a key that was written half', 'key_invalid', (texts) => ({ ...texts, key: texts.key.slice(0, 100) })],
    ['the key of another certificate', 'key_mismatch', (texts) => ({ ...texts, key: other.key })],
    ['the certificate of another key', 'key_mismatch', (texts) => ({ ...texts, certificate: other.certificate })],
    ['an empty bundle', 'bundle_invalid', (texts) => ({ ...texts, trustBundle: '' })],
    ['a bundle written half', 'bundle_invalid', (texts) => ({ ...texts, trustBundle: texts.trustBundle.slice(0, 99) })],
    ['the bundle of another mesh', 'unknown_ca', (texts) => ({ ...texts, trustBundle: strangersBundle })],
    ['its own leaf in the place of a CA', 'unknown_ca', (texts) => ({ ...texts, trustBundle: texts.certificate })],
  ])('refuses %s as %s', (_name, fault, change) => {
    expect(faultOf(change(textsOf(leaf)))).toBe(fault);
  });

  test('refuses a pair before and after its time', () => {
    expect(faultOf(textsOf(leaf), new Date(now.getTime() - DAY_MS))).toBe('not_yet_valid');
    expect(faultOf(textsOf(leaf), new Date(now.getTime() + 2 * DAY_MS))).toBe('expired');
  });

  test('accepts a bundle that holds a second CA', () => {
    expect(faultOf({ ...textsOf(leaf), trustBundle: strangersBundle + leaf.bundle })).toBe('none');
  });

  test('never repeats key material in what it says', () => {
    const verdict = judgeCredentials({ ...textsOf(leaf), key: leaf.key.replace('-----END', '----END') }, now);
    expect(JSON.stringify(verdict)).not.toContain(leaf.key.slice(40, 60));
  });
});

describe('MemoryCertificateSource', () => {
  test('tells listeners of each new good pair once, and never of a bad one', () => {
    const source = new MemoryCertificateSource();
    const seen: string[] = [];
    const stop = source.subscribe((credentials) => seen.push(credentials.serial));
    source.offer(textsOf(leaf), now);
    source.offer(textsOf(leaf), now);
    source.offer({ ...textsOf(leaf), key: other.key }, now);
    expect(source.current()?.key).toBe(leaf.key);
    source.offer(textsOf(other), now);
    stop();
    source.offer(textsOf(leaf), now);
    expect(seen).toHaveLength(2);
    expect(source.current()?.key).toBe(leaf.key);
  });
});

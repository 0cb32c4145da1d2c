// Bad input, everywhere that a certificate with its key is read: what sidecars are about to show, what lies in a Secret, and what a CA's Secret holds. What is
// wrong is said with what to do, nothing of the key is repeated, and what served before goes on serving.
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { secretKeys } from '../../../../lib/api/contract.ts';
import { loadAuthority } from '../../../../lib/pki/ca.ts';
import { parsePrivateKey, privateKeyPem } from '../../../../lib/pki/keys.ts';
import { type CredentialTexts, MemoryCertificateSource } from '../../../../lib/runtime/credentials.ts';
import { currentSecret } from '../../../../operator/certificates/secret.ts';
import { foreign } from '../../../support/foreign.ts';
import { DAY_MS, testLeaf } from '../../../support/pki.ts';

const now = new Date('2026-11-22T12:00:00Z');
const later = (ms: number): Date => new Date(now.getTime() + ms);
const times = { notBefore: later(-DAY_MS), notAfter: later(DAY_MS) };

const root = foreign({ name: 'Root', ...times });
const issuing = foreign({ name: 'Issuing', by: root, ...times });
const signer = loadAuthority(issuing.certificate.toString(), privateKeyPem(issuing.key), 'cluster.local');
const leaf = await testLeaf(signer, { now, lifetimeMs: 60 * 60_000 });
const other = await testLeaf(signer, { now, lifetimeMs: 60 * 60_000 });
const pem = (certificate: X509Certificate): string => certificate.toString();
const [above, top] = [pem(issuing.certificate), pem(root.certificate)];
const good: CredentialTexts = { certificate: leaf.certificate + above, key: leaf.key, trustBundle: top };

const privateKey = parsePrivateKey(leaf.key);
const curve = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';
const sec1 = privateKey.export({ type: 'sec1', format: 'pem' });
const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' });
/** What is left of bytes that are no UTF-8, read as a file or a Secret is read. */
const asText = (bytes: Buffer): string => bytes.toString('utf8');
const utf16 = (text: string): string => asText(Buffer.from(text, 'utf16le'));
const der = (text: string): string => asText(new X509Certificate(text).raw);
const windows = (text: string): string => text.replaceAll('\n', '\r\n');
const megabytes = (text: string): string => text.repeat(Math.ceil(5_000_000 / text.length));

type Part = 'certificate' | 'key' | 'trustBundle';
/** Name, the text and its part, the fault and what is said of it. */
type Row = readonly [name: string, part: Part, text: string, fault: string, said: string];

const rows: readonly Row[] = [
  ['a certificate without its key', 'key', '', 'key_invalid', 'the private key is empty'],
  ['the key of another certificate', 'key', other.key, 'key_mismatch', 'does not belong to certificate'],
  ['no certificate', 'certificate', '', 'certificate_invalid', 'it is empty'],
  [
    'the chain in the wrong order',
    'certificate',
    above + leaf.certificate,
    'certificate_invalid',
    'the leaf comes first',
  ],
  ['a chain without its middle', 'certificate', leaf.certificate + top, 'certificate_invalid', 'the leaf comes first'],
  ['two leaves', 'certificate', leaf.certificate + other.certificate, 'certificate_invalid', 'the leaf comes first'],
  ['the CA of the key in front', 'key', privateKeyPem(issuing.key), 'key_mismatch', 'which must come first'],
  [
    'the key in the certificate file',
    'certificate',
    leaf.certificate + leaf.key,
    'certificate_invalid',
    'does not belong there',
  ],
  ['the certificate in the key file', 'key', leaf.key + leaf.certificate, 'key_invalid', 'does not belong there'],
  [
    'a certificate with a byte order mark',
    'certificate',
    `\uFEFF${good.certificate}`,
    'certificate_invalid',
    'byte order mark',
  ],
  ['a key with a byte order mark', 'key', `\uFEFF${leaf.key}`, 'key_invalid', 'byte order mark'],
  ['a certificate with CR LF', 'certificate', windows(good.certificate), 'certificate_invalid', 'dos2unix'],
  ['a key with CR LF', 'key', windows(leaf.key), 'key_invalid', 'dos2unix'],
  ['a certificate in UTF-16', 'certificate', utf16(good.certificate), 'certificate_invalid', 'save it as PEM in UTF-8'],
  ['a key in UTF-16', 'key', utf16(leaf.key), 'key_invalid', 'save it as PEM in UTF-8'],
  ['a certificate in DER', 'certificate', der(leaf.certificate), 'certificate_invalid', 'is DER, not PEM'],
  [
    'a key in DER',
    'key',
    asText(privateKey.export({ type: 'pkcs8', format: 'der' })),
    'key_invalid',
    'is DER, not PEM',
  ],
  [
    'five megabytes of certificates',
    'certificate',
    megabytes(good.certificate),
    'certificate_invalid',
    'at most 100000',
  ],
  ['five megabytes of key', 'key', megabytes(leaf.key), 'key_invalid', 'at most 16384'],
  ['five megabytes of CAs', 'trustBundle', megabytes(top), 'bundle_invalid', 'at most 330000'],
  ['a certificate cut short', 'certificate', good.certificate.slice(0, 500), 'certificate_invalid', 'cut short'],
  ['a key cut short', 'key', leaf.key.slice(0, 100), 'key_invalid', 'cut short'],
  ['an encrypted key', 'key', encrypted, 'key_invalid', 'without a passphrase'],
  ['two keys', 'key', leaf.key + other.key, 'key_invalid', 'leave only one'],
  [
    'a public key for a private one',
    'key',
    new X509Certificate(leaf.certificate).publicKey.export({ type: 'spki', format: 'pem' }),
    'key_invalid',
    '"PUBLIC KEY"',
  ],
  ['no CA', 'trustBundle', '', 'bundle_invalid', 'it is empty'],
  ['CAs in UTF-16', 'trustBundle', utf16(top), 'bundle_invalid', 'save it as PEM in UTF-8'],
  ['a CA in DER', 'trustBundle', der(top), 'bundle_invalid', 'is DER, not PEM'],
  ['a key among the CAs', 'trustBundle', top + leaf.key, 'bundle_invalid', 'private key among the certificates'],
  ['a leaf for a CA', 'trustBundle', leaf.certificate, 'unknown_ca', 'no trusted CA'],
];

/** What lies in a Secret of that service, as the operator reads it. */
function secretWith(texts: CredentialTexts) {
  const encoded = (text: string): string => Buffer.from(text).toString('base64');
  const labels = { 'app.kubernetes.io/managed-by': 'tabard', 'tabard.dev/service': 'web' };
  return currentSecret(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: 'tabard-web',
        namespace: 'shop',
        uid: 'u',
        resourceVersion: '1',
        creationTimestamp: '',
        labels,
      },
      type: 'kubernetes.io/tls',
      data: {
        [secretKeys.certificate]: encoded(texts.certificate),
        [secretKeys.key]: encoded(texts.key),
        [secretKeys.trustBundle]: encoded(texts.trustBundle),
      },
    },
    top,
  );
}

describe('a sidecar', () => {
  test.each(rows)('refuses %s, says so, and goes on with what it had', (...[, part, text, fault, said]) => {
    const source = new MemoryCertificateSource();
    expect(source.offer(good, now)).toMatchObject({ good: true });
    const before = source.current();
    const verdict = source.offer({ ...good, [part]: text }, now);
    expect(verdict).toMatchObject({ good: false, fault, detail: expect.stringContaining(said) });
    expect(source.current()).toBe(before);
    expect(JSON.stringify(verdict)).not.toContain(leaf.key.slice(40, 60));
  });

  test.each([
    ['expired', later(2 * 60 * 60_000)],
    ['not_yet_valid', later(-60 * 60_000)],
  ])('refuses a certificate that is %s and says since when', (fault, at) => {
    const verdict = new MemoryCertificateSource().offer(good, at);
    expect(verdict).toMatchObject({ good: false, fault, detail: expect.stringMatching(/2026-11-22T1\d:/) });
  });

  test.each<[string, Part, string]>([
    ['a key in the older form of its algorithm', 'key', sec1],
    ['parameters of the curve before the key', 'key', curve + sec1],
    ['words around the blocks', 'certificate', `made by hand\n${leaf.certificate}the CA:\n${above}`],
    ['words after the key', 'key', `${leaf.key}trailing words\n`],
    ['no line feed at the end', 'key', leaf.key.trimEnd()],
    ['the root at the end of the chain', 'certificate', good.certificate + top],
    ['CAs with CR LF and a byte order mark, which are written anew anyway', 'trustBundle', `\uFEFF${windows(top)}`],
    ['a CA twice', 'trustBundle', top + top],
  ])('takes %s', (_, part, text) => {
    expect(new MemoryCertificateSource().offer({ ...good, [part]: text }, now)).toMatchObject({ good: true });
  });
});

describe('the operator', () => {
  const ofPair = rows.filter(([, part]) => part !== 'trustBundle');
  test.each(ofPair)('finds %s in a Secret broken, so that it is made anew', (...[, part, text, , said]) => {
    const current = secretWith({ ...good, [part]: text });
    expect(current).toMatchObject({ kind: 'broken', detail: expect.stringContaining(said) });
    expect(JSON.stringify(current)).not.toContain(leaf.key.slice(40, 60));
  });

  test.each(rows.filter(([, part]) => part === 'trustBundle'))(
    'finds that the bundle must be written again: %s',
    (_, part, text) => {
      const current = secretWith({ ...good, [part]: text });
      const whole = secretWith(good);
      if (current.kind !== 'held' || whole.kind !== 'held') throw new Error('the pair itself is good');
      expect(current.bundleFingerprint).not.toBe(whole.bundleFingerprint);
    },
  );

  test.each([
    ['the key of another CA', above, privateKeyPem(root.key), 'not the key of its certificate'],
    ['a leaf for a CA', leaf.certificate, leaf.key, 'not one of a CA'],
    ['a key of no use', above, privateKeyPem(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey), 'key'],
    ['an encrypted key', above, encrypted, 'without a passphrase'],
    ['DER', der(above), privateKeyPem(issuing.key), 'is DER, not PEM'],
    ['UTF-16', utf16(above), privateKeyPem(issuing.key), 'save it as PEM in UTF-8'],
    ['the key in the certificate', above + privateKeyPem(issuing.key), privateKeyPem(issuing.key), 'private key among'],
    ['five megabytes', megabytes(above), privateKeyPem(issuing.key), 'at most 330000'],
  ])('loads no CA from %s', (_, certificate, key, said) => {
    expect(() => loadAuthority(certificate, key, 'cluster.local')).toThrow(
      expect.objectContaining({ code: 'pki_invalid', message: expect.stringContaining(said) }),
    );
  });
});

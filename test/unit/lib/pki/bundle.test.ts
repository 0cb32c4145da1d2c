import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { bundleFingerprint, fingerprint, formatCertificates, parseCertificates } from '../../../../lib/pki/bundle.ts';
import { testAuthority } from '../../../support/pki.ts';

const pems = [(await testAuthority()).certificate, (await testAuthority()).certificate];
const [first = '', second = ''] = pems;

/** The same certificate, and three bytes more in the block: OpenSSL reads it without a word. */
function trailing(pem: string): string {
  const bytes = Buffer.concat([new X509Certificate(pem).raw, Buffer.from('abc')]);
  return `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`;
}

describe('trust bundles', () => {
  test('certificates keep their order and are listed once', () => {
    const parsed = parseCertificates(`# made by hand\n${first}\n${second}${first}`);
    expect(formatCertificates(parsed)).toBe(first + second);
  });

  test('carriage returns and a missing last line break do no harm', () => {
    expect(formatCertificates(parseCertificates(first.replaceAll('\n', '\r\n').trimEnd()))).toBe(first);
  });

  test('the fingerprint of a bundle does not depend on order or repeats', () => {
    const one = bundleFingerprint(parseCertificates(first + second));
    expect(one).toBe(bundleFingerprint(parseCertificates(second + first + second)));
    expect(one).not.toBe(bundleFingerprint(parseCertificates(first)));
    expect(one).toMatch(/^[0-9a-f]{64}$/);
  });

  test('the fingerprint of a certificate is the SHA-256 that OpenSSL prints', () => {
    const [certificate] = parseCertificates(first);
    expect(certificate && fingerprint(certificate)).toBe(certificate?.fingerprint256.replaceAll(':', '').toLowerCase());
  });

  test.each([
    ['nothing', ''],
    ['text without a certificate', 'hello'],
    ['a private key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
    ['a certificate cut short', first.slice(0, 200)],
    ['one good and one cut short', first + second.slice(0, 200)],
    ['a garbled certificate', first.replace(/MII./, '!!!!')],
    ['bytes that are no certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
    ['a certificate with bytes after its end', trailing(first)],
    ['more certificates than any chain holds', first.repeat(101)],
  ])('%s is refused', (_, text) => {
    expect(() => parseCertificates(text)).toThrow(expect.objectContaining({ code: 'pki_invalid' }));
  });
});

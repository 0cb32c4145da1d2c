// Bad input in the webhook's own Secret: refused with what is wrong, so that what is served stays and who knows repairs it (serving.test.ts).

import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { privateKeyPem } from '../../../lib/pki/keys.ts';
import { readMaterial, writeMaterial } from '../../../webhook/material.ts';
import { testAuthority, testLeaf } from '../../support/pki.ts';

const authority = await testAuthority();
const stranger = await testAuthority();
const leaf = await testLeaf(authority);
const other = await testLeaf(authority);
const trusted = [new X509Certificate(authority.certificate)];
const { certificate, key } = leaf;
const whole = writeMaterial({ authority, next: undefined, trusted, certificate, key });
const of = { trustDomain: 'cluster.local' };
const read = (name: string, text: string | Buffer) => () =>
  readMaterial({ ...whole, [name]: Buffer.from(text).toString('base64') }, of);
const windows = (text: string): string => text.replaceAll('\n', '\r\n');

describe('the Secret of the webhook', () => {
  test('is read when everything in it fits together', () => {
    expect(readMaterial(whole, of)).toMatchObject({ certificate, key });
  });

  test.each<readonly [string, string, string | Buffer, RegExp]>([
    ['without a certificate', 'tls.crt', '', /empty/],
    ['without a key', 'tls.key', '', /empty/],
    ['with the key of another certificate', 'tls.key', other.key, /does not belong to certificate/],
    ['with two leaves', 'tls.crt', certificate + other.certificate, /did not issue the one before it/],
    ['with the CA before the leaf', 'tls.crt', authority.certificate + certificate, /did not issue the one before it/],
    ['with a key among the certificates', 'tls.crt', certificate + key, /PRIVATE KEY/],
    ['with two keys', 'tls.key', key + other.key, /leave only one/],
    ['with a byte order mark', 'tls.crt', `\uFEFF${certificate}`, /byte order mark/],
    ['with lines that end in CR LF', 'tls.crt', windows(certificate), /dos2unix/],
    ['in DER', 'tls.crt', new X509Certificate(certificate).raw, /DER/],
    ['cut short', 'tls.crt', certificate.slice(0, 300), /cut short/],
    ['of five megabytes', 'tls.crt', certificate.repeat(8_000), /at most 100000/],
    ['with a CA that is none', 'ca.crt', 'what?', /./],
    ['with the key of another CA', 'ca.key', privateKeyPem(stranger.privateKey), /no certificate in ca.crt belongs/],
    ['with a CA key cut short', 'ca.key', privateKeyPem(authority.privateKey).slice(0, 60), /cut short/],
    [
      'with a next CA that nobody trusts yet',
      'next.key',
      privateKeyPem(stranger.privateKey),
      /no certificate in ca.crt/,
    ],
  ])('is refused %s, and nothing of a key is repeated', (_, name, text, said) => {
    expect(read(name, text)).toThrow(said);
    const body = key.split('\n')[1] ?? '';
    expect(read(name, text)).not.toThrow(new RegExp(body.slice(8, 40).replace(/[+/]/g, '.')));
  });
});

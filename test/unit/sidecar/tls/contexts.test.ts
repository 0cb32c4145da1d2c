import { createSecureContext } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import type { EffectivePolicy } from '../../../../lib/api/control.ts';
import { parseCertificates } from '../../../../lib/pki/bundle.ts';
import { contextOptions, shownChain } from '../../../../sidecar/tls/contexts.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';

const defaults: EffectivePolicy['tls'] = { minVersion: '1.3', ciphers: [], groups: [] };
const pem = { certificate: '', key: '', trustBundle: '' };

describe('contextOptions', () => {
  test('protects by default: TLS 1.3, AES-256 first, the post-quantum group first, sessions of our own', () => {
    expect(contextOptions(pem, defaults)).toMatchObject({
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
      ecdhCurve: 'X25519MLKEM768:X25519:P-256',
      sessionIdContext: 'tabard',
    });
  });

  test.each<[string, Partial<EffectivePolicy['tls']>, object]>([
    [
      'takes the suites and their order from the policy',
      { ciphers: ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] },
      { ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384' },
    ],
    ['takes the groups from the policy', { groups: ['P-384', 'X25519'] }, { ecdhCurve: 'P-384:X25519' }],
    [
      'falls back to the defaults when no suite is known',
      { ciphers: ['TLS_RSA_WITH_RC4_128_SHA'] },
      { ciphers: expect.stringMatching(/^TLS_AES_256/) },
    ],
    [
      'translates the names of TLS 1.2 suites',
      { minVersion: '1.2', ciphers: ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'] },
      { minVersion: 'TLSv1.2', ciphers: expect.stringMatching(/:ECDHE-ECDSA-AES256-GCM-SHA384$/) },
    ],
    [
      'leaves TLS 1.2 suites out where 1.3 is the floor',
      { ciphers: ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'] },
      { ciphers: expect.not.stringContaining('ECDHE') },
    ],
  ])('%s', (_name, change, expected) => {
    expect(contextOptions(pem, { ...defaults, ...change })).toMatchObject(expected);
  });

  test('every combination is one that OpenSSL takes', async () => {
    const leaf = await testLeaf(await testAuthority());
    const texts = { certificate: leaf.certificate, key: leaf.key, trustBundle: leaf.bundle };
    for (const minVersion of ['1.2', '1.3'] as const) {
      for (const groups of [[], ['X25519MLKEM768'], ['X25519'], ['P-256'], ['P-384']] as const) {
        expect(() => createSecureContext(contextOptions(texts, { minVersion, ciphers: [], groups }))).not.toThrow();
      }
    }
  });
});

describe('the chain that is shown', () => {
  test('is that of OpenSSL, found once: a certificate that comes alone has its issuer out of the bundle behind it', async () => {
    const authority = await testAuthority();
    const other = await testAuthority();
    const { certificate } = await testLeaf(authority);
    const bundle = parseCertificates(`${other.certificate}\n${authority.certificate}`);
    const shown = parseCertificates(shownChain(certificate, bundle));
    expect(shown.map(({ serialNumber }) => serialNumber)).toEqual(
      [certificate, authority.certificate].map((pem) => parseCertificates(pem)[0]?.serialNumber),
    );
    // What comes with issuers keeps those.
    const whole = `${certificate}\n${other.certificate}`;
    expect(shownChain(whole, bundle)).toBe(whole);
  });

  test('is the certificate alone where the bundle has none of its issuers', async () => {
    const { certificate } = await testLeaf(await testAuthority());
    const other = await testAuthority();
    expect(shownChain(certificate, parseCertificates(other.certificate))).toBe(certificate);
  });
});

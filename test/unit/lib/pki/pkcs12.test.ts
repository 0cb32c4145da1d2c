import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import type { KeyAlgorithm } from '../../../../lib/api/tlspolicy.ts';
import { parseCertificates } from '../../../../lib/pki/bundle.ts';
import { keyStore, opensWith, trustStore } from '../../../../lib/pki/pkcs12.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';

const authority = await testAuthority();

const password = 'changeit';

/** Whether OpenSSL (in Node) opens the file: MAC, decryption, and a key that is the certificate's. */
function openedByOpenSsl(pfx: Buffer, passphrase: string): string {
  try {
    createSecureContext({ pfx, passphrase });
    return 'opened';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function leafStore(key: KeyAlgorithm, secret: string): Promise<Buffer> {
  const leaf = await testLeaf(authority, { key });
  const content = { privateKey: createPrivateKey(leaf.key), chain: parseCertificates(leaf.certificate), alias: 'web' };
  return keyStore(content, secret);
}

describe('a keystore', () => {
  test.each<KeyAlgorithm>(['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'Ed25519'])(
    'holds a %s key and its certificate',
    async (key) => {
      const store = await leafStore(key, password);
      expect(openedByOpenSsl(store, password)).toBe('opened');
      expect(openedByOpenSsl(store, 'other')).toContain('mac verify failure');
    },
  );

  test.each(['x', 'p@ss wörd', '密码', 'a'.repeat(200)])('takes the password %j', async (secret) => {
    const store = await leafStore('ECDSA-P256', secret);
    expect(openedByOpenSsl(store, secret)).toBe('opened');
    expect([opensWith(store, secret), opensWith(store, `${secret}x`)]).toEqual([true, false]);
  });

  test('is refused without a certificate', async () => {
    const { key } = await testLeaf(authority);
    const content = { privateKey: createPrivateKey(key), chain: [], alias: 'web' };
    await expect(keyStore(content, password)).rejects.toMatchObject({ code: 'pki_invalid' });
  });

  test('is another file each time', async () => {
    expect((await leafStore('ECDSA-P256', password)).equals(await leafStore('ECDSA-P256', password))).toBe(false);
  });
});

describe('what is no keystore of ours', () => {
  test('does not open: one changed byte, a part, another format, nothing', async () => {
    const store = await trustStore([new X509Certificate(authority.certificate)], password);
    expect(opensWith(store, password)).toBe(true);
    for (let at = 40; at < store.length; at += 97) {
      const changed = Buffer.from(store);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      expect({ at, opens: opensWith(changed, password) }).toEqual({ at, opens: false });
    }
    for (const other of [store.subarray(0, -1), Buffer.from('-----BEGIN'), Buffer.alloc(0)])
      expect(opensWith(other, password)).toBe(false);
  });
});

import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { signerKeyId } from '../../../../lib/pki/keyid.ts';
import { authorityKeyIdOf } from '../../../../lib/pki/x509.ts';
import { otherAuthority, otherLeaf } from '../../../support/federation.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';

describe('the key id of the signer', () => {
  test('is the CA’s own, as the other reader of it says, too', async () => {
    const authority = await testAuthority();
    const leaf = new X509Certificate((await testLeaf(authority)).certificate);
    expect(signerKeyId(leaf)).toBe(authority.keyId);
    expect(signerKeyId(leaf)).toBe(authorityKeyIdOf(leaf.raw));
  });

  test('is read from certificates of others', () => {
    const leaf = new X509Certificate(otherLeaf(otherAuthority('other'), ['spiffe://a/b']).certificate);
    expect(signerKeyId(leaf)).toMatch(/^[0-9A-F]{40}$/);
    expect(signerKeyId(leaf)).toBe(authorityKeyIdOf(leaf.raw));
  });
});

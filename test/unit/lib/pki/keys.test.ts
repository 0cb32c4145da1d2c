import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { generateKey, publicKeyInfo } from '../../../../lib/pki/keys.ts';

test.each(['ECDSA-P256', 'ECDSA-P384', 'Ed25519', 'RSA-2048'] as const)(
  'the public key of %s is written as OpenSSL writes it, whatever the key',
  async (algorithm) => {
    for (let round = 0; round < (algorithm === 'RSA-2048' ? 1 : 40); round += 1) {
      const { publicKey } = await generateKey(algorithm);
      expect(publicKeyInfo(publicKey)).toEqual(publicKey.export({ type: 'spki', format: 'der' }));
    }
  },
);

test('a curve that no certificate of ours uses is left to OpenSSL', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-521' });
  expect(publicKeyInfo(publicKey)).toEqual(publicKey.export({ type: 'spki', format: 'der' }));
});

// Certificate requests as OpenSSL reads them: signature, names, nothing else.
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import type { KeyAlgorithm } from '../../../lib/api/tlspolicy.ts';
import { createRequest, requestPem } from '../../../lib/pki/csr.ts';
import { generateKey } from '../../../lib/pki/keys.ts';

const names = {
  uris: ['spiffe://cluster.local/ns/shop/svc/web'],
  dnsNames: ['web', 'web.shop.svc', '*.db.shop.svc'],
  ipAddresses: ['10.0.0.1', '2001:db8::1'],
};

function openssl(pem: string): { readonly text: string; readonly verdict: string } {
  const { stdout, stderr } = spawnSync('openssl', ['req', '-noout', '-text', '-verify'], {
    input: pem,
    encoding: 'utf8',
  });
  return { text: stdout, verdict: stderr };
}

describe('a certificate request', () => {
  test.each<KeyAlgorithm>(['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'Ed25519'])(
    'with a key of kind %s is signed by that key and asks for exactly the names',
    async (algorithm) => {
      const { privateKey } = await generateKey(algorithm);
      const { text, verdict } = openssl(requestPem(createRequest(names, privateKey)));
      expect(verdict).toMatch(/verify OK/i);
      expect(text).toMatch(/Subject: *\n/);
      expect(text).toMatch(/X509v3 Subject Alternative Name: critical\s+URI:spiffe:/);
      expect(text).toContain(
        'URI:spiffe://cluster.local/ns/shop/svc/web, DNS:web, DNS:web.shop.svc, DNS:*.db.shop.svc, ' +
          'IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1',
      );
      expect(text.match(/X509v3/g)).toHaveLength(1);
    },
  );

  test('without a name is not written', async () => {
    const { privateKey } = await generateKey('ECDSA-P256');
    const nothing = { uris: [], dnsNames: [], ipAddresses: [] };
    expect(() => createRequest(nothing, privateKey)).toThrow('at least one name');
  });

  test('is not written for a key that cannot sign', async () => {
    const { publicKey } = await generateKey('ECDSA-P256');
    expect(() => createRequest(names, publicKey)).toThrow('private key');
  });
});

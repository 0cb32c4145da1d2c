// Certification requests as kubelets make them (Go, crypto/x509): the key is read, possession of it is proved, nothing else counts.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { createRequest } from '../../../../lib/pki/csr.ts';
import { generateKey } from '../../../../lib/pki/keys.ts';
import { keyOfRequest } from '../../../../lib/pki/pkcs10.ts';

const names = { uris: ['spiffe://cluster.local/ns/shop/svc/admin'], dnsNames: [], ipAddresses: [] };

/** Empty requests that crypto/x509 of Go 1.26 wrote, one per curve that kubelets offer. */
const fromGo = {
  'P-256':
    'MIG6MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMKs9MKB1mj7yAYqD2+uk6AW9dNV/5aR2qLrezCKZsLDVoTsp5rfAHGJ8Dk3oOxg9/2+1P1pTlquBS5tTlO3br+gADAKBggqhkjOPQQDAgNIADBFAiEA1aXbTYbE75HSz+3TDrKfMrC5EYbnYVJDSObrdQ1hHKQCIBN1c/aVSu94GTfI2q3zr7mfxzmi3OfzwaigNGzM0H5x',
  'P-384':
    'MIH3MH8CAQAwADB2MBAGByqGSM49AgEGBSuBBAAiA2IABBQu31gNWqoePGvFNa6fjIdqtxoK04sHehtUy7G8A+jxVtELaazxxh1oXtibge7q/TM4duz3fWaA9EabqAqo5QSkKWit3YWy5Vy4BVUNu7nQ3UTt5cj8BDBvPB7723EE5aAAMAoGCCqGSM49BAMDA2gAMGUCMH7KkClx4iKkzeBZe4wLFF6No7b+xHnoKJJLEjiq0xJKyK8NgVlf7RwezLRsX9k+UwIxANTiuxF+SA0ro3E11Ix1PuwNmvdsjGv1vm0XzLcaskOONLLZnqw7ovZWk/25pnsLrQ==',
  'P-521':
    'MIIBQzCBpQIBADAAMIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBj01jyCOua7v1d+W5nG/tdrLXsv9OU83ph3tpeN5paGfI+81ilVCeYYLx8IfW1Lv9vWLK6PjSK5keaRX2uPCzxbgBFNFnJ7qcVu/I8bxcS1HlwnOS9Fypc+g+4uLAV9sJLLl4oweO7q3BgY7o1jWFTKMBA59MPN0ud8TDt2rKSC60l8mgADAKBggqhkjOPQQDBAOBjAAwgYgCQgC+Fo/XBl8AJmzQZvonfe1kivHpUP8SxYaE4It6MWmPPayTLvwwhQBNhuYKwc8Ptt7vZO6AqZ1RWE6tOzavpLqd6AJCAfY6geSdh20Z1V57yzVrtfWY49aOAgCDfEQQtRvGbwKIoq/aCbJ41/73wY/0v1XhzDyXfqeSDlUHU/DckxJlIwzp',
} as const;

function spki(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'der' }).toString('base64');
}

describe('the key of a certification request', () => {
  test.each(['ECDSA-P256', 'ECDSA-P384', 'RSA-3072', 'Ed25519'] as const)('is read and proved for %s', async (kind) => {
    const { privateKey } = await generateKey(kind);
    const key = keyOfRequest(createRequest(names, privateKey));
    expect(spki(key)).toBe(spki(createPublicKey(privateKey)));
  });

  test.each(Object.entries(fromGo))('is read from an empty request that Go wrote on %s', (curve, text) => {
    const key = keyOfRequest(Buffer.from(text, 'base64'));
    const names = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' };
    expect(key.asymmetricKeyDetails?.namedCurve).toBe(names[curve as keyof typeof names]);
  });

  describe('of a changed request', () => {
    let request: Buffer;
    let other: Buffer;

    beforeAll(async () => {
      request = createRequest(names, (await generateKey('ECDSA-P256')).privateKey);
      other = createRequest(names, (await generateKey('ECDSA-P256')).privateKey);
    });

    test('is refused when the key was replaced by another', () => {
      const [mine, theirs] = [request, other].map((each) => {
        const start = each.indexOf(Buffer.from('03420004', 'hex')) + 4;
        return { start, point: each.subarray(start, start + 64) };
      });
      const forged = Buffer.from(request);
      theirs?.point.copy(forged, mine?.start);
      expect(() => keyOfRequest(forged)).toThrow(/does not prove possession/);
    });

    test('is refused, whichever byte was changed', () => {
      const outcomes = Array.from(request, (byte, at) => {
        const changed = Buffer.from(request);
        changed[at] = byte ^ 0x01;
        try {
          return spki(keyOfRequest(changed));
        } catch {
          return 'refused';
        }
      });
      expect(outcomes.filter((each) => each !== 'refused')).toEqual([]);
    });

    test.each([
      ['nothing', () => Buffer.alloc(0)],
      ['something behind it', () => Buffer.concat([request, Buffer.of(0)])],
      ['a part of it', () => request.subarray(0, request.length - 1)],
      ['PEM', () => Buffer.from('-----BEGIN CERTIFICATE REQUEST-----')],
      ['an indefinite length', () => Buffer.concat([Buffer.of(0x30, 0x80), request.subarray(3)])],
      ['its body alone', () => request.subarray(3, 100)],
    ])('is refused for %s', (_, made) => {
      expect(() => keyOfRequest(made())).toThrow(expect.objectContaining({ code: 'pki_invalid' }));
    });
  });
});

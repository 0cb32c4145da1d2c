// Signatures of ACME messages, checked by node:crypto and by the examples of the RFCs.
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import {
  externalBinding,
  type FlatJws,
  jwkOf,
  keyAuthorization,
  signedMessage,
  thumbprint,
} from '../../../../../operator/issuers/acme/jws.ts';

const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

function decoded(part: string): unknown {
  return part === '' ? '' : JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
}

function verifies(message: FlatJws): boolean {
  const signed = Buffer.from(`${message.protected}.${message.payload}`);
  const publicKey = { key: createPublicKey({ key: jwkOf(key), format: 'jwk' }), dsaEncoding: 'ieee-p1363' as const };
  return verify('sha256', signed, publicKey, Buffer.from(message.signature, 'base64url'));
}

describe('a signed message', () => {
  test('states algorithm, key, URL and nonce, and verifies', () => {
    const message = signedMessage(key, { jwk: jwkOf(key), url: 'https://ca/new', nonce: 'n' }, { a: 1 });
    expect(decoded(message.protected)).toEqual({ alg: 'ES256', jwk: jwkOf(key), url: 'https://ca/new', nonce: 'n' });
    expect(decoded(message.payload)).toEqual({ a: 1 });
    expect(verifies(message)).toBe(true);
  });

  test('of POST-as-GET has an empty payload, not an empty object (RFC 8555 section 6.3)', () => {
    const message = signedMessage(
      key,
      { kid: 'https://ca/account/1', url: 'https://ca/order/1', nonce: 'n' },
      undefined,
    );
    expect(message.payload).toBe('');
    expect(signedMessage(key, { kid: 'k', url: 'u' }, {}).payload).toBe(Buffer.from('{}').toString('base64url'));
    expect(verifies(message)).toBe(true);
  });

  test('inside of a key change has no nonce (RFC 8555 section 7.3.5)', () => {
    expect(decoded(signedMessage(key, { jwk: jwkOf(key), url: 'u' }, {}).protected)).not.toHaveProperty('nonce');
  });
});

describe('a thumbprint', () => {
  test('digests the members in the order of RFC 7638', () => {
    // The P-256 key of RFC 7517 appendix A.2; its digest was made with another program.
    const jwk = {
      kty: 'EC',
      crv: 'P-256',
      x: 'MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4',
      y: '4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM',
      d: '870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE',
    };
    const known = createPrivateKey({ key: jwk, format: 'jwk' });
    expect(thumbprint(known)).toBe('cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s');
    expect(keyAuthorization('token', known)).toBe(`token.${thumbprint(known)}`);
  });
});

describe('an external binding', () => {
  test('is our public key, signed with the MAC key of the CA', () => {
    const macKey = Buffer.alloc(32, 1);
    const binding = externalBinding(key, { keyId: 'kid-1', macKey, url: 'https://ca/new-account' });
    expect(decoded(binding.protected)).toEqual({ alg: 'HS256', kid: 'kid-1', url: 'https://ca/new-account' });
    expect(decoded(binding.payload)).toEqual(jwkOf(key));
    const expected = createHmac('sha256', macKey).update(`${binding.protected}.${binding.payload}`).digest('base64url');
    expect(binding.signature).toBe(expected);
  });
});

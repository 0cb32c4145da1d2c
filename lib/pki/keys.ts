// Private keys of certificates: made, exported and recognised by node:crypto. Nothing here keeps a key.
import { createPrivateKey, generateKeyPair, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { KeyAlgorithm } from '../api/tlspolicy.ts';
import { AppError } from '../errors.ts';
import { absence, checkLength, checkStrict, pemLimits } from './pem.ts';

/** A fresh key pair. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const generate = promisify(generateKeyPair);

const rsaBits = { 'RSA-2048': 2048, 'RSA-3072': 3072, 'RSA-4096': 4096 } as const;

/**
 * A new key pair. RSA keys (some 100 ms to seconds) and P-384 keys (1 ms) are made on a thread of libuv's pool, so that they never
 * hold up the event loop. P-256 and Ed25519 keys take 30 to 50 µs, less than the way to another thread and back.
 */
export async function generateKey(algorithm: KeyAlgorithm): Promise<KeyPair> {
  switch (algorithm) {
    case 'ECDSA-P256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'ECDSA-P384':
      return generate('ec', { namedCurve: 'P-384' });
    case 'RSA-2048':
    case 'RSA-3072':
    case 'RSA-4096':
      return generate('rsa', { modulusLength: rsaBits[algorithm], publicExponent: 0x10001 });
    case 'Ed25519':
      return generateKeyPairSync('ed25519', {});
  }
}

/** The private key as PKCS#8 PEM (RFC 5958), unencrypted: it may go into the Secret of its owner and nowhere else. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}

/**
 * The one private key of a PEM text, unencrypted. Parameters of an elliptic curve may stand before it, as `openssl ecparam` writes them. Throws
 * AppError `pki_invalid`, which says what is wrong and never holds any of the text.
 */
export function parsePrivateKey(pem: string): KeyObject {
  checkLength(pem, pemLimits.key, 'the private key');
  checkStrict(pem, /^(?:EC PARAMETERS|(?:[A-Z]+ )?PRIVATE KEY)$/, 'the private key');
  if (pem.includes('ENCRYPTED')) {
    throw new AppError('pki_invalid', 'the private key is encrypted; store it without a passphrase (openssl pkey)');
  }
  const [key, ...more] = pem.match(keyBlock) ?? [];
  if (key === undefined) throw new AppError('pki_invalid', `the private key ${absence(pem)}`);
  if (more.length > 0) {
    throw new AppError('pki_invalid', `the private key is one of ${more.length + 1} in its text; leave only one`);
  }
  try {
    return createPrivateKey({ key, format: 'pem' });
  } catch {
    // The cause is not kept: what OpenSSL says of a key could quote it.
    throw new AppError('pki_invalid', 'the private key is not readable PEM; restore it or delete its Secret');
  }
}

const keyBlock = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[^-]*-----END (?:[A-Z]+ )?PRIVATE KEY-----/g;

/** Which of the supported algorithms a key is of; undefined for any other kind, curve or size. */
export function keyAlgorithmOf(key: KeyObject): KeyAlgorithm | undefined {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case 'ec':
      if (details?.namedCurve === 'prime256v1') return 'ECDSA-P256';
      return details?.namedCurve === 'secp384r1' ? 'ECDSA-P384' : undefined;
    case 'rsa':
      return (['RSA-2048', 'RSA-3072', 'RSA-4096'] as const).find((name) => rsaBits[name] === details?.modulusLength);
    case 'ed25519':
      return 'Ed25519';
    default:
      return undefined;
  }
}

/** SubjectPublicKeyInfo of an uncompressed point, up to the point (RFC 5480 section 2). */
const pointHeads = {
  'P-256': Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'),
  'P-384': Buffer.from('3076301006072a8648ce3d020106052b8104002203620004', 'hex'),
} as const;

/**
 * The public key as SubjectPublicKeyInfo in DER. What OpenSSL's encoder gives, but for the usual curves put together from the
 * coordinates: its encoder takes as long as a signature.
 */
export function publicKeyInfo(publicKey: KeyObject): Buffer {
  if (publicKey.asymmetricKeyType === 'ec') {
    const { crv, x = '', y = '' } = publicKey.export({ format: 'jwk' });
    const head = crv === 'P-256' || crv === 'P-384' ? pointHeads[crv] : undefined;
    if (head !== undefined) return Buffer.concat([head, Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  }
  return publicKey.export({ type: 'spki', format: 'der' });
}

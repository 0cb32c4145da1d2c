// Tokens and key sets for tests, made with node:crypto alone: a second opinion on what the sidecar's library verifies.
import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { TokenKey } from '../../lib/api/authentication.ts';

/** A key of a token issuer. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: KeyObject;
  /** As it is published. */
  readonly jwk: TokenKey & { readonly use: 'sig' };
}

/** Makes a key for an algorithm. */
export function signingKey(kid: string, alg = 'ES256'): SigningKey {
  const { privateKey, publicKey } = pairFor(alg);
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } as unknown as SigningKey['jwk'];
  return { kid, alg, privateKey, jwk };
}

function pairFor(alg: string): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  if (/^[RP]S/.test(alg)) return generateKeyPairSync('rsa', { modulusLength: 2048 });
  const curve = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg];
  return curve === undefined ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: curve });
}

/** The key set that an issuer publishes. */
export function keySet(...keys: readonly SigningKey[]): string {
  return JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token signed by a key. Members of `head` and `claims` that are undefined are left out. */
export function token(key: SigningKey, claims: object, head: object = {}): string {
  const input = `${part({ alg: key.alg, kid: key.kid, typ: 'JWT', ...head })}.${part(claims)}`;
  return `${input}.${signature(key, input)}`;
}

function signature({ alg, privateKey }: SigningKey, input: string): string {
  const digest = /^[REP]S\d{3}$/.test(alg) ? `sha${alg.slice(2)}` : undefined;
  const options = alg.startsWith('ES')
    ? { key: privateKey, dsaEncoding: 'ieee-p1363' as const }
    : alg.startsWith('PS')
      ? { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : privateKey;
  return sign(digest, Buffer.from(input), options).toString('base64url');
}

/** A token under a shared secret, such as the text of a public key that everybody has (RFC 8725 section 2.1). */
export function hmacToken(secret: string, claims: object, head: object = {}): string {
  const input = `${part({ alg: 'HS256', ...head })}.${part(claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

/** A token that nobody signed. */
export function unsignedToken(claims: object, alg = 'none'): string {
  return `${part({ alg })}.${part(claims)}.`;
}

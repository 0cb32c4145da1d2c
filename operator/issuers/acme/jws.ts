// JSON Web Signatures as ACME wants them (RFC 8555 section 6.2): flattened JSON, ES256 for account keys, HS256 to bind an
// account to one that the CA knows otherwise (section 7.3.4). Pure but for the signatures, which node:crypto makes.
import { createHash, createHmac, createPublicKey, type KeyObject, sign } from 'node:crypto';

/** The public half of an account key, its members in the order of RFC 7638 section 3. */
export interface AccountJwk {
  readonly crv: string;
  readonly kty: string;
  readonly x: string;
  readonly y: string;
}

/** A signed message. */
export interface FlatJws {
  readonly protected: string;
  readonly payload: string;
  readonly signature: string;
}

/** Who signs: by the account's URL once there is one, by the key itself before. */
export type SignedAs = { readonly kid: string } | { readonly jwk: AccountJwk };

/** The public JWK of a P-256 key, private or public. */
export function jwkOf(key: KeyObject): AccountJwk {
  const {
    crv = '',
    kty = '',
    x = '',
    y = '',
  } = createPublicKey(key.export({ type: 'pkcs8', format: 'pem' })).export({
    format: 'jwk',
  });
  return { crv, kty, x, y };
}

/** SHA-256 thumbprint of an account key (RFC 7638), base64url. */
export function thumbprint(key: KeyObject): string {
  return createHash('sha256')
    .update(JSON.stringify(jwkOf(key)))
    .digest('base64url');
}

/** What proves, at the place of a challenge, that the account asked for it (RFC 8555 section 8.1). */
export function keyAuthorization(token: string, key: KeyObject): string {
  return `${token}.${thumbprint(key)}`;
}

/** A message signed with an account key. `undefined` as payload is the empty one of POST-as-GET (section 6.3). */
export function signedMessage(
  key: KeyObject,
  header: SignedAs & { readonly url: string; readonly nonce?: string },
  payload: unknown,
): FlatJws {
  const protectedPart = encode({ alg: 'ES256', ...header });
  const payloadPart = payload === undefined ? '' : encode(payload);
  const signature = sign('sha256', Buffer.from(`${protectedPart}.${payloadPart}`), { key, dsaEncoding: 'ieee-p1363' });
  return { protected: protectedPart, payload: payloadPart, signature: signature.toString('base64url') };
}

/** A binding to an account outside of ACME: our public key, signed with the MAC key that the CA handed out (section 7.3.4). */
export function externalBinding(
  accountKey: KeyObject,
  binding: { readonly keyId: string; readonly macKey: Buffer; readonly url: string },
): FlatJws {
  const protectedPart = encode({ alg: 'HS256', kid: binding.keyId, url: binding.url });
  const payload = encode(jwkOf(accountKey));
  const signature = createHmac('sha256', binding.macKey).update(`${protectedPart}.${payload}`).digest('base64url');
  return { protected: protectedPart, payload, signature };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

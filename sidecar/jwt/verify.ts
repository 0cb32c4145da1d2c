// Verifies the signature and the claims of a token, by the keys that the operator sent. What a key may be used for is said by the key, never by
// the token (RFC 8725 section 3.1).
import { algorithmsOf, type Claims, type TokenIssuer, type TokenKey } from '../../lib/api/authentication.ts';
import { systemCode } from '../../lib/errors.ts';
import type { TokenFault, UnverifiedToken } from './token.ts';

/** What came of it. Times are milliseconds since 1970, without the skew that is allowed. */
export type Verified =
  | { readonly ok: true; readonly claims: Claims; readonly notBeforeMs: number; readonly expiresMs: number }
  | { readonly ok: false; readonly fault: TokenFault };

type Jose = typeof import('./jose.ts');
type CryptoKey = Awaited<ReturnType<Jose['importJWK']>>;

const imported = new WeakMap<TokenKey, Map<string, CryptoKey>>();

/** Verifies a token of this issuer. Never rejects. */
export async function verify(token: string, said: UnverifiedToken, issuer: TokenIssuer, now: Date): Promise<Verified> {
  const able = issuer.keys.filter((key) => algorithmsOf(key).includes(said.alg));
  const keys = able.filter(({ kid }) => kid === undefined || said.kid === undefined || kid === said.kid);
  let fault: TokenFault = able.length === 0 && issuer.keys.length > 0 ? 'algorithm_refused' : 'no_key';
  // Without a kid every key of the issuer that fits is tried; there are at most 32.
  for (const key of keys) {
    const verified = await verifyWith(key, { token, alg: said.alg }, issuer, now);
    if (verified.ok || verified.fault !== 'bad_signature') return verified;
    fault = verified.fault;
  }
  return { ok: false, fault };
}

async function verifyWith(
  key: TokenKey,
  { token, alg }: { readonly token: string; readonly alg: string },
  { issuer, audiences, skewMs }: TokenIssuer,
  now: Date,
): Promise<Verified> {
  try {
    const { jwtVerify, importJWK } = await import('./jose.ts');
    const known = imported.get(key) ?? new Map<string, CryptoKey>();
    imported.set(key, known);
    const crypto = known.get(alg) ?? (await importJWK({ ...key }, alg));
    known.set(alg, crypto);
    const { payload } = await jwtVerify(token, crypto, {
      algorithms: [alg],
      issuer,
      ...(audiences === undefined ? {} : { audience: [...audiences] }),
      clockTolerance: skewMs / 1_000,
      currentDate: now,
      requiredClaims: ['exp'],
    });
    const { nbf = 0, exp = 0 } = payload;
    return { ok: true, claims: payload, notBeforeMs: nbf * 1_000, expiresMs: exp * 1_000 };
  } catch (error) {
    return { ok: false, fault: faultOf(error) };
  }
}

/** By jose's stable codes; what is not known is no more acceptable. */
function faultOf(error: unknown): TokenFault {
  switch (systemCode(error)) {
    case 'ERR_JWT_EXPIRED':
      return 'expired';
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return 'bad_signature';
    case 'ERR_JWT_CLAIM_VALIDATION_FAILED':
      return claimFault(error);
    case 'ERR_JOSE_ALG_NOT_ALLOWED':
    case 'ERR_JOSE_NOT_SUPPORTED':
      return 'algorithm_refused';
    default:
      return 'malformed';
  }
}

function claimFault(error: unknown): TokenFault {
  const { claim, reason } = error as { readonly claim?: unknown; readonly reason?: unknown };
  if (reason !== 'check_failed') return 'bad_claim';
  if (claim === 'nbf') return 'not_yet_valid';
  return claim === 'aud' ? 'other_audience' : 'bad_claim';
}

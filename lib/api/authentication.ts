// End users: which tokens (JWT, RFC 7519) requests may carry, as users write it in TLSPolicy and as a sidecar is told.

/** A header that carries a token. */
export interface TokenHeader {
  readonly name: string;
  /** What stands before the token; the scheme of a credential is compared without regard to case (RFC 9110 section 11.1). */
  readonly prefix?: string;
}

/** Tokens of one issuer as users write them. Exactly one of `jwksUri` and `jwks`. */
export interface JwtSpec {
  /** The `iss` that its tokens have, compared as it is. */
  readonly issuer: string;
  /** One must be in the token's `aud`; absent = whatever the token says. */
  readonly audiences?: readonly string[];
  /** Where its keys are, fetched by the operator. */
  readonly jwksUri?: string;
  /** PEM in base64 by which the server of `jwksUri` is verified. */
  readonly caBundle?: string;
  /** Its keys: a JSON Web Key Set (RFC 7517). */
  readonly jwks?: string;
  readonly fromHeaders?: readonly TokenHeader[];
  /** Whether the application gets the token, too; it does by default. */
  readonly forward?: boolean;
  /** Duration by which the clocks may differ. */
  readonly clockSkew?: string;
}

/** Authentication of end users, beside that of callers by their certificates. */
export interface AuthenticationSpec {
  /** True: a request without a token is refused, and so is what is not read as HTTP on `ports`. */
  readonly required?: boolean;
  /** Container ports where tokens are looked at; absent = all. */
  readonly ports?: readonly number[];
  readonly jwt?: readonly JwtSpec[];
}

/** A public key that signatures of tokens are verified with: of RFC 7517 what is needed for that, and nothing else. */
export interface TokenKey {
  readonly kty: 'RSA' | 'EC' | 'OKP';
  readonly kid?: string;
  /** The one algorithm of the key; absent = those of its kind. */
  readonly alg?: string;
  readonly n?: string;
  readonly e?: string;
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
}

/** Tokens of one issuer as a sidecar is told. */
export interface TokenIssuer {
  readonly issuer: string;
  readonly audiences?: readonly string[];
  readonly skewMs: number;
  /** Names in lower case. */
  readonly from: readonly Required<TokenHeader>[];
  /** False: the header is taken out before the application gets the request. */
  readonly forward: boolean;
  /** Empty while none are known: no token of the issuer is accepted then. */
  readonly keys: readonly TokenKey[];
}

/** Form of authentication that this version writes and reads. A reader that finds another accepts no request. */
export const AUTHENTICATION_FORM = 1;

/** Who may be behind the requests to one pod. */
export interface Authentication {
  readonly form: typeof AUTHENTICATION_FORM;
  readonly required: boolean;
  /** Absent = every port. */
  readonly ports?: readonly number[];
  readonly jwt: readonly TokenIssuer[];
}

/** Whether tokens are looked at in requests to a port. */
export function looksForTokens(authentication: Authentication | undefined, port: number): boolean {
  return authentication !== undefined && (authentication.ports?.includes(port) ?? true);
}

/** Whether nothing but requests with tokens may reach a port. */
export function needsTokens(authentication: Authentication | undefined, port: number): boolean {
  return authentication?.required === true && looksForTokens(authentication, port);
}

/** Claims of a token that was verified. */
export type Claims = Readonly<Record<string, unknown>>;

/** Algorithms by which tokens may be signed (RFC 7518, RFC 8037, RFC 9864): asymmetric ones alone. `none` and shared secrets are not among them. */
export const tokenAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

/** The algorithms that a key may be used with: its own, or those of its kind. Empty = none. */
export function algorithmsOf({ kty, crv, alg }: TokenKey): readonly string[] {
  const ofKind = kty === 'RSA' ? tokenAlgorithms.slice(0, 6) : curveAlgorithms(crv);
  return alg === undefined ? ofKind : ofKind.filter((each) => each === alg);
}

function curveAlgorithms(curve: string | undefined): readonly string[] {
  switch (curve) {
    case 'P-256':
      return ['ES256'];
    case 'P-384':
      return ['ES384'];
    case 'P-521':
      return ['ES512'];
    case 'Ed25519':
      return ['EdDSA', 'Ed25519'];
    default:
      return [];
  }
}

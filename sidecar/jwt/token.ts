// What can be said of a token before its signature is verified: whether it has the form of one, which key it wants, and whose it says it is.
// Nothing of it is believed; of its header only `alg`, `kid` and `crit` are looked at, so that a key or an address of one in it (`jwk`, `jku`,
// `x5c`, `x5u`) is as good as absent. Pure.
import { tokenAlgorithms } from '../../lib/api/authentication.ts';

/** Why a token is not accepted. Log field `detail`; callers are never told which. */
export type TokenFault =
  | 'several_tokens' // more than one, in one header or in several
  | 'too_large'
  | 'malformed' // not three parts of base64url with a header and claims in JSON
  | 'algorithm_refused' // none, a shared secret, or one that no key here is for
  | 'critical_header' // asks for an extension to be understood (RFC 7515 section 4.1.11)
  | 'issuer_unknown' // nobody of that name is listed for this header
  | 'no_key' // the issuer has no key that fits
  | 'bad_signature'
  | 'expired'
  | 'not_yet_valid'
  | 'other_audience'
  | 'bad_claim'; // a claim is missing or of the wrong kind

/** What a token says of itself. */
export interface UnverifiedToken {
  readonly alg: string;
  readonly kid: string | undefined;
  readonly issuer: string;
}

/** Longest token, in characters: what fits into a head (32 KiB) beside everything else. */
const longestToken = 16_384;

/** Reads a compact JWS (RFC 7515 section 3.1). */
export function readUnverified(token: string): UnverifiedToken | TokenFault {
  if (token.length > longestToken) return 'too_large';
  const parts = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)$/.exec(token);
  const [, head = '', body = '', signature] = parts ?? [];
  const header = membersOf(head);
  const claims = membersOf(body);
  if (header === undefined || claims === undefined) return 'malformed';
  const { alg, kid, crit } = header;
  if (typeof alg !== 'string' || !tokenAlgorithms.some((each) => each === alg)) return 'algorithm_refused';
  if (crit !== undefined) return 'critical_header';
  if (signature === '' || (kid !== undefined && typeof kid !== 'string')) return 'malformed';
  const { iss } = claims;
  return typeof iss === 'string' ? { alg, kid, issuer: iss } : 'bad_claim';
}

function membersOf(part: string): Readonly<Record<string, unknown>> | undefined {
  if (part === '') return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

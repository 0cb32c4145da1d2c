// What a policy says of end users -> what its pods' sidecars are told. Total: what cannot be read is named as a fault and makes fewer tokens
// acceptable, never more. Keys by URL are looked up; whoever fetches them is elsewhere. Pure.
import {
  AUTHENTICATION_FORM,
  type Authentication,
  type JwtSpec,
  type TokenHeader,
  type TokenIssuer,
  type TokenKey,
} from '../api/authentication.ts';
import { readJwks } from '../api/jwks.ts';
import type { TLSPolicy } from '../api/tlspolicy.ts';
import { formatDuration, parseDuration } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Fault } from './effective.ts';

/** Where a key set is, and by whom its server is verified. */
export interface JwksSource {
  readonly url: string;
  /** PEM in base64; absent = the system's roots. */
  readonly caBundle?: string;
}

/** What came of it. */
export interface CompiledAuthentication {
  /** Undefined = tokens are not looked at. */
  readonly authentication: Authentication | undefined;
  readonly faults: readonly Fault[];
}

/** What a token is looked for where nothing is said (RFC 6750 section 2.1). */
const bearer: Required<TokenHeader> = { name: 'authorization', prefix: 'Bearer ' };

/** Clocks may differ by so much, by default and at most. */
const skew = { usualMs: 60_000, mostMs: 300_000 } as const;

/** What holds for the pods of a policy. `keysAt` has the keys of a source that are known now; undefined = none. */
export function compileAuthentication(
  policy: TLSPolicy | undefined,
  keysAt: (source: JwksSource) => readonly TokenKey[] | undefined,
): CompiledAuthentication {
  const { required = false, ports, jwt = [] } = policy?.spec.authentication ?? {};
  if (jwt.length === 0) return { authentication: undefined, faults: [] };
  const faults: Fault[] = [];
  const issuers = jwt.map((each, index) => {
    const at = `spec.authentication.jwt[${index}]`;
    return compileIssuer(each, keysAt, (field, message) => faults.push({ field: `${at}.${field}`, message }));
  });
  const wanted = ports === undefined || ports.length === 0 ? {} : { ports };
  return { authentication: { form: AUTHENTICATION_FORM, required, ...wanted, jwt: issuers }, faults };
}

/** Where the keys of an issuer are to be fetched; undefined for keys that the policy holds itself. */
export function sourceOf({ jwksUri, caBundle }: JwtSpec): JwksSource | undefined {
  if (jwksUri === undefined) return undefined;
  return caBundle === undefined ? { url: jwksUri } : { url: jwksUri, caBundle };
}

function compileIssuer(
  spec: JwtSpec,
  keysAt: (source: JwksSource) => readonly TokenKey[] | undefined,
  fault: (field: string, message: string) => void,
): TokenIssuer {
  const { issuer, audiences, fromHeaders, forward = true } = spec;
  return {
    issuer,
    ...(audiences === undefined || audiences.length === 0 ? {} : { audiences }),
    skewMs: skewOf(spec, fault),
    from: fromHeaders === undefined || fromHeaders.length === 0 ? [bearer] : fromHeaders.map(headerOf),
    forward,
    keys: keysOf(spec, keysAt, fault),
  };
}

function headerOf({ name, prefix = '' }: TokenHeader): Required<TokenHeader> {
  return { name: name.toLowerCase(), prefix };
}

function keysOf(
  spec: JwtSpec,
  keysAt: (source: JwksSource) => readonly TokenKey[] | undefined,
  fault: (field: string, message: string) => void,
): readonly TokenKey[] {
  const source = sourceOf(spec);
  // That a source has no keys is said where it is fetched.
  if (source !== undefined) return keysAt(source) ?? [];
  const read = readJwks(spec.jwks ?? '');
  if (read.ok) return read.keys;
  fault('jwks', `${read.why}; no token of "${spec.issuer}" is accepted`);
  return [];
}

function skewOf({ clockSkew }: JwtSpec, fault: (field: string, message: string) => void): number {
  if (clockSkew === undefined) return skew.usualMs;
  try {
    const given = parseDuration(clockSkew);
    if (given <= skew.mostMs) return given;
    fault('clockSkew', `${clockSkew} is over ${formatDuration(skew.mostMs)}, which holds`);
    return skew.mostMs;
  } catch (error) {
    fault('clockSkew', `${messageOf(error)}; ${formatDuration(skew.usualMs)} holds`);
    return skew.usualMs;
  }
}

// Reads a JSON Web Key Set (RFC 7517): of its keys those that can verify signatures of tokens, without anything else that stands in them. A
// private key is refused as a whole set: whoever publishes it has lost it. Pure.
import { algorithmsOf, type TokenKey } from './authentication.ts';

/** What a text holds. */
export type Jwks =
  | { readonly ok: true; readonly keys: readonly TokenKey[] /** Keys that were left out. */; readonly leftOut: number }
  | { readonly ok: false; readonly why: string };

/** Largest set that is read, in bytes, and most keys in it: those of public identity providers have 2 to 10 in some 10 KiB. */
export const jwksLimits = { bytes: 131_072, keys: 32 } as const;

/** Modulus of RSA in octets: 2048 to 8192 bits (RFC 7518 section 3.3). */
const rsaOctets = { least: 256, most: 1_024 } as const;

const octetsOfCurve: Readonly<Record<string, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66, Ed25519: 32 };

/** Members that only a private or a shared key has. */
const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'];

type Members = Readonly<Record<string, unknown>>;

/** Reads the text of a set. */
export function readJwks(text: string): Jwks {
  if (Buffer.byteLength(text) > jwksLimits.bytes) return { ok: false, why: `it has over ${jwksLimits.bytes} bytes` };
  const value = parsed(text);
  const list = isObject(value) ? value['keys'] : undefined;
  if (!Array.isArray(list)) return { ok: false, why: 'it is not {"keys": [...]} in JSON' };
  const entries = (list as readonly unknown[]).filter(isObject);
  if (list.length > jwksLimits.keys) return { ok: false, why: `it has over ${jwksLimits.keys} keys` };
  const isSecret = (entry: Members): boolean => entry['kty'] !== 'oct' && secretMembers.some((name) => name in entry);
  if (entries.some(isSecret))
    return { ok: false, why: 'it holds a private key: make a new one, and publish the public half' };
  const keys = entries.flatMap((entry) => readKey(entry) ?? []);
  if (keys.length === 0)
    return { ok: false, why: 'none of its keys can verify a signature with an asymmetric algorithm' };
  return { ok: true, keys, leftOut: list.length - keys.length };
}

/** One key; undefined for what is none that we use. */
export function readKey(entry: unknown): TokenKey | undefined {
  if (!isObject(entry) || !isForSignatures(entry)) return undefined;
  const { kty, kid, alg } = entry;
  const named = {
    ...(typeof kid === 'string' && kid.length <= 512 ? { kid } : {}),
    ...(typeof alg === 'string' ? { alg } : {}),
  };
  const key = kty === 'RSA' ? readRsa(entry, named) : readCurve(entry, named);
  return key === undefined || algorithmsOf(key).length === 0 ? undefined : key;
}

type Named = Pick<TokenKey, 'kid' | 'alg'>;

function readRsa({ n, e }: Members, named: Named): TokenKey | undefined {
  const octets = lengthOf(n);
  if (octets < rsaOctets.least || octets > rsaOctets.most || lengthOf(e) < 1 || lengthOf(e) > 8) return undefined;
  return { kty: 'RSA', ...named, n: n as string, e: e as string };
}

function readCurve({ kty, crv, x, y }: Members, named: Named): TokenKey | undefined {
  if (typeof crv !== 'string' || lengthOf(x) !== octetsOfCurve[crv]) return undefined;
  if (kty === 'OKP') return crv === 'Ed25519' ? { kty, ...named, crv, x: x as string } : undefined;
  if (kty !== 'EC' || crv === 'Ed25519' || lengthOf(y) !== octetsOfCurve[crv]) return undefined;
  return { kty, ...named, crv, x: x as string, y: y as string };
}

/** RFC 7517 sections 4.2 and 4.3. */
function isForSignatures({ use, key_ops: operations }: Members): boolean {
  if (use !== undefined && use !== 'sig') return false;
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'));
}

/** Octets of a base64url text; -1 for what is none. */
function lengthOf(value: unknown): number {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]{1,1400}$/.test(value)) return -1;
  return Buffer.from(value, 'base64url').length;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

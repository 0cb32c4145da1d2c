// What a snapshot says of end users, read so that what this version does not understand lets no request in. Never throws: to refuse the snapshot
// would leave laxer words of before in force. Pure.
import {
  AUTHENTICATION_FORM,
  type Authentication,
  type TokenHeader,
  type TokenIssuer,
} from '../../lib/api/authentication.ts';
import { readKey } from '../../lib/api/jwks.ts';

type Members = Readonly<Record<string, unknown>>;

/** What is in force when it cannot be read: a token is asked for, and there is nobody whose token is accepted. */
const nobody: Authentication = { form: AUTHENTICATION_FORM, required: true, jwt: [] };

const known = ['form', 'required', 'ports', 'jwt'];
const knownOfIssuer = ['issuer', 'audiences', 'skewMs', 'from', 'forward', 'keys'];

/** Who may be behind requests; undefined where nothing is asked. */
export function parseAuthentication(value: unknown): Authentication | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value) || value['form'] !== AUTHENTICATION_FORM || hasOthers(value, known)) return nobody;
  const { required, ports, jwt } = value;
  if (typeof required !== 'boolean' || !Array.isArray(jwt) || !(ports === undefined || isPorts(ports))) return nobody;
  const issuers = (jwt as readonly unknown[]).map(parseIssuer);
  if (issuers.includes(undefined)) return nobody;
  return {
    form: AUTHENTICATION_FORM,
    required,
    ...(ports === undefined ? {} : { ports }),
    jwt: issuers.filter((each) => each !== undefined),
  };
}

function parseIssuer(value: unknown): TokenIssuer | undefined {
  if (!isObject(value) || hasOthers(value, knownOfIssuer)) return undefined;
  const { issuer, audiences, skewMs, from, forward, keys } = value;
  if (typeof issuer !== 'string' || typeof forward !== 'boolean' || !isSkew(skewMs)) return undefined;
  if (!(audiences === undefined || isTexts(audiences)) || !Array.isArray(from) || !Array.isArray(keys))
    return undefined;
  const headers = (from as readonly unknown[]).filter(isHeader);
  if (headers.length !== from.length) return undefined;
  return {
    issuer,
    ...(audiences === undefined ? {} : { audiences }),
    skewMs,
    from: headers.map(({ name, prefix }) => ({ name, prefix })),
    forward,
    // A key of a kind that is not known here verifies nothing.
    keys: (keys as readonly unknown[]).flatMap((key) => readKey(key) ?? []),
  };
}

function isHeader(value: unknown): value is Required<TokenHeader> {
  return isObject(value) && typeof value['name'] === 'string' && typeof value['prefix'] === 'string';
}

function isSkew(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 300_000;
}

function isPorts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'number');
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function hasOthers(value: Members, names: readonly string[]): boolean {
  return Object.keys(value).some((name) => !names.includes(name));
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

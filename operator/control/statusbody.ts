// The body of POST /v1/status, read strictly: it comes from a pod, and what it says ends up in the status of a TLSPolicy.
// Members that are not known are ignored, so that a newer sidecar can speak to this operator. Pure.
import type { RuleHits } from '../../lib/api/authorization.ts';
import type { CallerSeen, RequestSeen, StatusReport } from '../../lib/api/control.ts';
import { hostShape } from '../../lib/api/requestshape.ts';
import { parseSpiffeId } from '../../lib/pki/identity.ts';
import { canonicalAddress } from '../mesh/address.ts';

/** The outcome; `problem` says which member is wrong and what is accepted. */
export type StatusBody =
  | { readonly ok: true; readonly report: StatusReport }
  | { readonly ok: false; readonly problem: string };

/** Most entries of `plaintext` in one report. */
export const maximumPlaintext = 256;

/** A JSON object. */
export type Members = Readonly<Record<string, unknown>>;

const forms = {
  podName: /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/,
  podUid: /^[A-Za-z0-9-]{1,64}$/,
  selfVersion: /^[\x21-\x7e]{0,128}$/,
  bundleFingerprint: /^(?:[0-9a-f]{64})?$/,
  serial: /^[0-9A-F]{0,40}$/,
  notAfter: /^(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)?$/,
} as const;

/** Reads a body. */
export function parseStatusBody(text: string): StatusBody {
  const value = parseJson(text);
  return value === undefined ? { ok: false, problem: 'the body is not JSON' } : readStatus(value);
}

/** The value of a JSON text; undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Reads a report that was parsed already. */
export function readStatus(value: unknown): StatusBody {
  if (!isObject(value)) return { ok: false, problem: 'the body is not an object' };
  const texts = readTexts(value);
  if (typeof texts === 'string') return { ok: false, problem: texts };
  const plaintext = readPlaintext(value['plaintext']);
  if (typeof plaintext === 'string') return { ok: false, problem: plaintext };
  const revocations = value['revocations'];
  if (revocations !== undefined && !isWithin(revocations, Number.MAX_SAFE_INTEGER, 0)) {
    return { ok: false, problem: 'revocations is not a whole number' };
  }
  const challenges = readChallenges(value['challenges']);
  if (typeof challenges === 'string') return { ok: false, problem: challenges };
  const authorities = readAuthorities(value['authorities']);
  if (typeof authorities === 'string') return { ok: false, problem: authorities };
  const seen = revocations === undefined ? {} : { revocations };
  const signer = readSigner(value['issuerKeyId']);
  if (typeof signer === 'string') return { ok: false, problem: signer };
  const rules = readRules(value['authorization'], value['rules']);
  if (typeof rules === 'string') return { ok: false, problem: rules };
  const tokens = readForm(value['authentication']);
  if (typeof tokens === 'string') return { ok: false, problem: tokens };
  const callers = readCallers(value['callers']);
  if (typeof callers === 'string') return { ok: false, problem: callers };
  const wanted = readWanted(value['keysWanted']);
  if (typeof wanted === 'string') return { ok: false, problem: wanted };
  const requests = readRequests(value['requests']);
  if (typeof requests === 'string') return { ok: false, problem: requests };
  const applied = { ...texts, ...signer, ...authorities, ...seen, ...challenges };
  return { ok: true, report: { ...applied, ...rules, ...tokens, ...wanted, ...callers, ...requests, plaintext } };
}

function readRules(form: unknown, rules: unknown): Pick<StatusReport, 'authorization' | 'rules'> | string {
  if (form !== undefined && !isWithin(form, 2 ** 16)) return 'authorization is not a form of rules';
  const authorization = form === undefined ? {} : { authorization: form };
  if (rules === undefined) return authorization;
  if (!Array.isArray(rules) || rules.length > maximumPlaintext || !(rules as readonly unknown[]).every(isRuleHits)) {
    return `rules is not a list of at most ${maximumPlaintext} entries {name, outcome: allowed|denied|audited, count: > 0}`;
  }
  return { ...authorization, rules: rules.map(({ name, outcome, count }) => ({ name, outcome, count })) };
}

function readForm(form: unknown): Pick<StatusReport, 'authentication'> | string {
  if (form === undefined) return {};
  return isWithin(form, 2 ** 16) ? { authentication: form } : 'authentication is not a form of it';
}

/** As many issuers as a policy may list, with names as long as they may be. */
function readWanted(value: unknown): Pick<StatusReport, 'keysWanted'> | string {
  if (value === undefined) return {};
  const fits = (each: unknown): each is string => typeof each === 'string' && each !== '' && each.length <= 512;
  if (!Array.isArray(value) || value.length > 8 || !value.every(fits)) return 'keysWanted is not a list of issuers';
  return { keysWanted: value };
}

function readCallers(value: unknown): Pick<StatusReport, 'callers'> | string {
  if (value === undefined) return {};
  if (!Array.isArray(value) || value.length > maximumPlaintext || !(value as readonly unknown[]).every(isCaller)) {
    return `callers is not a list of at most ${maximumPlaintext} entries {identity: SPIFFE ID or empty, port: 1-65535, count: > 0}`;
  }
  return { callers: value.map(({ identity, port, count }) => ({ identity, port, count })) };
}

function readRequests(value: unknown): Pick<StatusReport, 'requests'> | string {
  if (value === undefined) return {};
  if (!Array.isArray(value) || value.length > maximumPlaintext || !(value as readonly unknown[]).every(isRequest)) {
    return `requests is not a list of at most ${maximumPlaintext} entries {identity, port, method, host, path, count}`;
  }
  const requests = value.map(({ identity, port, method, host, path, count }) => ({
    identity,
    port,
    method,
    count,
    ...(host === undefined ? {} : { host }),
    ...(path === undefined ? {} : { path }),
  }));
  return { requests };
}

const methodForm = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/;
const pathForm = /^\/[!->@-~]{0,255}$/;

/** Methods are tokens (RFC 9110 section 5.6.2); a path holds no query. */
function isRequest(value: unknown): value is RequestSeen {
  if (!isCaller(value)) return false;
  const { method, host, path } = value as unknown as Members;
  const isMethod = typeof method === 'string' && methodForm.test(method);
  const isHost = host === undefined || (typeof host === 'string' && hostShape(host) !== undefined);
  return isMethod && isHost && (path === undefined || (typeof path === 'string' && pathForm.test(path)));
}

function isCaller(value: unknown): value is CallerSeen {
  if (!isObject(value)) return false;
  const { identity, port, count } = value;
  const isName = identity === '' || (typeof identity === 'string' && parseSpiffeId(identity) !== undefined);
  return isName && isWithin(port, 65_535) && isWithin(count, 2 ** 32);
}

/** The names of baselines, which stand before those of their rules, may have dots. */
const ruleName = /^[a-z0-9./-]{0,317}$/;

function isRuleHits(value: unknown): value is RuleHits {
  if (!isObject(value)) return false;
  const { name, outcome, count } = value;
  const isOutcome = outcome === 'allowed' || outcome === 'denied' || outcome === 'audited';
  return isOutcome && typeof name === 'string' && ruleName.test(name) && isWithin(count, 2 ** 32);
}

/** SHA-256 of the CAs in the bundle, of which there are at most a hundred (lib/pki/bundle.ts). */
function readAuthorities(value: unknown): Pick<StatusReport, 'authorities'> | string {
  if (value === undefined) return {};
  const fits = (each: unknown): each is string => typeof each === 'string' && /^[0-9a-f]{64}$/.test(each);
  if (!Array.isArray(value) || value.length > 100 || !value.every(fits)) return 'authorities is not a list of SHA-256';
  return { authorities: value };
}

function readSigner(value: unknown): Pick<StatusReport, 'issuerKeyId'> | string {
  if (value === undefined) return {};
  if (typeof value !== 'string' || !/^[0-9A-F]{2,128}$/.test(value)) return 'issuerKeyId is not upper-case hex';
  return { issuerKeyId: value };
}

/** Tokens of ACME (RFC 8555 section 8.3). */
function readChallenges(value: unknown): Pick<StatusReport, 'challenges'> | string {
  if (value === undefined) return {};
  const fits = (each: unknown): each is string => typeof each === 'string' && /^[A-Za-z0-9_-]{1,256}$/.test(each);
  if (!Array.isArray(value) || value.length > 200 || !value.every(fits)) return 'challenges is not a list of tokens';
  return { challenges: value };
}

function readTexts(members: Members): Record<keyof typeof forms, string> | string {
  const read = { podName: '', podUid: '', selfVersion: '', bundleFingerprint: '', serial: '', notAfter: '' };
  for (const name of Object.keys(read) as (keyof typeof forms)[]) {
    const value = members[name];
    if (typeof value !== 'string' || !forms[name].test(value))
      return `${name} is not text of the form ${forms[name].source}`;
    read[name] = value;
  }
  return read;
}

function readPlaintext(value: unknown): StatusReport['plaintext'] | string {
  if (!Array.isArray(value)) return 'plaintext is not a list';
  if (value.length > maximumPlaintext) return `plaintext has over ${maximumPlaintext} entries`;
  const entries: StatusReport['plaintext'][number][] = [];
  for (const each of value as readonly unknown[]) {
    const entry = isObject(each) ? readEntry(each) : undefined;
    if (entry === undefined)
      return 'an entry of plaintext is not {address: IP, port: 1-65535, count: > 0, refused: boolean}';
    entries.push(entry);
  }
  return entries;
}

function readEntry({ address, port, count, refused }: Members): StatusReport['plaintext'][number] | undefined {
  const ip = typeof address === 'string' ? canonicalAddress(address) : undefined;
  if (ip === undefined || !isWithin(port, 65_535) || !isWithin(count, 2 ** 32) || typeof refused !== 'boolean') {
    return undefined;
  }
  return { address: ip, port, count, refused };
}

function isWithin(value: unknown, most: number, least: number = 1): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

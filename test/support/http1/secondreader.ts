// Readers of heads and of chunks that share nothing with the product's: made of strings and regular expressions, by the grammar of RFC 9112 and the rules of
// docs/http.md. Slow, and for tests alone.

/** What a head says; nothing, when it is refused. */
export interface Said {
  readonly ok: boolean;
  readonly method?: string;
  readonly target?: string;
  readonly host?: string;
  readonly body?: string;
  readonly length?: number;
  readonly last?: boolean;
  readonly upgrade?: boolean;
}

/** It is refused. */
export const refused: Said = { ok: false };
const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]";
const text = '[\\t\\x20-\\x7e\\x80-\\xff]';
const requestLine = new RegExp(`^(${token}{1,32}) ([\\x21-\\x7e]+) HTTP/1\\.([01])$`);
const fieldLine = new RegExp(`^(${token}+):(${text}*)$`);
const hostForm = /^(?:\[[0-9a-f:.]{2,45}\]|[-._~%!$&'*+=a-z0-9]+)(?::\d{0,5})?$/i;

interface Section {
  readonly all: (name: string) => readonly string[];
  readonly tokens: (name: string) => readonly string[];
}

/** Names in lower case with their values; undefined when a line is none. */
function sectionOf(lines: readonly string[], strict: boolean): Section | undefined {
  const found: [string, string][] = [];
  for (const each of lines) {
    const match = fieldLine.exec(each);
    if (match === null || (strict && match[1]?.includes('_') === true)) return undefined;
    found.push([(match[1] ?? '').toLowerCase(), (match[2] ?? '').replace(/^[ \t]+|[ \t]+$/g, '')]);
  }
  const all = (wanted: string) => found.filter(([one]) => one === wanted).map(([, other]) => other);
  const tokens = (wanted: string) =>
    all(wanted).flatMap((each) => each.split(',').map((one) => one.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase()));
  return { all, tokens };
}

/** What the fields say of the body, or that they may not say it. */
function framingOf(
  { all, tokens }: Section,
  minor: string,
): { readonly chunked: boolean; readonly length: number } | undefined {
  const lengths = all('content-length');
  const codings = all('transfer-encoding');
  if (lengths.length > 1 || codings.length > 1 || (lengths.length > 0 && codings.length > 0)) return undefined;
  if (lengths.some((each) => !/^\d{1,15}$/.test(each)) || codings.some((each) => each.toLowerCase() !== 'chunked'))
    return undefined;
  const guarded = [
    'host',
    'content-length',
    'transfer-encoding',
    'authorization',
    'cookie',
    'client-cert',
    'client-cert-chain',
    'x-forwarded-client-cert',
  ];
  if (tokens('connection').some((each) => guarded.includes(each))) return undefined;
  if (codings.length > 0 && minor === '0') return undefined;
  return { chunked: codings.length > 0, length: lengths.length > 0 ? Number(lengths[0]) : -1 };
}

/** A request's head by its octets. */
export function requestBy(octets: string): Said {
  const [start = '', ...lines] = octets.slice(0, -4).split('\r\n');
  const [, method = '', target = '', minor] = requestLine.exec(start) ?? [];
  const section = sectionOf(lines, true);
  if (minor === undefined || section === undefined || /["#<>\\]/.test(target)) return refused;
  const framing = framingOf(section, minor);
  const host = hostBy(section, { method, target, minor });
  if (framing === undefined || host === undefined) return refused;
  const isConnect = method === 'CONNECT';
  if (isConnect && (framing.chunked || framing.length > 0)) return refused;
  return {
    ok: true,
    method,
    target,
    host,
    body: framing.chunked ? 'chunked' : framing.length > 0 ? 'length' : 'none',
    length: Math.max(0, framing.length),
    last: closes(section, minor),
    upgrade: minor === '1' && offers(section),
  };
}

/** For whom a request is; undefined when that is not clear. */
function hostBy(
  { all }: Section,
  { method, target, minor }: { readonly method: string; readonly target: string; readonly minor: string },
): string | undefined {
  const hosts = all('host').map((each) => each.toLowerCase());
  const named = authorityOf(method, target);
  if (hosts.length > 1 || (hosts.length === 0 && minor === '1') || named === undefined) return undefined;
  const [host] = hosts;
  if (host === undefined) return named[0] ?? '';
  const agrees = named.length === 0 || named.includes(host);
  return agrees && hostForm.test(host) ? host : undefined;
}

function closes({ tokens }: Section, minor: string): boolean {
  const options = tokens('connection');
  return options.includes('close') || (minor === '0' && !options.includes('keep-alive'));
}

function offers({ tokens }: Section): boolean {
  const offered = tokens('upgrade').filter((each) => each !== '');
  const isHttp2 = offered.some((each) => /^h2c(?:\/|$)/.test(each));
  return tokens('connection').includes('upgrade') && offered.length > 0 && !isHttp2;
}

/** Spellings of the host that a target names: none for a path; undefined where it has a form that the method may not have. */
function authorityOf(method: string, target: string): readonly string[] | undefined {
  if (method === 'CONNECT') {
    const port = Number(/:(\d+)$/.exec(target)?.[1] ?? 0);
    if (!hostForm.test(target) || port < 1 || port > 65_535) return undefined;
    const lower = target.toLowerCase();
    return [lower.replace(/:(?:80|443)$/, ''), lower];
  }
  if (target.startsWith('/')) return [];
  if (target === '*') return method === 'OPTIONS' ? [] : undefined;
  const [, named] = /^https?:\/\/([^/?]+)/i.exec(target) ?? [];
  return named !== undefined && hostForm.test(named) ? [named.toLowerCase()] : undefined;
}

/** An answer's head by its octets, and what was asked. */
export function responseBy(octets: string, asked: string): Said {
  const [start = '', ...lines] = octets.slice(0, -4).split('\r\n');
  const [, minor, digits = ''] = new RegExp(`^HTTP/1\\.([01]) ([1-5]\\d\\d)(?: ${text}*)?$`).exec(start) ?? [];
  const section = sectionOf(lines, false);
  // What HTTP/1.0 says of codings counts only where there is a body.
  const framing = section === undefined ? undefined : framingOf(section, '1');
  if (minor === undefined || section === undefined || framing === undefined) return refused;
  const status = Number(digits);
  const kind = (): string => {
    if (status === 101 || (asked === 'CONNECT' && status >= 200 && status < 300)) return 'tunnel';
    if (status < 200 || status === 204 || status === 304 || asked === 'HEAD') return 'none';
    if (framing.chunked) return 'chunked';
    return framing.length > 0 ? 'length' : framing.length === 0 ? 'none' : 'until_close';
  };
  if (kind() === 'chunked' && minor === '0') return refused;
  return {
    ok: true,
    body: kind(),
    length: kind() === 'length' ? framing.length : 0,
    last: closes(section, minor) || kind() === 'until_close',
  };
}

const guardedTrailers =
  /^(?:content[-_]length|transfer[-_]encoding|host|trailer|te|connection|client[-_]cert|client[-_]cert[-_]chain|x[-_]forwarded[-_]client[-_]cert)$/i;

/** Where chunks end in the octets; undefined when they do not, or are none. */
export function chunksBy(octets: string): number | undefined {
  const size = new RegExp(`^([0-9a-f]{1,13})(?:;${text}*)?\\r\\n`, 'i');
  let at = 0;
  for (;;) {
    const [whole = '', digits] = size.exec(octets.slice(at)) ?? [];
    if (digits === undefined) return undefined;
    at += whole.length;
    const length = Number.parseInt(digits, 16);
    if (length === 0) return trailersBy(octets, at);
    if (octets.slice(at + length, at + length + 2) !== '\r\n') return undefined;
    at += length + 2;
  }
}

function trailersBy(octets: string, from: number): number | undefined {
  let at = from;
  for (;;) {
    const end = octets.indexOf('\r\n', at);
    if (end === -1) return undefined;
    if (end === at) return at + 2;
    const match = fieldLine.exec(octets.slice(at, end));
    if (match === null || guardedTrailers.test(match[1] ?? '')) return undefined;
    at = end + 2;
  }
}

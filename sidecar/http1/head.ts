// Request and response heads (RFC 9112 sections 3 and 4), read in place once all of a head is there. A reader is reused for every message
// of its connection: what it holds is of the last head.
import { Fields, type HeadLimits, type Rule, type Span } from './fields.ts';
import { hostOctet, octet, targetOctet, tokenOctet, valueOctet } from './octets.ts';
import type { WatchedNames } from './watched.ts';

/** How a body ends (RFC 9112 section 6.3). `length` comes with the number of octets. */
export type BodyKind = 'none' | 'length' | 'chunked' | 'until_close' | 'tunnel';

const blankLine = Buffer.from('\r\n\r\n', 'latin1');

/**
 * Offset behind the blank line that ends a head, -1 when it is not there yet. `seen`: octets that an earlier look has been through already, so
 * that one octet at a time does not cost the square of them.
 */
export function headEnd(bytes: Buffer, start: number, seen: number): number {
  const found = bytes.indexOf(blankLine, Math.max(start, seen - 3));
  return found === -1 ? -1 : found + 4;
}

/** The head of a request. */
export class RequestHead {
  readonly fields: Fields;
  method = '';
  /** As sent. */
  target = '';
  minor: 0 | 1 = 1;
  body: BodyKind = 'none';
  /** Octets of the body when its kind is `length`. */
  length = 0;
  /** The client wants the connection to end after this exchange. */
  last = false;

  /** Host field in lower case with its port, as sent; empty without one. */
  host = '';
  /** Where it stands in the octets that it was read from, `end` exclusive. */
  readonly span: Span = { start: 0, end: 0 };

  constructor(watched?: WatchedNames) {
    this.fields = new Fields(watched);
  }

  /** Reads the head in [start, end). Returns the rule that is broken, or undefined. */
  read(bytes: Buffer, start: number, end: number, limits: HeadLimits): Rule | undefined {
    if (end - start > limits.octets) return tooLarge(bytes, start, limits);
    this.span.start = start;
    this.span.end = end;
    const line = this.#requestLine(bytes, start);
    if (typeof line !== 'number') return line;
    const { fields } = this;
    return fields.read(bytes, line, end, limits) ?? this.#host(bytes) ?? this.#framing();
  }

  /** Exactly `method SP target SP HTTP/1.x CRLF`. The offset behind it, or the rule that is broken. */
  #requestLine(bytes: Buffer, start: number): number | Rule {
    let at = start;
    while (tokenOctet[bytes[at] ?? 0] === 1) at += 1;
    if (at === start || at - start > 32 || bytes[at] !== octet.blank) return 'bad_request_line';
    this.method = bytes.toString('latin1', start, at);
    const from = at + 1;
    at = from;
    while (targetOctet[bytes[at] ?? 0] === 1) at += 1;
    if (at === from) return 'bad_request_line';
    if (bytes[at] !== octet.blank) return bytes[at] === octet.cr ? 'bad_version' : 'bad_target';
    this.target = bytes.toString('latin1', from, at);
    const minor = minorOf(bytes, at + 1);
    if (minor < 0) return bytes[at + 1] === octet.blank ? 'bad_request_line' : 'bad_version';
    this.minor = minor === 1 ? 1 : 0;
    if (bytes[at + 9] !== octet.cr || bytes[at + 10] !== octet.lf) return 'bad_request_line';
    return at + 11;
  }

  /** RFC 9112 section 3.2: one Host, well formed. */
  #host(bytes: Buffer): Rule | undefined {
    const { fields } = this;
    const { start, end } = fields.host;
    if (fields.hosts > 1) return 'repeated_host';
    if (fields.hosts === 0 && this.minor === 1) return 'missing_host';
    for (let at = start; at < end; at += 1) if (hostOctet[bytes[at] ?? 0] === 0) return 'bad_host';
    this.host = bytes.toString('latin1', start, end).toLowerCase();
    if (fields.hosts === 1 && !isAuthority(this.host)) return 'bad_host';
    return this.#form();
  }

  /** RFC 9112 section 3.2.1 to 3.2.4: a form of target that the method may have, and the same host as in Host when it names one. */
  #form(): Rule | undefined {
    const { target, method } = this;
    if (method === 'CONNECT') {
      const isTarget = isAuthority(target) && isPort(/:(\d+)$/.exec(target)?.[1]);
      return isTarget ? this.#agrees(target.toLowerCase().replace(/:(?:80|443)$/, ''), target) : 'bad_target';
    }
    if (target.charCodeAt(0) === 0x2f) return undefined;
    if (target === '*') return method === 'OPTIONS' ? undefined : 'bad_target';
    const authority = /^https?:\/\/([^/?]+)/i.exec(target)?.[1];
    return authority !== undefined && isAuthority(authority) ? this.#agrees(authority) : 'bad_target';
  }

  /** Host is one of these spellings; without a Host the target says it. */
  #agrees(...spellings: readonly string[]): Rule | undefined {
    const [first = '', ...more] = spellings.map((each) => each.toLowerCase());
    if (this.fields.hosts === 0) this.host = first;
    return [first, ...more].includes(this.host) ? undefined : 'host_differs_from_target';
  }

  #framing(): Rule | undefined {
    const { fields, minor, method } = this;
    if (fields.chunked && minor === 0) return 'transfer_encoding_in_http_1_0';
    // RFC 9110 sections 7.8 and 10.1.1: HTTP/1.0 knows neither.
    if (minor === 0) fields.upgrade = fields.expectContinue = false;
    this.last = fields.close || (minor === 0 && !fields.keepAlive);
    this.length = Math.max(fields.contentLength, 0);
    if (method === 'CONNECT') {
      // RFC 9110 section 9.3.6: what follows is the tunnel's; a body would be read as that by one and as a body by another.
      if (fields.chunked || fields.contentLength > 0) return 'bad_content_length';
      this.body = 'none';
    } else if (fields.chunked) this.body = 'chunked';
    else this.body = this.length > 0 ? 'length' : 'none';
    return undefined;
  }
}

/** The head of a response. */
export class ResponseHead {
  readonly fields: Fields;
  status = 0;
  minor: 0 | 1 = 1;
  body: BodyKind = 'none';
  length = 0;
  /** The connection ends after this exchange. */
  last = false;

  constructor(watched?: WatchedNames) {
    this.fields = new Fields(watched);
  }

  /** Reads the head in [start, end), the answer to a request of `method`. Returns the rule that is broken, or undefined. */
  read(
    bytes: Buffer,
    start: number,
    end: number,
    of: { readonly method: string; readonly limits: HeadLimits },
  ): Rule | undefined {
    if (end - start > of.limits.octets) return 'head_too_large';
    const line = this.#statusLine(bytes, start);
    if (typeof line !== 'number') return line;
    return this.fields.read(bytes, line, end, of.limits) ?? this.#framing(of.method);
  }

  /** 1xx but 101: the final head is still to come. */
  get interim(): boolean {
    return this.status < 200 && this.status !== 101;
  }

  #statusLine(bytes: Buffer, start: number): number | Rule {
    const minor = minorOf(bytes, start);
    if (minor < 0) return 'bad_version';
    this.minor = minor === 1 ? 1 : 0;
    let status = 0;
    for (let at = start + 9; at < start + 12; at += 1) {
      const digit = (bytes[at] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) return 'bad_status_line';
      status = status * 10 + digit;
    }
    if (bytes[start + 8] !== octet.blank || status < 100 || status > 599) return 'bad_status_line';
    this.status = status;
    let at = start + 12;
    // The blank before a missing reason phrase is left out by many servers.
    if (bytes[at] !== octet.blank && bytes[at] !== octet.cr) return 'bad_status_line';
    while (valueOctet[bytes[at] ?? 0] === 1) at += 1;
    return bytes[at] === octet.cr && bytes[at + 1] === octet.lf ? at + 2 : 'bare_line_ending';
  }

  /** RFC 9112 section 6.3 in its order. */
  #framing(method: string): Rule | undefined {
    const { fields, status, minor } = this;
    this.last = fields.close || (minor === 0 && !fields.keepAlive);
    this.length = 0;
    if (status === 101 || (method === 'CONNECT' && status >= 200 && status < 300)) this.body = 'tunnel';
    else if (status < 200 || status === 204 || status === 304 || method === 'HEAD') this.body = 'none';
    else if (fields.chunked) {
      if (minor === 0) return 'transfer_encoding_in_http_1_0';
      this.body = 'chunked';
    } else if (fields.contentLength >= 0) {
      this.length = fields.contentLength;
      this.body = this.length > 0 ? 'length' : 'none';
    } else {
      this.body = 'until_close';
      this.last = true;
    }
    return undefined;
  }
}

/** Which part of a request's head is longer than the limits say; all of it may not be there. */
export function tooLarge(bytes: Buffer, start: number, { octets }: Pick<HeadLimits, 'octets'>): Rule {
  const line = bytes.indexOf(octet.lf, start);
  return line === -1 || line - start >= octets ? 'target_too_long' : 'head_too_large';
}

/** Minor version of `HTTP/1.x` at an offset, -1 when something else stands there. */
function minorOf(bytes: Buffer, at: number): number {
  // The name is case-sensitive (RFC 9112 section 2.3).
  for (let index = 0; index < version.length; index += 1) if (bytes[at + index] !== version[index]) return -1;
  const minor = (bytes[at + 7] ?? 0) - 0x30;
  return minor === 0 || minor === 1 ? minor : -1;
}

const version = Buffer.from('HTTP/1.', 'latin1');

function isPort(digits: string | undefined): boolean {
  const port = Number(digits ?? 0);
  return port > 0 && port <= 65_535;
}

/** `host[:port]` of RFC 3986 section 3.2, without user information. */
function isAuthority(text: string): boolean {
  return /^(?:\[[0-9a-f:.]{2,45}\]|[^:[\]@/?#,;()]+)(?::\d{0,5})?$/i.test(text);
}

// The field section of an HTTP/1 message as a proxy must know it: framing, Host, Connection; everything else is only checked to be what
// RFC 9110 section 5 and RFC 9112 section 5 allow, so that no two parsers read it differently. Nothing is allocated per message.
import { forwardedNames, isDisguised } from '../headers/plan.ts';
import { octet, tokenOctet, valueOctet } from './octets.ts';
import { isNamed, type WatchedNames } from './watched.ts';

/** What a message may not be. Log field `rule`; docs/http.md says of each what it means. */
export type Rule =
  | 'head_too_large'
  | 'target_too_long'
  | 'too_many_fields'
  | 'bare_line_ending'
  | 'bad_request_line'
  | 'bad_status_line'
  | 'bad_version'
  | 'bad_target'
  | 'bad_host'
  | 'missing_host'
  | 'repeated_host'
  | 'host_differs_from_target'
  | 'bad_field_name'
  | 'bad_field_value'
  | 'folded_field'
  | 'underscore_in_field_name'
  | 'bad_content_length'
  | 'repeated_content_length'
  | 'content_length_with_transfer_encoding'
  | 'bad_transfer_encoding'
  | 'transfer_encoding_in_http_1_0'
  | 'protected_field_in_connection'
  | 'bad_chunk'
  | 'chunk_line_too_long'
  | 'trailers_too_large'
  | 'framing_field_in_trailers'
  | 'unasked_response';

/** Bounds of a message's head. */
export interface HeadLimits {
  /** Octets from the first line to the blank one. */
  readonly octets: number;
  readonly fields: number;
  /**
   * Field names with `_` are refused: CGI and its heirs read them as `-`, so that one name hides behind another. `disguised`: only those behind which
   * a field hides that no client may send.
   */
  readonly refuseUnderscores: boolean | 'disguised';
}

/** Limits unless a policy says otherwise (Envoy and Node bound heads at 60 and 16 KiB). */
export const defaultHeadLimits: HeadLimits = { octets: 32_768, fields: 100, refuseUnderscores: true };

/** Where a field stands in the octets that were read: offsets, `end` exclusive; both zero when it is absent. */
export interface Span {
  start: number;
  end: number;
}

const none: readonly string[] = [];

/** Reads field sections one after the other; what it holds is of the last one. */
export class Fields {
  /** Octets of the body by Content-Length; -1 without one. */
  contentLength = -1;
  chunked = false;
  /** Connection: close or keep-alive was said. */
  close = false;
  keepAlive = false;
  /** Connection: upgrade beside an Upgrade field, and not to HTTP/2. */
  upgrade = false;
  /** What Upgrade names, in lower case and without versions; empty without one. */
  protocols: readonly string[] = none;
  /** Upgrade names HTTP/2 in plaintext (RFC 7540 section 3.2, which RFC 9113 took back). */
  h2c = false;
  expectContinue = false;
  /** Bits of the watched names that are there. */
  seen = 0;
  /** Value of traceparent; absent, too, when it is there more than once (W3C Trace Context section 3.2). */
  readonly traceparent: Span = { start: 0, end: 0 };
  readonly host: Span = { start: 0, end: 0 };
  /** How many Host fields there were. */
  hosts = 0;
  #upgradeOption = false;
  #traceparents = 0;
  #broken: Rule | undefined;
  readonly #watched: WatchedNames | undefined;

  constructor(watched?: WatchedNames) {
    this.#watched = watched;
  }

  /**
   * Reads from the first field line to behind the blank line; all of it is there. Returns the rule that is broken, or undefined.
   * `end` is the offset behind the blank line.
   */
  read(bytes: Buffer, from: number, end: number, limits: HeadLimits): Rule | undefined {
    this.#clear();
    let at = from;
    for (let count = 0; at < end - 2; count += 1) {
      if (count === limits.fields) return 'too_many_fields';
      at = this.#line(bytes, at, limits);
      if (at < 0) return this.#broken;
    }
    this.upgrade = this.protocols.length > 0 && this.#upgradeOption && !this.h2c;
    return undefined;
  }

  #clear(): void {
    this.contentLength = -1;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.upgrade = false;
    this.h2c = false;
    this.expectContinue = false;
    this.seen = 0;
    this.traceparent.start = 0;
    this.traceparent.end = 0;
    this.#traceparents = 0;
    this.host.start = 0;
    this.host.end = 0;
    this.hosts = 0;
    this.protocols = none;
    this.#upgradeOption = false;
  }

  /** Reads one line; the offset of the next one, or -1 when a rule is broken. */
  #line(bytes: Buffer, start: number, limits: HeadLimits): number {
    let at = start;
    let underscore = false;
    for (; tokenOctet[bytes[at] ?? 0] === 1; at += 1) if (bytes[at] === octet.underscore) underscore = true;
    const colon = at;
    if (colon === start || bytes[colon] !== octet.colon) return this.#breaks(nameFault(bytes, start, colon));
    if (underscore && isRefused(bytes, start, colon, limits)) return this.#breaks('underscore_in_field_name');
    for (at += 1; valueOctet[bytes[at] ?? 0] === 1; ) at += 1;
    if (bytes[at] !== octet.cr || bytes[at + 1] !== octet.lf) {
      return this.#breaks(bytes[at] === octet.cr || bytes[at] === octet.lf ? 'bare_line_ending' : 'bad_field_value');
    }
    if (this.#watched !== undefined) this.seen |= this.#watched.bitOf(bytes, start, colon);
    const broken = this.#known(bytes, start, colon, at);
    return broken === undefined ? at + 2 : this.#breaks(broken);
  }

  #breaks(rule: Rule): -1 {
    this.#broken = rule;
    return -1;
  }

  /** Notes the fields that a proxy must know; by length first, since most are none of them. */
  #known(bytes: Buffer, start: number, colon: number, stop: number): Rule | undefined {
    switch (colon - start) {
      case 4:
        return isNamed(bytes, start, 'host') ? this.#host(bytes, colon + 1, stop) : undefined;
      case 6:
        if (isNamed(bytes, start, 'expect'))
          this.expectContinue = includesToken(bytes, colon + 1, stop, '100-continue');
        return undefined;
      case 7:
        if (isNamed(bytes, start, 'upgrade')) this.#upgrade(bytes, colon + 1, stop);
        return undefined;
      case 10:
        return isNamed(bytes, start, 'connection') ? this.#connection(bytes, colon + 1, stop) : undefined;
      case 11:
        if (isNamed(bytes, start, 'traceparent')) this.#trace(bytes, colon + 1, stop);
        return undefined;
      case 14:
        return isNamed(bytes, start, 'content-length') ? this.#length(bytes, colon + 1, stop) : undefined;
      case 17:
        return isNamed(bytes, start, 'transfer-encoding') ? this.#encoding(bytes, colon + 1, stop) : undefined;
      default:
        return undefined;
    }
  }

  #host(bytes: Buffer, start: number, stop: number): undefined {
    this.hosts += 1;
    this.host.start = skipBlanks(bytes, start, stop);
    this.host.end = trimBlanks(bytes, this.host.start, stop);
  }

  #upgrade(bytes: Buffer, start: number, stop: number): void {
    const named = bytes.toString('latin1', start, stop).toLowerCase().split(',');
    this.protocols = [...this.protocols, ...named.map((each) => each.replace(/\/.*/s, '').trim()).filter(Boolean)];
    this.h2c = this.protocols.includes('h2c');
  }

  #trace(bytes: Buffer, start: number, stop: number): void {
    this.#traceparents += 1;
    const once = this.#traceparents === 1;
    this.traceparent.start = once ? skipBlanks(bytes, start, stop) : 0;
    this.traceparent.end = once ? trimBlanks(bytes, this.traceparent.start, stop) : 0;
  }

  /** Connection may take fields away at the next hop: those that say where a message ends or goes must not be among them. */
  #connection(bytes: Buffer, start: number, stop: number): Rule | undefined {
    for (const name of protectedFields)
      if (includesToken(bytes, start, stop, name)) return 'protected_field_in_connection';
    if (includesToken(bytes, start, stop, 'close')) this.close = true;
    if (includesToken(bytes, start, stop, 'keep-alive')) this.keepAlive = true;
    if (includesToken(bytes, start, stop, 'upgrade')) this.#upgradeOption = true;
    return undefined;
  }

  /** Decimal digits and nothing else, once: RFC 9112 section 6.3 would allow equal repeats, parsers disagree about them. */
  #length(bytes: Buffer, start: number, stop: number): Rule | undefined {
    if (this.contentLength >= 0) return 'repeated_content_length';
    const first = skipBlanks(bytes, start, stop);
    const last = trimBlanks(bytes, first, stop);
    if (first === last || last - first > 15) return 'bad_content_length';
    let length = 0;
    for (let at = first; at < last; at += 1) {
      const digit = (bytes[at] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) return 'bad_content_length';
      length = length * 10 + digit;
    }
    this.contentLength = length;
    return this.chunked ? 'content_length_with_transfer_encoding' : undefined;
  }

  /** `chunked` alone: other codings of the transfer are not in use, and where two parsers split them differently requests are smuggled. */
  #encoding(bytes: Buffer, start: number, stop: number): Rule | undefined {
    const first = skipBlanks(bytes, start, stop);
    const last = trimBlanks(bytes, first, stop);
    if (this.chunked || last - first !== 7 || !isNamed(bytes, first, 'chunked')) return 'bad_transfer_encoding';
    this.chunked = true;
    return this.contentLength >= 0 ? 'content_length_with_transfer_encoding' : undefined;
  }
}

/** Of a name with underscores. */
function isRefused(bytes: Buffer, start: number, colon: number, { refuseUnderscores }: HeadLimits): boolean {
  return refuseUnderscores === 'disguised' ? isDisguised(bytes.toString('latin1', start, colon)) : refuseUnderscores;
}

function nameFault(bytes: Buffer, start: number, at: number): Rule {
  const code = bytes[at];
  if (at === start && (code === octet.blank || code === octet.tab)) return 'folded_field';
  const bare = code === octet.lf || (code === octet.cr && bytes[at + 1] !== octet.lf);
  return bare ? 'bare_line_ending' : 'bad_field_name';
}

/** Framing, credentials, and what this proxy says of the client: none of it may be lost on the way. */
const protectedFields = ['host', 'content-length', 'transfer-encoding', 'authorization', 'cookie', ...forwardedNames];

function skipBlanks(bytes: Buffer, start: number, stop: number): number {
  let at = start;
  while (at < stop && (bytes[at] === octet.blank || bytes[at] === octet.tab)) at += 1;
  return at;
}

function trimBlanks(bytes: Buffer, start: number, stop: number): number {
  let at = stop;
  while (at > start && (bytes[at - 1] === octet.blank || bytes[at - 1] === octet.tab)) at -= 1;
  return at;
}

/** The comma-separated list holds this lower-case token, in any case. */
function includesToken(bytes: Buffer, start: number, stop: number, token: string): boolean {
  for (let at = start; at <= stop; ) {
    let end = at;
    while (end < stop && bytes[end] !== octet.comma) end += 1;
    const first = skipBlanks(bytes, at, end);
    if (trimBlanks(bytes, first, end) - first === token.length && isNamed(bytes, first, token)) return true;
    at = end + 1;
  }
  return false;
}

// Field lines of HTTP/2 as a gate sees them: what a name is for a proxy, and what is wrong with a line, looked at once when it comes and not
// again each time that a table's index stands for it (RFC 9113 section 8.2). Pure.
import { tokenOctet, valueOctet } from '../http1/octets.ts';
import type { MessageRule } from './codes.ts';

/** What a proxy has to know a name for. */
export const kinds = {
  ordinary: 0,
  method: 1,
  scheme: 2,
  path: 3,
  authority: 4,
  protocol: 5,
  status: 6,
  /** A pseudo-header that nobody knows. */
  strange: 7,
  host: 8,
  contentLength: 9,
  contentType: 10,
  te: 11,
  trailer: 12,
  /** Connection and its heirs, which HTTP/2 has not (section 8.2.2). */
  connection: 13,
  traceparent: 14,
} as const;

/** Kinds up to this one are pseudo-headers. */
export const LAST_PSEUDO = kinds.strange;
/** What RFC 7541 section 4.1 counts for a line beside its octets. */
const LINE_OVERHEAD = 32;

const known: ReadonlyMap<string, number> = new Map([
  [':method', kinds.method],
  [':scheme', kinds.scheme],
  [':path', kinds.path],
  [':authority', kinds.authority],
  [':protocol', kinds.protocol],
  [':status', kinds.status],
  ['host', kinds.host],
  ['content-length', kinds.contentLength],
  ['content-type', kinds.contentType],
  ['te', kinds.te],
  ['trailer', kinds.trailer],
  ['connection', kinds.connection],
  ['proxy-connection', kinds.connection],
  ['keep-alive', kinds.connection],
  ['transfer-encoding', kinds.connection],
  ['upgrade', kinds.connection],
  ['traceparent', kinds.traceparent],
]);

/** A line. Names and values are Latin-1: a character is an octet. */
export class Field {
  readonly name: string;
  readonly value: string;
  /** One of `kinds`. */
  readonly kind: number;
  /** It may not be in any message. */
  readonly fault: MessageRule | undefined;
  /** No table may ever hold it (RFC 7541 section 7.1.3). */
  readonly secret: boolean;
  /** The name has an underscore: CGI and its heirs take it for a hyphen. */
  readonly ambiguous: boolean;
  readonly size: number;

  /** `of`: a line whose name it has. Without one the name is looked at. */
  constructor(name: string, value: string, of?: { readonly from: Field | undefined; readonly secret: boolean }) {
    this.name = name;
    this.value = value;
    this.kind = of?.from?.kind ?? kindOf(name);
    this.fault = (of?.from === undefined ? nameFault(name, this.kind) : of.from.nameFault) ?? valueFault(value);
    this.secret = of?.secret ?? false;
    this.ambiguous = of?.from?.ambiguous ?? name.includes('_');
    this.size = name.length + value.length + LINE_OVERHEAD;
  }

  /** What is wrong with the name alone. */
  get nameFault(): MessageRule | undefined {
    return this.fault === undefined || this.fault === 'bad_field_value' ? undefined : this.fault;
  }
}

function kindOf(name: string): number {
  return known.get(name) ?? (name.startsWith(':') ? kinds.strange : kinds.ordinary);
}

function nameFault(name: string, kind: number): MessageRule | undefined {
  if (kind === kinds.strange) return 'bad_pseudo_field';
  if (kind !== kinds.ordinary) return kind === kinds.connection ? 'connection_field' : undefined;
  if (name === '') return 'bad_field_name';
  for (let at = 0; at < name.length; at += 1) {
    const code = name.charCodeAt(at);
    if (code >= 0x41 && code <= 0x5a) return 'uppercase_field_name';
    if (tokenOctet[code] !== 1) return 'bad_field_name';
  }
  return undefined;
}

/** Section 8.2.1: nothing that HTTP/1.1 could not carry, no blanks around it. */
function valueFault(value: string): MessageRule | undefined {
  if (value === '') return undefined;
  if (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1))) return 'bad_field_value';
  for (let at = 0; at < value.length; at += 1) if (valueOctet[value.charCodeAt(at)] !== 1) return 'bad_field_value';
  return undefined;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

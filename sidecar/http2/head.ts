// Heads of HTTP/2 messages (RFC 9113 sections 8.2 and 8.3) out of their field lines: what rules ask for, and whatever makes a message
// malformed, with the same words as for HTTP/1.1. A reader is reused: what it holds is of the last head.
import { isDisguised } from '../headers/plan.ts';
import type { HeadLimits } from '../http1/fields.ts';
import { hostOctet, targetOctet, tokenOctet } from '../http1/octets.ts';
import type { MessageRule } from './codes.ts';
import { type Field, kinds, LAST_PSEUDO } from './field.ts';

const LONGEST_METHOD = 32;

/** The head of a request. */
export class RequestHead {
  method = '';
  /** As sent, with its query; of CONNECT the authority. */
  target = '';
  /** In lower case with its port, as sent. */
  host = '';
  /** Octets of the body by Content-Length, -1 without one. */
  contentLength = -1;
  /** It is a call of gRPC. */
  grpc = false;
  /** W3C Trace Context; undefined, too, when it is there more than once (section 3.2). */
  traceparent: string | undefined;
  fields: readonly Field[] = [];
  #scheme = '';
  #path = '';
  #authority: string | undefined;
  #hostField: string | undefined;
  #seen = 0;
  #ambiguous = false;
  #traces = 0;

  /**
   * Reads the lines. Returns the rule that is broken, or undefined. `connectProtocol`: the application has allowed extended CONNECT.
   * `refuseUnderscores`: see HeadLimits.
   */
  read(
    fields: readonly Field[],
    { connectProtocol }: { readonly connectProtocol: boolean },
    refuseUnderscores: HeadLimits['refuseUnderscores'],
  ): MessageRule | undefined {
    this.#clear(fields);
    let ordinary = false;
    for (const field of fields) {
      const { kind, fault } = field;
      if (fault !== undefined) return fault;
      if (kind > LAST_PSEUDO) {
        ordinary = true;
        const broken = this.#known(field);
        if (broken !== undefined) return broken;
      } else if (kind === kinds.ordinary) {
        ordinary = true;
        if (field.ambiguous && (refuseUnderscores === true || isDisguised(field.name))) this.#ambiguous = true;
      } else if (ordinary || !this.#pseudo(field)) return 'bad_pseudo_field';
    }
    // Metadata of gRPC may have underscores (its specification, "Requests"), and CGI has no part in it.
    if (this.#ambiguous && !this.grpc) return 'underscore_in_field_name';
    return this.#form(connectProtocol) ?? this.#agreed();
  }

  /** All values of a field, as sent. */
  values(name: string): readonly string[] {
    return this.fields.filter((field) => field.name === name).map(({ value }) => value);
  }

  #clear(fields: readonly Field[]): void {
    this.fields = fields;
    this.method = '';
    this.target = '';
    this.host = '';
    this.contentLength = -1;
    this.grpc = false;
    this.traceparent = undefined;
    this.#traces = 0;
    this.#scheme = '';
    this.#path = '';
    this.#authority = undefined;
    this.#hostField = undefined;
    this.#seen = 0;
    this.#ambiguous = false;
  }

  /** False: there is another one, or requests have none such. */
  #pseudo({ kind, value }: Field): boolean {
    if (this.#has(kind)) return false;
    this.#seen |= 1 << kind;
    switch (kind) {
      case kinds.method:
        this.method = value;
        return true;
      case kinds.scheme:
        this.#scheme = value;
        return true;
      case kinds.path:
        this.#path = value;
        return true;
      case kinds.authority:
        this.#authority = value;
        return true;
      case kinds.protocol:
        return true;
      default:
        return false;
    }
  }

  #known({ kind, value }: Field): MessageRule | undefined {
    switch (kind) {
      case kinds.host:
        if (this.#hostField !== undefined) return 'repeated_host';
        this.#hostField = value;
        return undefined;
      case kinds.contentLength:
        if (this.contentLength >= 0) return 'repeated_content_length';
        if (!/^\d{1,15}$/.test(value)) return 'bad_content_length';
        this.contentLength = Number(value);
        return undefined;
      case kinds.contentType:
        this.grpc = isGrpc(value);
        return undefined;
      case kinds.traceparent:
        this.#traces += 1;
        this.traceparent = this.#traces === 1 ? value : undefined;
        return undefined;
      case kinds.te:
        return value.toLowerCase() === 'trailers' ? undefined : 'bad_te';
      default:
        return undefined;
    }
  }

  /** Sections 8.3.1 and 8.5, RFC 8441 section 4: which pseudo-headers there must be, and what they may hold. */
  #form(connectProtocol: boolean): MessageRule | undefined {
    const { method } = this;
    if (!this.#has(kinds.method)) return 'bad_pseudo_field';
    if (method === '' || method.length > LONGEST_METHOD || !isAll(method, tokenOctet)) return 'bad_method';
    const isExtended = this.#has(kinds.protocol);
    if (method === 'CONNECT' && !isExtended) return this.#connect();
    if (isExtended && (method !== 'CONNECT' || !connectProtocol)) return 'bad_pseudo_field';
    if (!this.#has(kinds.path) || !this.#has(kinds.scheme)) return 'bad_pseudo_field';
    if (this.#scheme !== 'http' && this.#scheme !== 'https') return 'bad_scheme';
    this.target = this.#path;
    const isPath = this.target.charCodeAt(0) === 0x2f || (this.target === '*' && method === 'OPTIONS');
    return isPath && isAll(this.target, targetOctet) ? undefined : 'bad_target';
  }

  #connect(): MessageRule | undefined {
    if (this.#has(kinds.path) || this.#has(kinds.scheme)) return 'bad_pseudo_field';
    this.target = this.#authority ?? '';
    return /:\d{1,5}$/.test(this.target) ? undefined : 'bad_target';
  }

  #has(kind: number): boolean {
    return (this.#seen & (1 << kind)) !== 0;
  }

  /** Section 8.3.1: `:authority` and Host say the same, and one of them says it. */
  #agreed(): MessageRule | undefined {
    const host = this.#authority ?? this.#hostField;
    if (host === undefined) return 'missing_host';
    this.host = host.toLowerCase();
    if (!isAll(host, hostOctet) || !authorityForm.test(host)) return 'bad_host';
    const differs = this.#hostField !== undefined && this.#hostField.toLowerCase() !== this.host;
    return differs ? 'host_differs_from_target' : undefined;
  }
}

/** `host[:port]` of RFC 3986 section 3.2, without user information. */
const authorityForm = /^(?:\[[0-9a-f:.]{2,45}\]|[^:[\]@/?#,;()]+)(?::\d{0,5})?$/i;

/** `application/grpc`, with a kind of message or parameters behind it; not gRPC-Web, which has its trailers elsewhere. */
function isGrpc(contentType: string): boolean {
  return /^application\/grpc(?:$|[+; ])/i.test(contentType);
}

function isAll(text: string, octets: Uint8Array): boolean {
  for (let at = 0; at < text.length; at += 1) if (octets[text.charCodeAt(at)] !== 1) return false;
  return true;
}

/** Whether lines may be the trailers of a request: no pseudo-headers, and nothing that says where messages end or go (RFC 9110 section 6.5.1). */
export function areTrailers(fields: readonly Field[]): boolean {
  return fields.every(
    ({ kind, fault }) => fault === undefined && (kind === kinds.ordinary || kind === kinds.contentType),
  );
}

/** The status that lines begin with; 0 when they begin with none, or with none that there is. */
export function statusOf([first]: readonly Field[]): number {
  if (first?.kind !== kinds.status || !/^[1-5]\d\d$/.test(first.value)) return 0;
  return Number(first.value);
}

/** The status of a call as its trailers say it; undefined when they do not. */
export function grpcStatusOf(fields: readonly Field[]): number | undefined {
  const status = fields.find(({ name }) => name === 'grpc-status')?.value ?? '';
  return /^\d{1,3}$/.test(status) ? Number(status) : undefined;
}

// Where a body ends (RFC 9112 sections 6 and 7), followed octet by octet only where it has to be: counted bodies and the data of chunks
// are skipped in one step, so that they can be passed on as they came.

import { forwardedNames } from '../headers/plan.ts';
import type { Rule } from './fields.ts';
import type { BodyKind } from './head.ts';
import { hexValue, octet, tokenOctet, valueOctet } from './octets.ts';

/** Longest chunk size line with its extensions, and longest trailer section, in octets. */
const longestLine = 4_096;
const longestTrailers = 8_192;
/** Hexadecimal digits of a chunk size: 2^52 octets, beyond which a number is no longer exact. */
const mostDigits = 13;
/**
 * What must not come after a body (RFC 9110 section 6.5.1): it says where messages end or go, or who the client is. Nor with `_` for `-`, which
 * CGI and its heirs take for the same.
 */
const framing = ['content-length', 'transfer-encoding', 'host', 'trailer', 'te', 'connection'];
const notInTrailers = new Set([...framing, ...forwardedNames]);
const longestNotInTrailers = Math.max(...Array.from(notInTrailers, (name) => name.length));

type State =
  | 'size' // digits of a chunk size
  | 'extension'
  | 'size_lf'
  | 'data'
  | 'data_cr'
  | 'data_lf'
  | 'trailer' // first octet of a trailer line, or the blank line
  | 'trailer_name'
  | 'trailer_value'
  | 'trailer_lf'
  | 'last_lf'
  | 'counted'
  | 'endless'
  | 'done';

/** Follows one body after the other. */
export class Body {
  #state: State = 'done';
  /** Octets left of the counted body or of the chunk; while a size is read, its value. */
  #left = 0;
  #digits = 0;
  /** Octets of the line or the trailer section so far. */
  #line = 0;
  #name = '';
  #broken: Rule | undefined;

  /** Begins with a body; a `tunnel` never ends, `none` has ended already. */
  begin(kind: BodyKind, length: number): void {
    this.#left = length;
    this.#digits = 0;
    this.#line = 0;
    this.#broken = undefined;
    if (kind === 'chunked') this.#state = 'size';
    else if (kind === 'length') this.#state = 'counted';
    else this.#state = kind === 'none' ? 'done' : 'endless';
  }

  /** All of it has passed. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** It is over when the connection ends, and in no other way. */
  get endless(): boolean {
    return this.#state === 'endless';
  }

  /** The rule that was broken. */
  get broken(): Rule | undefined {
    return this.#broken;
  }

  /** Takes octets from `start` on; the offset behind those that belong to the body. Stops where a rule is broken. */
  take(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.#state !== 'done' && this.#broken === undefined) {
      if (this.#state === 'endless') return end;
      if (this.#state === 'counted' || this.#state === 'data') {
        const step = Math.min(this.#left, end - at);
        this.#left -= step;
        at += step;
        if (this.#left === 0) this.#state = this.#state === 'data' ? 'data_cr' : 'done';
      } else {
        this.#octet(bytes[at] ?? 0);
        if (this.#broken === undefined) at += 1;
      }
    }
    return at;
  }

  #octet(code: number): void {
    switch (this.#state) {
      case 'size':
        return this.#size(code);
      case 'extension':
        if (code === octet.cr) this.#state = 'size_lf';
        else if (valueOctet[code] === 0) this.#break('bad_chunk');
        return this.#counted(longestLine, 'chunk_line_too_long');
      case 'size_lf':
        if (code !== octet.lf) return this.#break('bad_chunk');
        this.#state = this.#left === 0 ? 'trailer' : 'data';
        this.#line = 0;
        return undefined;
      case 'data_cr':
        return this.#expect(code, octet.cr, 'data_lf');
      case 'data_lf':
        this.#digits = 0;
        return this.#expect(code, octet.lf, 'size');
      case 'last_lf':
        return this.#expect(code, octet.lf, 'done');
      default:
        return this.#trailer(code);
    }
  }

  #size(code: number): void {
    const digit = hexValue(code);
    if (digit >= 0) {
      this.#left = this.#digits === 0 ? digit : this.#left * 16 + digit;
      this.#digits += 1;
      return this.#digits > mostDigits ? this.#break('bad_chunk') : undefined;
    }
    if (this.#digits === 0) return this.#break('bad_chunk');
    this.#line = 0;
    if (code === octet.cr) this.#state = 'size_lf';
    // RFC 9112 section 7.1.1 allows blanks before the semicolon of an extension to those who must be lenient; nobody sends them.
    else if (code === octet.semicolon) this.#state = 'extension';
    else this.#break('bad_chunk');
  }

  #trailer(code: number): void {
    switch (this.#state) {
      case 'trailer':
        if (code === octet.cr) this.#state = 'last_lf';
        else if (tokenOctet[code] === 0) return this.#break('bad_field_name');
        else {
          this.#state = 'trailer_name';
          this.#name = String.fromCharCode(code);
        }
        break;
      case 'trailer_name':
        if (code === octet.colon) {
          if (notInTrailers.has(this.#name.toLowerCase().replaceAll('_', '-')))
            return this.#break('framing_field_in_trailers');
          this.#state = 'trailer_value';
        } else if (tokenOctet[code] === 0) return this.#break('bad_field_name');
        else if (this.#name.length <= longestNotInTrailers) this.#name += String.fromCharCode(code);
        break;
      case 'trailer_value':
        if (code === octet.cr) this.#state = 'trailer_lf';
        else if (valueOctet[code] === 0) return this.#break('bad_field_value');
        break;
      default:
        if (code !== octet.lf) return this.#break('bare_line_ending');
        this.#state = 'trailer';
    }
    return this.#counted(longestTrailers, 'trailers_too_large');
  }

  #counted(most: number, rule: Rule): void {
    this.#line += 1;
    if (this.#line > most) this.#break(rule);
  }

  #expect(code: number, wanted: number, next: State): void {
    if (code === wanted) this.#state = next;
    else this.#break('bad_chunk');
  }

  #break(rule: Rule): void {
    this.#broken = rule;
  }
}

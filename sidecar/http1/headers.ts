// The fields of a request as rules and tokens are judged by them: names in lower case, repeated ones joined (RFC 9110 section 5.3). Made only
// where somebody asks, since most requests are judged without.
import type { RequestHead } from './head.ts';
import { octet } from './octets.ts';
import { isNamed } from './watched.ts';

/** Every value of one field, by its lower-case name, of a head that was read from these octets. */
export function valuesOf({ span }: Pick<RequestHead, 'span'>, octets: Buffer, name: string): readonly string[] {
  const values: string[] = [];
  for (let at = octets.indexOf(0x0a, span.start) + 1; at < span.end - 2; ) {
    const end = octets.indexOf(0x0a, at);
    const isIt = octets[at + name.length] === octet.colon && isNamed(octets, at, name);
    if (isIt) values.push(octets.toString('latin1', at + name.length + 1, end - 1).replace(/^[ \t]+|[ \t]+$/g, ''));
    at = end + 1;
  }
  return values;
}

/** Every field of a head that was read from these octets. */
export function headersOf({ span }: Pick<RequestHead, 'span'>, octets: Buffer): Readonly<Record<string, string>> {
  // Names are whatever a client sends: `__proto__` among them.
  const headers = Object.create(null) as Record<string, string>;
  const lines = octets.toString('latin1', span.start, span.end - 4).split('\r\n');
  // The first is the request line.
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '');
    const before = headers[name];
    // Cookies are joined in a way of their own (RFC 6265 section 5.4).
    headers[name] = before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`;
  }
  return headers;
}

// Which octets may stand where in an HTTP/1 message (RFC 9110 section 5, RFC 9112, RFC 3986), as tables: one look per octet.

/** An octet may be part of a token: a method or a field name (RFC 9110 section 5.6.2). */
export const tokenOctet = tableOf(
  (code) => isAlphanumeric(code) || "!#$%&'*+-.^_`|~".includes(String.fromCharCode(code)),
);
/** An octet may be part of a field value or a reason phrase: visible, blank, tab, or above ASCII (RFC 9110 section 5.5). */
export const valueOctet = tableOf((code) => code === 0x09 || (code >= 0x20 && code !== 0x7f));
/** An octet may be part of a request target: RFC 3986, and what browsers leave unescaped in a query (`{}|^` and the backquote). Never `#` or `\`. */
export const targetOctet = tableOf(
  (code) => code > 0x20 && code < 0x7f && !'#"<>\\'.includes(String.fromCharCode(code)),
);
/** An octet may be part of a host with its port (RFC 3986 section 3.2.2); user information is not among them. */
export const hostOctet = tableOf(
  (code) => isAlphanumeric(code) || "-._~%!$&'()*+,;=:[]".includes(String.fromCharCode(code)),
);

/** Octets that messages are made of. */
export const octet = {
  tab: 0x09,
  lf: 0x0a,
  cr: 0x0d,
  blank: 0x20,
  comma: 0x2c,
  colon: 0x3a,
  semicolon: 0x3b,
  underscore: 0x5f,
} as const;

/** Value of a hexadecimal digit, or -1. */
export function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || ((code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a && code < 0x80);
}

function tableOf(allowed: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (allowed(code) ? 1 : 0));
}

// What the first bytes of a captured connection are: a TLS ClientHello or not (RFC 8446 section 5.1: record type 22, major
// version 3). Two bytes decide. Pure.

/** `undecided` needs more bytes. */
export type FirstBytes = 'tls' | 'plaintext' | 'undecided';

const HANDSHAKE_RECORD = 22;
const MAJOR_VERSION = 3;

/** Classifies what has arrived so far. */
export function classify(bytes: Uint8Array): FirstBytes {
  if (bytes[0] === undefined) return 'undecided';
  if (bytes[0] !== HANDSHAKE_RECORD) return 'plaintext';
  if (bytes[1] === undefined) return 'undecided';
  return bytes[1] === MAJOR_VERSION ? 'tls' : 'plaintext';
}

/** Whether bytes look like the start of an HTTP/1 request or of the HTTP/2 preface: then a refusal can be put in words. */
export function looksLikeHttp(bytes: Uint8Array): boolean {
  return /^[A-Z]{3,16} [\x21-\x7e]/.test(Buffer.from(bytes.subarray(0, 32)).toString('latin1'));
}

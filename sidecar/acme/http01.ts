// The answer to an http-01 challenge (RFC 8555 section 8.3): what the request is, and what is sent back. It is the one plaintext
// request that is answered whatever the mode of a port says, and nothing of it reaches the application. Pure.

/** What the first bytes of a plaintext connection are. `undecided` needs more. */
export type ChallengeRequest =
  | { readonly kind: 'challenge'; readonly token: string }
  | { readonly kind: 'other' }
  | { readonly kind: 'undecided' };

const start = 'GET /.well-known/acme-challenge/';
/** A token and the end of the line; longer is no request of a CA. */
const mostBytes = start.length + 300;

/** Looks at what has arrived so far. */
export function challengeRequest(bytes: Buffer): ChallengeRequest {
  const text = bytes.toString('latin1', 0, mostBytes);
  if (!text.startsWith(start)) return { kind: start.startsWith(text) ? 'undecided' : 'other' };
  const [, token] = /^GET \/\.well-known\/acme-challenge\/([A-Za-z0-9_-]+) HTTP\/1\.[01]\r?\n/.exec(text) ?? [];
  if (token !== undefined) return { kind: 'challenge', token };
  const lineIsWhole = text.includes('\n') || bytes.length >= mostBytes;
  return { kind: lineIsWhole ? 'other' : 'undecided' };
}

/** The whole answer. */
export function challengeAnswer(keyAuthorization: string): string {
  return [
    'HTTP/1.1 200 OK',
    'content-type: application/octet-stream',
    `content-length: ${Buffer.byteLength(keyAuthorization)}`,
    'cache-control: no-store',
    'connection: close',
    '',
    keyAuthorization,
  ].join('\r\n');
}

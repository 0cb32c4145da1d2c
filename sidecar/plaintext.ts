// Tells a client why its plaintext is refused: in words where it speaks HTTP, else by a reset.
import type { Socket } from 'node:net';
import { reasonHints } from '../lib/api/reasons.ts';
import { looksLikeHttp } from './tls/hello.ts';
import { reset } from './transport/plain.ts';

const body = `Tabard refused this connection: plaintext. ${reasonHints.plaintext}\n`;

/** One answer for every HTTP client; the reason is in a header, too, for programs. */
const answer = [
  'HTTP/1.1 403 Forbidden',
  'content-type: text/plain; charset=utf-8',
  `content-length: ${Buffer.byteLength(body)}`,
  'x-tabard-reason: plaintext',
  'connection: close',
  '',
  body,
].join('\r\n');

/** What still arrives is thrown away for this long, so that the answer is not lost to a reset (RFC 9112 section 9.6). */
const LINGER_MS = 1_000;

/** Ends a connection whose first bytes are known. */
export function refusePlaintext(socket: Socket, bytes: Uint8Array): void {
  if (!looksLikeHttp(bytes)) return reset(socket);
  socket.end(answer);
  socket.resume();
  const timer = setTimeout(() => reset(socket), LINGER_MS).unref();
  socket.once('end', () => {
    clearTimeout(timer);
    socket.destroy();
  });
}

// Writing short answers and reading short bodies on HTTP/2 streams, within bounds. Knows nothing of what they mean.
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Clock } from '../../lib/clock.ts';

/** A refusal as the client reads it. `reason` is a word, `message` a sentence. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
}

/** Answers with JSON and ends the stream, whatever the client was about to send. */
export function refuse(stream: ServerHttp2Stream, { status, reason, message }: Refusal): void {
  if (stream.destroyed || stream.headersSent) return;
  stream.respond({ ':status': status, 'content-type': 'application/json', 'cache-control': 'no-store' });
  stream.end(`${JSON.stringify({ reason, message })}\n`, () => {
    // RFC 9113 section 8.1: an answer may come before the request is complete; NO_ERROR asks the client to stop sending.
    if (!stream.endAfterHeaders) stream.close(constants.NGHTTP2_NO_ERROR);
  });
}

/** Answers that all went well and there is nothing to say. */
export function acknowledge(stream: ServerHttp2Stream): void {
  if (stream.destroyed || stream.headersSent) return;
  stream.respond({ ':status': 204 }, { endStream: true });
}

/** Bounds of a body. */
export interface BodyLimits {
  readonly bodyBytes: number;
  readonly bodyTimeoutMs: number;
}

/** The body as text; a refusal when it is too large or too slow; undefined when the client went away. */
export async function bodyOf(
  stream: ServerHttp2Stream,
  limits: BodyLimits,
  clock: Clock,
): Promise<string | Refusal | undefined> {
  const stop = new AbortController();
  const late = clock.sleep(limits.bodyTimeoutMs, stop.signal).then(
    () => ({ status: 408, reason: 'bad_request', message: `the body took over ${limits.bodyTimeoutMs} ms` }),
    () => undefined,
  );
  try {
    return await Promise.race([collected(stream, limits.bodyBytes), late]);
  } finally {
    stop.abort();
  }
}

function collected(stream: ServerHttp2Stream, most: number): Promise<string | Refusal | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | Refusal | undefined>();
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= most) chunks.push(chunk);
    else {
      stream.pause();
      resolve({ status: 413, reason: 'bad_request', message: `the body is over ${most} bytes` });
    }
  });
  stream.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
  stream.on('close', () => resolve(undefined));
  return promise;
}

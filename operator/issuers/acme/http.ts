// One request to an ACME server over HTTPS: bounded in time and size, no redirect followed, nothing shared with other servers.
// Knows nothing of ACME but that an answer is small.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import type { Clock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import { deadline } from '../../../lib/runtime/deadline.ts';
import { AcmeError } from './problem.ts';

/** What is sent. */
export interface AcmeRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** What came back, whatever its status. */
export interface AcmeAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** The way to one ACME server. */
export interface AcmeTransport {
  /** Rejects with AcmeError `Unreachable` or `BadAnswer`, or with the signal's reason. */
  send(request: AcmeRequest, signal: AbortSignal): Promise<AcmeAnswer>;
  /** Closes kept connections. */
  close(): void;
}

/** A chain of certificates is the largest thing that an ACME server sends. */
const mostBytes = 512 * 1024;
const requestMs = 30_000;

/** A transport that trusts `trust` (PEM) alone, or the system's roots without it. */
export function httpsTransport(options: {
  readonly clock: Clock;
  readonly userAgent: string;
  readonly trust?: string | undefined;
}): AcmeTransport {
  const { clock, userAgent, trust } = options;
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 4, ...(trust === undefined ? {} : { ca: trust }) });
  return {
    send: async (wanted, signal) => {
      const limit = deadline(clock, requestMs, `the ACME server's answer to ${wanted.method} ${wanted.url}`, signal);
      try {
        return await exchange(agent, userAgent, wanted, limit.signal);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof AcmeError) throw error;
        throw new AcmeError('Unreachable', `${wanted.url} cannot be reached: ${messageOf(error)}`, { cause: error });
      } finally {
        limit.end();
      }
    },
    close: () => agent.destroy(),
  };
}

async function exchange(
  agent: Agent,
  userAgent: string,
  { method, url, headers, body }: AcmeRequest,
  signal: AbortSignal,
): Promise<AcmeAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const outgoing = request(url, { method, agent, signal, headers: { 'user-agent': userAgent, ...headers, ...length } });
  outgoing.on('response', resolve);
  outgoing.on('error', reject);
  outgoing.end(body);
  const incoming = await promise;
  const text = await bounded(incoming, url);
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: text };
}

async function bounded(incoming: IncomingMessage, url: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > mostBytes) {
      incoming.destroy();
      throw new AcmeError('BadAnswer', `${url} sent over ${mostBytes} bytes`);
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

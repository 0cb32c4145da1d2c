// One HTTPS request to a server outside of the cluster: bounded in time and in size, no redirect followed. It knows nothing of who is
// at the other end; whoever uses it turns its errors into words of his own.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import type { Clock } from '../../lib/clock.ts';
import { AppError, messageOf, systemCode } from '../../lib/errors.ts';
import { parseCertificates } from '../../lib/pki/bundle.ts';
import { deadline } from '../../lib/runtime/deadline.ts';

/** What is sent. */
export interface HttpsRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** What came back, whatever its status. */
export interface HttpsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Why there is no answer: nobody was reached in time, the server could not prove itself, or it sent too much. */
export type HttpsFault = 'unreachable' | 'untrusted' | 'too_large';

/** A request without a usable answer. */
export class HttpsError extends AppError {
  readonly fault: HttpsFault;

  constructor(fault: HttpsFault, message: string, cause?: unknown) {
    super('issuer_failed', message, { retryable: fault === 'unreachable', cause });
    this.name = 'HttpsError';
    this.fault = fault;
  }
}

/** Settings of the way to one server. */
export interface HttpsOptions {
  readonly clock: Clock;
  readonly userAgent: string;
  /** PEM of the CAs by which the server is verified; without it the system's. */
  readonly trust?: string | undefined;
  /** For one request with its answer. */
  readonly timeoutMs: number;
  readonly maximumBytes: number;
}

/** Connections to one server, kept for a while. */
export class HttpsClient {
  readonly #options: HttpsOptions;
  readonly #agent: Agent;
  /** What is wrong with `trust`. */
  readonly #trustFault: string | undefined;

  constructor(options: HttpsOptions) {
    this.#options = options;
    const { trust } = options;
    this.#trustFault = trust === undefined ? undefined : faultOfTrust(trust);
    this.#agent = new Agent({ keepAlive: true, maxFreeSockets: 4, ...(trust === undefined ? {} : { ca: trust }) });
  }

  /** Rejects with an HttpsError, or with the signal's reason. */
  async send(wanted: HttpsRequest, signal: AbortSignal): Promise<HttpsAnswer> {
    const { clock, timeoutMs } = this.#options;
    const where = `${wanted.url.origin}${wanted.url.pathname}`;
    if (this.#trustFault !== undefined) {
      throw new HttpsError('untrusted', `${where} is not asked: caBundle is not usable: ${this.#trustFault}`);
    }
    const limit = deadline(clock, timeoutMs, `the answer of ${where}`, signal);
    try {
      const incoming = await this.#exchange(wanted, limit.signal);
      const body = await this.#bounded(incoming, where);
      return { status: incoming.statusCode ?? 0, headers: incoming.headers, body };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HttpsError) throw error;
      throw failureOf(where, limit.expired ? limit.signal.reason : error);
    } finally {
      limit.end();
    }
  }

  /** Closes kept connections. */
  close(): void {
    this.#agent.destroy();
  }

  #exchange({ method, url, headers, body }: HttpsRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const all = { 'user-agent': this.#options.userAgent, ...headers, ...length };
    const outgoing = request(url, { method, agent: this.#agent, signal, headers: all });
    outgoing.on('response', resolve);
    outgoing.on('error', reject);
    outgoing.end(body);
    return promise;
  }

  async #bounded(incoming: IncomingMessage, where: string): Promise<string> {
    const { maximumBytes } = this.#options;
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of incoming) {
      const bytes = Buffer.from(chunk as Uint8Array);
      size += bytes.length;
      if (size > maximumBytes) {
        incoming.destroy();
        throw new HttpsError('too_large', `${where} sent over ${maximumBytes} bytes`);
      }
      chunks.push(bytes);
    }
    return Buffer.concat(chunks).toString('utf8');
  }
}

/**
 * Node takes a text without certificates for an empty store, and an empty text for none at all, which would be the system's roots: who
 * names CAs trusts no others, and wants to be told that none was found.
 */
function faultOfTrust(trust: string): string | undefined {
  try {
    parseCertificates(trust);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Codes by which OpenSSL and Node say that the server's certificate was not accepted. */
const untrusted =
  /^(?:CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_(?:CA|PURPOSE)|ERR_TLS_CERT_|PATH_LENGTH_)/;

function failureOf(where: string, error: unknown): HttpsError {
  const fault = untrusted.test(systemCode(error) ?? '') ? 'untrusted' : 'unreachable';
  const did = fault === 'untrusted' ? 'showed a certificate that is not trusted' : 'cannot be reached';
  return new HttpsError(fault, `${where} ${did}: ${messageOf(error)}`, error);
}

/** No server makes us wait longer than this on its word alone. */
const longestMs = 24 * 3_600_000;

/** Milliseconds of a Retry-After header (RFC 9110 section 10.2.3): seconds or a date, a day at most. Undefined when it is absent or means nothing. */
export function retryAfterMs(header: string | undefined, now: Date): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Math.min(longestMs, Number(text) * 1_000);
  const at = /[A-Za-z]{3},/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) return undefined;
  return Math.min(longestMs, Math.max(0, at - now.getTime()));
}

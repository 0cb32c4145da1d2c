// Requests to one Vault server: bounded, retried where Vault asks for it, sent on to the active node from a standby, and with Vault's
// ways of saying no turned into reasons. Knows nothing of tokens but their header, and nothing of engines.
import type { VaultServer } from '../../../lib/api/tlsissuer.ts';
import { type Clock, parseDuration } from '../../../lib/clock.ts';
import { backoffMs } from '../../../lib/runtime/backoff.ts';
import { type HttpsAnswer, HttpsClient, HttpsError, retryAfterMs } from '../https.ts';
import { membersOf, parsedJson } from '../json.ts';
import { IssuerError, quoted } from '../problem.ts';
import { apiUrl, namespaceOf } from './path.ts';

/** One call. `path` is below /v1/ and made of checked segments (path.ts). */
export interface VaultCall {
  readonly method: 'GET' | 'POST' | 'LIST' | 'DELETE';
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly token?: string;
  /** Vault's engines say 500 for some refusals, too: then it is an answer like any other. */
  readonly takes500?: boolean;
}

/** An answer of Vault for itself. */
export interface VaultReply {
  readonly status: number;
  /** The JSON object that came; empty where none came. */
  readonly body: Readonly<Record<string, unknown>>;
  /** What Vault says went wrong, one bounded line. */
  readonly said: string;
}

/** Certificates with their chain are the largest answers. */
const maximumBytes = 1_048_576;
const attempts = 3;
const longestWaitMs = 5_000;
const maximumRedirects = 2;
/** spec.timeout where it is absent. */
const defaultTimeout = '10s';

/** One server. */
export class VaultApi {
  readonly #spec: VaultServer;
  readonly #clock: Clock;
  readonly #https: HttpsClient;

  constructor(spec: VaultServer, options: { readonly clock: Clock; readonly userAgent: string }) {
    this.#spec = spec;
    this.#clock = options.clock;
    const trust = spec.caBundle === undefined ? undefined : Buffer.from(spec.caBundle, 'base64').toString('utf8');
    this.#https = new HttpsClient({
      ...options,
      trust,
      timeoutMs: parseDuration(spec.timeout ?? defaultTimeout),
      maximumBytes,
    });
  }

  /** Sends a call, up to three times where the server is busy. Rejects with IssuerError, or the signal's reason. */
  async call(call: VaultCall, signal: AbortSignal): Promise<VaultReply> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#once(call, signal);
      const failure = await this.#failure(answer, call, signal);
      if (failure === undefined) return replyOf(answer, call);
      if (attempt >= attempts || failure.reason === 'Sealed') throw failure;
      const waitMs = failure.retryAfterMs ?? backoffMs(attempt, { initialMs: 200, maxMs: 2_000 });
      if (waitMs > longestWaitMs) throw failure;
      await this.#clock.sleep(waitMs, signal);
    }
  }

  /** Closes kept connections. */
  close(): void {
    this.#https.close();
  }

  async #once({ method, path, body, token }: VaultCall, signal: AbortSignal): Promise<HttpsAnswer> {
    const { server, namespace } = this.#spec;
    const inside = namespaceOf(namespace);
    const headers = {
      // Vault answers requests that a browser could be tricked into only with this header where it is configured so.
      'x-vault-request': 'true',
      ...(inside === undefined ? {} : { 'x-vault-namespace': inside }),
      ...(token === undefined ? {} : { 'x-vault-token': token }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    let url = apiUrl(server, path);
    for (let hop = 0; ; hop += 1) {
      const answer = await this.#send({ method, url, headers, ...content }, signal);
      if (answer.status !== 307 && answer.status !== 308) return answer;
      if (hop >= maximumRedirects) throw new IssuerError('BadAnswer', `${url.origin} sends us round and round`);
      url = activeNode(url, answer);
    }
  }

  async #send(request: Parameters<HttpsClient['send']>[0], signal: AbortSignal): Promise<HttpsAnswer> {
    try {
      return await this.#https.send(request, signal);
    } catch (error) {
      if (!(error instanceof HttpsError)) throw error;
      const reasons = { unreachable: 'Unreachable', untrusted: 'ServerUntrusted', too_large: 'BadAnswer' } as const;
      throw new IssuerError(reasons[error.fault], error.message, { cause: error });
    }
  }

  /** What is wrong with the server itself; undefined when it answered for itself. */
  async #failure(answer: HttpsAnswer, call: VaultCall, signal: AbortSignal): Promise<IssuerError | undefined> {
    const { status } = answer;
    if ((status !== 429 && status < 500) || (status === 500 && call.takes500 === true)) return undefined;
    const waitMs = retryAfterMs(answer.headers['retry-after'], this.#clock.now());
    const detail = `${call.method} ${call.path}: HTTP ${status}${suffix(saidBy(jsonOf(answer.body)))}`;
    if (status === 429) return new IssuerError('Throttled', detail, { retryAfterMs: waitMs });
    const sealed = status === 503 && (await this.#isSealed(signal));
    return new IssuerError(sealed ? 'Sealed' : 'ServerFailed', detail, { retryAfterMs: waitMs });
  }

  /** By its own word: the text of an error is for people. */
  async #isSealed(signal: AbortSignal): Promise<boolean> {
    try {
      const url = apiUrl(this.#spec.server, 'sys/seal-status');
      const { body } = await this.#https.send({ method: 'GET', url }, signal);
      return jsonOf(body)?.['sealed'] === true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }
}

/** A standby names the active node; the path stays, and so does https. What is there proves itself by the same CA. */
function activeNode(from: URL, { headers }: HttpsAnswer): URL {
  const to = URL.parse(headers.location ?? '', from);
  if (to === null || to.protocol !== 'https:' || to.pathname !== from.pathname || to.username !== '') {
    throw new IssuerError('BadAnswer', `${from.origin} redirects to something else than the same path of another node`);
  }
  return to;
}

function replyOf({ status, body }: HttpsAnswer, { method, path }: VaultCall): VaultReply {
  const json = jsonOf(body);
  if (json === undefined && status < 300 && status !== 204) {
    throw new IssuerError('BadAnswer', `${method} ${path}: the answer is not the JSON of Vault`);
  }
  return { status, body: json ?? {}, said: saidBy(json) };
}

function jsonOf(text: string): Readonly<Record<string, unknown>> | undefined {
  const value = parsedJson(text);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? membersOf(value) : undefined;
}

function saidBy(json: Readonly<Record<string, unknown>> | undefined): string {
  const errors = json?.['errors'];
  return Array.isArray(errors) ? quoted(errors.filter((each) => typeof each === 'string').join('; ')) : '';
}

/** A text that follows another after a colon, or nothing. */
export function suffix(said: string): string {
  return said === '' ? '' : `: ${said}`;
}

// A conversation with one ACME server (RFC 8555): its directory, fresh nonces, signed requests, and waiting for objects that
// are in the works. A nonce that the server does not like is replaced and the request repeated (section 6.5).
import type { KeyObject } from 'node:crypto';
import type { Clock } from '../../../lib/clock.ts';
import { type HttpsAnswer, retryAfterMs } from '../https.ts';
import { membersOf, parsedJson } from '../json.ts';
import type { AcmeTransport } from './http.ts';
import { type SignedAs, signedMessage } from './jws.ts';
import { AcmeError, problemOf } from './problem.ts';
import { pollMs } from './waits.ts';

/** What the server offers. URLs that a server may leave out are undefined. */
export interface Directory {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  readonly keyChange: string;
  readonly revokeCert: string | undefined;
  readonly renewalInfo: string | undefined;
  /** Names of profiles; undefined when the server knows none. */
  readonly profiles: readonly string[] | undefined;
  readonly externalAccountRequired: boolean;
}

/** Who signs a request. */
export interface Signer {
  readonly key: KeyObject;
  readonly as: SignedAs;
}

/** An answer of success. */
export interface AcmeReply {
  readonly status: number;
  readonly body: string;
  /** Header Location: the URL of what was made. */
  readonly location: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** The body as an object; throws AcmeError `BadAnswer` when it is none. */
  readonly object: () => Readonly<Record<string, unknown>>;
}

/** What is asked for. Without a payload it is a POST-as-GET. */
export interface SignedRequest {
  readonly doing: string;
  readonly url: string;
  readonly signer: Signer;
  readonly payload?: unknown;
  readonly accept?: string;
}

/** Directories are read again after this long, or after a failure. */
const directoryMs = 3_600_000;
/** A server that refuses every nonce would be asked for ever. One that refuses every second one is still spoken to. */
const mostNonces = 40;
const keptNonces = 16;
/** A server that takes its time may ask for an hour of patience. */
const longestPollMs = 3_600_000;

/** The conversation. */
export class AcmeSession {
  readonly #url: string;
  readonly #transport: AcmeTransport;
  readonly #clock: Clock;
  readonly #nonces: string[] = [];
  #directory: { readonly value: Directory; readonly untilMs: number } | undefined;

  constructor(options: { readonly server: string; readonly transport: AcmeTransport; readonly clock: Clock }) {
    this.#url = options.server;
    this.#transport = options.transport;
    this.#clock = options.clock;
  }

  /** The directory, at most an hour old. */
  async directory(signal: AbortSignal): Promise<Directory> {
    const nowMs = this.#clock.now().getTime();
    if (this.#directory !== undefined && nowMs < this.#directory.untilMs) return this.#directory.value;
    const reply = await this.get('directory', this.#url, signal);
    const value = readDirectory(reply.object(), this.#url);
    this.#directory = { value, untilMs: nowMs + directoryMs };
    return value;
  }

  /** A request without a signature: for the directory and renewal information. */
  async get(doing: string, url: string, signal: AbortSignal): Promise<AcmeReply> {
    const answer = await this.#transport.send({ method: 'GET', url, headers: { accept: 'application/json' } }, signal);
    return this.#judge(doing, url, answer);
  }

  /** A signed request. Rejects with AcmeError; a refusal is the server's own problem in our words. */
  async post(request: SignedRequest, signal: AbortSignal): Promise<AcmeReply> {
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#postOnce(request, signal);
      try {
        return this.#judge(request.doing, request.url, answer);
      } catch (error) {
        if (!(error instanceof AcmeError) || error.type !== 'badNonce' || tries >= mostNonces) throw error;
      }
    }
  }

  /**
   * Asks for an object until `settled` gives something for it, waiting as the server says; at most until the signal ends it. With
   * `bearing` a server that is away or overloaded is only told of, and asked again.
   */
  async until<T>(
    request: SignedRequest,
    settled: (object: Readonly<Record<string, unknown>>) => T | undefined,
    signal: AbortSignal,
    bearing?: (why: string) => void,
  ): Promise<T> {
    for (let looks = 1; ; looks += 1) {
      const reply = await this.post(request, signal).catch((error: unknown) => {
        const passes =
          error instanceof AcmeError && ['Unreachable', 'ServerFailed', 'RateLimited'].includes(error.reason);
        if (bearing === undefined || !passes) throw error;
        bearing(error.message);
        return error;
      });
      const value = reply instanceof AcmeError ? undefined : settled(reply.object());
      if (value !== undefined) return value;
      await this.#clock.sleep(
        pollMs(looks, reply.retryAfterMs, bearing === undefined ? undefined : longestPollMs),
        signal,
      );
    }
  }

  /** Reads the directory anew with the next request. */
  forget(): void {
    this.#directory = undefined;
    this.#nonces.length = 0;
  }

  async #postOnce({ url, signer, payload, accept }: SignedRequest, signal: AbortSignal): Promise<HttpsAnswer> {
    const nonce = this.#nonces.pop() ?? (await this.#newNonce(signal));
    const message = signedMessage(signer.key, { ...signer.as, url, nonce }, payload);
    const headers = { 'content-type': 'application/jose+json', accept: accept ?? 'application/json' };
    return this.#keepNonce(
      await this.#transport.send({ method: 'POST', url, headers, body: JSON.stringify(message) }, signal),
    );
  }

  async #newNonce(signal: AbortSignal): Promise<string> {
    const { newNonce } = await this.directory(signal);
    const answer = this.#keepNonce(await this.#transport.send({ method: 'HEAD', url: newNonce }, signal));
    const nonce = this.#nonces.pop();
    if (nonce !== undefined) return nonce;
    this.#judge('new nonce', newNonce, answer);
    throw new AcmeError('BadAnswer', `${newNonce} answered ${answer.status} without a nonce`);
  }

  #keepNonce(answer: HttpsAnswer): HttpsAnswer {
    const nonce = answer.headers['replay-nonce'];
    // Section 6.5.1: base64url; anything else is thrown away.
    if (typeof nonce === 'string' && /^[A-Za-z0-9_-]{1,512}$/.test(nonce)) {
      // The newest is used first; those that lie long are the ones that servers forget.
      if (this.#nonces.length >= keptNonces) this.#nonces.shift();
      this.#nonces.push(nonce);
    }
    return answer;
  }

  #judge(doing: string, url: string, { status, headers, body }: HttpsAnswer): AcmeReply {
    const waitMs = retryAfterMs(headers['retry-after'], this.#clock.now());
    if (status < 200 || status >= 300) {
      throw problemOf(parsedJson(body), { doing, status, retryAfterMs: waitMs });
    }
    const location = headers.location;
    return {
      status,
      body,
      location: location === undefined ? undefined : absolute(location, url),
      retryAfterMs: waitMs,
      object: () => {
        const value = parsedJson(body);
        if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
        throw new AcmeError('BadAnswer', `${doing}: ${url} did not answer with a JSON object`);
      },
    };
  }
}

/** A text member of an answer. Throws AcmeError `BadAnswer` when it is not there. */
export function textOf(object: Readonly<Record<string, unknown>>, name: string, what: string): string {
  const value = object[name];
  if (typeof value === 'string' && value !== '') return value;
  throw new AcmeError('BadAnswer', `the ACME server's ${what} has no ${name}`);
}

/** A URL of an answer. Nothing is ever sent anywhere but over HTTPS. */
export function urlOf(object: Readonly<Record<string, unknown>>, name: string, what: string): string {
  return absolute(textOf(object, name, what));
}

function absolute(url: string, base?: string): string {
  const parsedUrl = URL.parse(url, base);
  if (parsedUrl?.protocol === 'https:') return parsedUrl.href;
  throw new AcmeError('BadAnswer', `the ACME server names ${JSON.stringify(url.slice(0, 200))}, which is no https URL`);
}

function readDirectory(object: Readonly<Record<string, unknown>>, url: string): Directory {
  const what = `directory at ${url}`;
  const meta = membersOf(object['meta']);
  const profiles = meta['profiles'];
  return {
    newNonce: urlOf(object, 'newNonce', what),
    newAccount: urlOf(object, 'newAccount', what),
    newOrder: urlOf(object, 'newOrder', what),
    keyChange: urlOf(object, 'keyChange', what),
    revokeCert: typeof object['revokeCert'] === 'string' ? urlOf(object, 'revokeCert', what) : undefined,
    renewalInfo: typeof object['renewalInfo'] === 'string' ? urlOf(object, 'renewalInfo', what) : undefined,
    profiles: typeof profiles === 'object' && profiles !== null ? Object.keys(profiles) : undefined,
    externalAccountRequired: meta['externalAccountRequired'] === true,
  };
}

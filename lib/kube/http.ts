// HTTP/1.1 to the API server over node:https: keep-alive connections, credentials that may change at any time,
// one signal and one time limit per request. Knows nothing of Kubernetes but how to reach it.
import { type ClientRequest, type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { Clock } from '../clock.ts';
import { messageOf, systemCode } from '../errors.ts';
import { KubeError } from './errors.ts';

/** Where the API server is and how to prove who we are, as of now. */
export interface Access {
  readonly server: URL;
  /** Trust and client certificate of the TLS connection. */
  readonly tls: {
    /** PEM; absent = the authorities that Node trusts. */
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly rejectUnauthorized?: boolean;
    readonly servername?: string;
  };
  /** Authorization and impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  /** `user:password` of HTTP basic authentication. */
  readonly basic?: string;
  /** Set when a proxy stands between; else connections are kept here. */
  readonly agent?: PlainAgent;
}

export interface HttpRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
  /** The connection is given up when not a byte came for this long. */
  readonly idleMs: number;
  /** May be sent twice without harm: repeated once when a kept connection turns out to be dead. */
  readonly repeatable: boolean;
}

/** Files and tokens are read again after this long, so that rotated ones are used. */
const accessMs = 15_000;
/** As many as a controller has workers: with fewer, each burst of work ends connections and makes new ones, handshake and all. */
const maxFreeSockets = 64;
/** TCP keep-alive of every connection finds peers that vanished. */
const keepAliveMs = 30_000;

/** The connections to one API server. */
export class HttpTransport {
  readonly #load: () => Promise<Access>;
  readonly #clock: Clock;
  readonly #userAgent: string;
  #access:
    | { readonly value: Access; readonly agent: PlainAgent; readonly print: string; readonly untilMs: number }
    | undefined;

  constructor(options: { readonly access: () => Promise<Access>; readonly clock: Clock; readonly userAgent: string }) {
    this.#load = options.access;
    this.#clock = options.clock;
    this.#userAgent = options.userAgent;
  }

  /** Sends a request; the answer as soon as its head is there. Rejects with KubeError `Unavailable` or the signal's reason. */
  async send(request: HttpRequest): Promise<IncomingMessage> {
    try {
      const answer = await this.#once(request);
      // The token may just have been replaced: the next request reads it anew.
      if (answer.statusCode === 401) this.forgetAccess();
      return answer;
    } catch (error) {
      if (request.signal.aborted || !(error instanceof DeadConnection)) throw error;
      return await this.#once(request);
    }
  }

  /** Reads files and tokens again with the next request. */
  forgetAccess(): void {
    if (this.#access !== undefined) this.#access = { ...this.#access, untilMs: 0 };
  }

  /** Closes the connections that are kept; the transport can be used again. */
  close(): void {
    this.#access?.agent.destroy();
    this.#access = undefined;
  }

  async #once(request: HttpRequest): Promise<IncomingMessage> {
    const { value, agent } = await this.#current();
    request.signal.throwIfAborted();
    const { server } = value;
    const send = server.protocol === 'http:' ? plainRequest : tlsRequest;
    const outgoing = send({
      host: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port === '' ? (server.protocol === 'http:' ? 80 : 443) : server.port,
      path: `${server.pathname.replace(/\/$/, '')}${request.path}`,
      method: request.method,
      headers: { 'user-agent': this.#userAgent, ...value.headers, ...request.headers, ...lengthOf(request.body) },
      agent,
      signal: request.signal,
      timeout: request.idleMs,
      ...(value.basic === undefined ? {} : { auth: value.basic }),
    });
    return await answerOf(outgoing, request);
  }

  async #current(): Promise<{ readonly value: Access; readonly agent: PlainAgent }> {
    const nowMs = this.#clock.now().getTime();
    const held = this.#access;
    if (held !== undefined && nowMs < held.untilMs) return held;
    const value = await this.#loaded();
    const print = fingerprint(value);
    const untilMs = nowMs + accessMs;
    if (held !== undefined && held.print === print) this.#access = { ...held, value, untilMs };
    else {
      // Requests under way keep their connections; only idle ones of the old credentials are of no use any more.
      if (held !== undefined) retire(held.agent);
      this.#access = { value, agent: value.agent ?? agentFor(value), print, untilMs };
    }
    return this.#access;
  }

  async #loaded(): Promise<Access> {
    try {
      return await this.#load();
    } catch (error) {
      throw new KubeError('Unavailable', `cannot read the credentials for the API server: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

/** A kept connection that the server had already closed. */
class DeadConnection extends KubeError {}

/** Node frames the body of a DELETE only when it is told the length. */
function lengthOf(body: string | undefined): Readonly<Record<string, string>> {
  return body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
}

function answerOf(outgoing: ClientRequest, request: HttpRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  let incoming: IncomingMessage | undefined;
  outgoing.on('response', (answer) => {
    incoming = answer;
    resolve(answer);
  });
  outgoing.on('timeout', () => {
    const silent = new KubeError('Unavailable', `the API server sent nothing for ${request.idleMs} ms`);
    if (incoming === undefined) outgoing.destroy(silent);
    else incoming.destroy(silent);
  });
  outgoing.on('error', (error) =>
    reject(request.signal.aborted ? request.signal.reason : failureOf(error, outgoing, request)),
  );
  outgoing.end(request.body);
  return promise;
}

function failureOf(error: Error, outgoing: ClientRequest, request: HttpRequest): KubeError {
  if (error instanceof KubeError) return error;
  const message = `cannot reach the API server for ${request.method} ${request.path}: ${error.message}`;
  const code = systemCode(error);
  const dead = outgoing.reusedSocket && request.repeatable && (code === 'ECONNRESET' || code === 'EPIPE');
  return dead
    ? new DeadConnection('Unavailable', message, { cause: error })
    : new KubeError('Unavailable', message, { cause: error });
}

function agentFor(access: Access): PlainAgent {
  const options = { keepAlive: true, keepAliveMsecs: keepAliveMs, maxFreeSockets };
  return access.server.protocol === 'http:' ? new PlainAgent(options) : new TlsAgent({ ...options, ...access.tls });
}

function retire(agent: PlainAgent): void {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}

/** Equal texts mean that connections may be shared. */
function fingerprint({ server, tls }: Access): string {
  return JSON.stringify([server.href, tls]);
}

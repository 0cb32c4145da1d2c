// The client of the control API: one HTTP/2 connection, kept up with jittered back-off, and on it one held-open stream per
// subscription. What was received stays with the subscribers while the connection is away; they are told nothing then.
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import { AppError, messageOf } from '../../lib/errors.ts';
import { Backoff } from '../../lib/runtime/backoff.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { LineReader } from './lines.ts';

/** What discovery and the rest of the proxy see of the control API. */
export interface SnapshotSource {
  /** Calls `listener` with each message of a path, until the returned function is called. `listener` may throw to refuse one. */
  subscribe(path: string, listener: (message: unknown) => void): () => void;
  /** Milliseconds since the connection was lost; 0 while it stands. */
  awayMs(): number;
}

/** All that a sidecar does with the control API: over a connection of its own, or by way of another worker (sidecar/workers). */
export interface ControlPort extends SnapshotSource {
  /** Sends a body; false when it did not arrive. */
  post(path: string, body: unknown): Promise<boolean>;
  /** New credentials are there to be shown. */
  reconnect(): void;
  /** Works until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
}

/** Settings of a ControlClient. */
export interface ControlClientOptions {
  readonly dial: () => Promise<TLSSocket>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when the connection stands, before anything is asked on it, and when it is lost. */
  readonly onConnection?: ((stands: boolean) => void) | undefined;
}

interface Subscription {
  readonly path: string;
  readonly listener: (message: unknown) => void;
  readonly backoff: Backoff;
  stream: ClientHttp2Stream | undefined;
}

const PING_EVERY_MS = 10_000;
const PING_TIMEOUT_MS = 5_000;
const POST_TIMEOUT_MS = 5_000;
/** From half to one and a half of each wait: all sidecars of a replica that dies lose it at the same moment. */
const retry = { initialMs: 200, maxMs: 10_000, jitter: 1 };

/** One connection to the control API, for as long as `run` runs. */
export class ControlClient implements ControlPort {
  readonly #options: ControlClientOptions;
  readonly #subscriptions = new Set<Subscription>();
  readonly #backoff = new Backoff(retry);
  #session: ClientHttp2Session | undefined;
  #lostMs: number;
  #hurry = new AbortController();
  readonly #ended = new AbortController();

  constructor(options: ControlClientOptions) {
    this.#options = options;
    this.#lostMs = options.clock.now().getTime();
  }

  awayMs(): number {
    return this.#session === undefined ? this.#options.clock.now().getTime() - this.#lostMs : 0;
  }

  subscribe(path: string, listener: (message: unknown) => void): () => void {
    const subscription: Subscription = { path, listener, backoff: new Backoff(retry), stream: undefined };
    this.#subscriptions.add(subscription);
    this.#open(subscription);
    return () => {
      this.#subscriptions.delete(subscription);
      subscription.stream?.close(constants.NGHTTP2_CANCEL);
    };
  }

  /** Sends a body; false when there is no connection, or the answer is no success within five seconds. */
  post(path: string, body: unknown): Promise<boolean> {
    const session = this.#session;
    if (session === undefined || session.destroyed || session.closed) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/json' });
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), POST_TIMEOUT_MS);
    stream.on('response', (headers) => resolve(isSuccess(headers[':status'])));
    stream.on('error', () => resolve(false));
    stream.on('close', () => {
      clearTimeout(timer);
      resolve(false);
    });
    stream.resume();
    stream.end(JSON.stringify(body));
    return promise;
  }

  /** Gives up the present connection for a new one, without a pause: with new credentials. */
  reconnect(): void {
    this.#session?.destroy();
    this.#backoff.reset();
    this.#hurry.abort();
  }

  /** Keeps the connection up until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      await this.#once(signal).catch((error: unknown) => {
        logger.warn({ why: messageOf(error), failures: this.#backoff.failures }, 'control API is away');
      });
      this.#hurry = new AbortController();
      await clock.sleep(this.#backoff.next(), AbortSignal.any([signal, this.#hurry.signal])).catch(() => undefined);
    }
    this.#ended.abort();
  }

  async #once(signal: AbortSignal): Promise<void> {
    const { clock, logger, dial, onConnection } = this.#options;
    const socket = await dial();
    const session = connectHttp2(`https://${socket.servername || 'control'}`, { createConnection: () => socket });
    const { promise: closed, resolve: close } = Promise.withResolvers<string>();
    const stop = (): void => session.destroy();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    session.on('error', (error: Error) => close(messageOf(error)));
    session.on('close', () => close('the connection was closed'));
    // A replica that drains says so; its streams would stay open for ever.
    session.on('goaway', () => session.destroy());
    this.#session = session;
    onConnection?.(true);
    for (const subscription of this.#subscriptions) this.#open(subscription);
    logger.info({ address: socket.remoteAddress }, 'control API connected');
    const watch = new AbortController();
    void this.#ping(session, close, watch.signal);
    const why = await closed;
    watch.abort();
    signal.removeEventListener('abort', stop);
    this.#session = undefined;
    this.#lostMs = clock.now().getTime();
    onConnection?.(false);
    session.destroy();
    if (!signal.aborted) logger.info({ why }, 'control API connection lost');
  }

  /** A connection whose other end vanished without a word is found out by its silence. */
  async #ping(session: ClientHttp2Session, close: (why: string) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(PING_EVERY_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      if (session.destroyed) return close('the session was ended');
      const timer = setTimeout(() => close('it gave no sign of life'), PING_TIMEOUT_MS);
      session.ping((error) => {
        clearTimeout(timer);
        // A ping that could not be sent is no sign of life.
        if (error !== null) close(messageOf(error));
      });
    }
  }

  #open(subscription: Subscription): void {
    const session = this.#session;
    if (session === undefined || session.destroyed || session.closed) return;
    const stream = session.request({ ':method': 'GET', ':path': subscription.path });
    subscription.stream = stream;
    const lines = new LineReader((message) => {
      subscription.listener(message);
      subscription.backoff.reset();
      this.#backoff.reset();
    });
    stream.setEncoding('utf8');
    stream.on('response', (headers) => {
      if (isSuccess(headers[':status'])) return;
      this.#options.logger.warn(
        { path: subscription.path, status: headers[':status'] },
        'control API refused a request',
      );
      stream.close(constants.NGHTTP2_CANCEL);
    });
    stream.on('data', (text: string) => this.#feed(subscription, lines, text));
    stream.on('error', () => undefined);
    stream.on('close', () => void this.#reopen(subscription, stream));
  }

  #feed(subscription: Subscription, lines: LineReader, text: string): void {
    try {
      lines.push(text);
    } catch (err) {
      // The last good snapshot stays; the stream is asked for again after a pause.
      if (!(err instanceof AppError)) throw err;
      this.#options.logger.error({ err, path: subscription.path }, 'control API sent what cannot be used');
      subscription.stream?.close(constants.NGHTTP2_CANCEL);
    }
  }

  /** A stream that ended while the connection stands is opened again after a pause of its own. */
  async #reopen(subscription: Subscription, stream: ClientHttp2Stream): Promise<void> {
    const session = this.#session;
    if (session === undefined || session.destroyed || !this.#subscriptions.has(subscription)) return;
    await this.#options.clock.sleep(subscription.backoff.next(), this.#ended.signal).catch(() => undefined);
    const current = subscription.stream === stream && this.#session === session && !this.#ended.signal.aborted;
    if (current && this.#subscriptions.has(subscription)) this.#open(subscription);
  }
}

function isSuccess(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status < 300;
}

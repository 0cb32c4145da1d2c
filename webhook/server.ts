// The admission server: HTTP/1.1 over TLS 1.3, as the API server speaks to webhooks. Limits and timeouts, a certificate that
// is replaced while it runs, and an end at which no request is lost. It knows nothing of admission.
import type { Server } from 'node:https';
import { type FastifyInstance, fastify } from 'fastify';
import { AppError, messageOf } from '../lib/errors.ts';
import { listenEverywhere } from '../lib/http/listen.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { ServingCredentials } from './serving.ts';

export interface AdmissionServerOptions {
  readonly port: number;
  readonly credentials: ServingCredentials;
  readonly logger: Logger;
  /** Paths that are answered. */
  readonly paths: readonly string[];
  /** Answers the body of a review with the body of a response. AppError `input_invalid` is the caller's fault, all else ours. */
  readonly answer: (path: string, body: string) => string;
  /** Requests that got no review as an answer. */
  readonly onFailure: (status: number) => void;
}

/** A running admission server. */
export interface AdmissionServer {
  readonly port: number;
  /** New connections get this certificate; open ones go on. */
  setCredentials(credentials: ServingCredentials): void;
  /** From now on every answer asks the caller to close its connection and come back elsewhere. */
  drain(): void;
  /** Answers what is under way, then ends. */
  close(): Promise<void>;
}

/** Two objects of the largest size that etcd takes, and the review around them. */
const bodyLimit = 8 * 1024 * 1024;
/** Above the 90 s for which the API server's HTTP client keeps idle connections, so that it is never the one that is surprised. */
const keepAliveMs = 120_000;
/** Above the ten seconds after which the API server gives up. */
const requestMs = 15_000;
/** A connection at a time for each request that API servers have under way; more is somebody else. */
const maxConnections = 2_000;

/** Starts it; port 0 lets the system choose. */
export async function startAdmissionServer(options: AdmissionServerOptions): Promise<AdmissionServer> {
  const server = fastify({
    bodyLimit,
    keepAliveTimeout: keepAliveMs,
    requestTimeout: requestMs,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    https: { ...tlsOf(options.credentials), handshakeTimeout: 10_000, headersTimeout: requestMs },
  });
  server.server.maxConnections = maxConnections;
  let draining = false;
  server.addHook('onSend', async (_request, reply) => {
    if (draining) reply.header('connection', 'close');
  });
  route(server, options);
  const port = await listenEverywhere(server, options.port);
  return {
    port,
    setCredentials: (credentials) => server.server.setSecureContext(tlsOf(credentials)),
    drain: () => {
      draining = true;
    },
    close: () => server.close(),
  };
}

function tlsOf({ certificate, key }: ServingCredentials) {
  return { cert: certificate, key, minVersion: 'TLSv1.3' } as const;
}

function route(server: FastifyInstance<Server>, { paths, answer, onFailure, logger }: AdmissionServerOptions): void {
  // The text goes on as it came: parsed once, by who knows what it must be.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  server.setErrorHandler((error, request, reply) => {
    const status = statusOf(error);
    onFailure(status);
    if (status >= 500) logger.error({ err: error, path: request.url }, 'a review could not be answered');
    else logger.warn({ status, path: request.url, why: messageOf(error) }, 'a request was no review');
    return reply
      .code(status)
      .type('application/json')
      .send(JSON.stringify({ error: messageOf(error) }));
  });
  for (const path of paths) {
    server.post(path, (request, reply) => {
      const body = typeof request.body === 'string' ? request.body : '';
      return reply.type('application/json').send(answer(path, body));
    });
  }
}

/** 500 lets the API server's failurePolicy decide: a bug of ours must not start a pod without its sidecar. */
function statusOf(error: unknown): number {
  if (error instanceof AppError) return error.code === 'input_invalid' ? 400 : 500;
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' && status >= 400 ? status : 500;
}

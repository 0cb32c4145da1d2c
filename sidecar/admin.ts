// The sidecar's admin port: GET /ready, /live, /metrics and /probe/<id>, plain HTTP on all addresses of the pod, and nothing
// else. Whoever can reach the pod can ask, so nothing here changes state and every request has small, fixed limits.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '../lib/runtime/logger.ts';
import type { ProbeRunner } from './probes.ts';

/** What the admin port shows. */
export interface AdminDeps {
  /** Why this pod is not to get traffic, one word each; empty = ready. */
  readonly notReady: () => readonly string[] | Promise<readonly string[]>;
  /** Why the container should be restarted; empty = alive, the default. */
  readonly notAlive?: () => readonly string[];
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  readonly probes: ProbeRunner;
  readonly logger: Logger;
}

/** Where it listens. */
export interface AdminOptions {
  /** 0 = any free port, for tests. */
  readonly port: number;
  /** All addresses of both families by default. */
  readonly host?: string;
}

/** A running admin port. */
export interface AdminServer {
  readonly port: number;
  /** Answers what was asked and closes. */
  close(): Promise<void>;
}

const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 256;
const RECEIVE_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 15_000;
const PROBE_PREFIX = '/probe/';

/** Listens. Rejects with the system's error when the port cannot be had. */
export async function startAdmin(deps: AdminDeps, { port, host }: AdminOptions): Promise<AdminServer> {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: RECEIVE_TIMEOUT_MS,
      requestTimeout: RECEIVE_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1_000,
      // What two parsers could read differently is refused.
      requireHostHeader: true,
      insecureHTTPParser: false,
    },
    (request, response) => {
      if (!server.listening) response.setHeader('connection', 'close');
      void answer(deps, request, response);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.listen({ port, ...(host === undefined ? {} : { host }) });
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => closeServer(server) };
}

async function closeServer(server: Server): Promise<void> {
  server.close();
  server.closeIdleConnections();
  await once(server, 'close');
}

async function answer(deps: AdminDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await route(deps, request, response);
  } catch (err) {
    deps.logger.error({ err, path: request.url }, 'admin request failed');
    if (response.headersSent) response.destroy();
    else send(response, 500, 'text/plain', 'internal error\n');
  }
}

async function route(deps: AdminDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = ''] = (request.url ?? '').split('?');
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405, 'only GET is served here\n');
  if (hasBody(request)) return refuse(response, 413, 'a request here has no body\n');
  if (path === '/ready') return sendState(response, 'ready', await deps.notReady());
  if (path === '/live') return sendState(response, 'live', deps.notAlive?.() ?? []);
  if (path === '/metrics') return send(response, 200, deps.metrics.contentType, await deps.metrics.text());
  if (path.startsWith(PROBE_PREFIX)) return runProbe(deps, path.slice(PROBE_PREFIX.length), request, response);
  return send(response, 404, 'text/plain', 'here are /ready, /live, /metrics and /probe/<id>\n');
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

function sendState(response: ServerResponse, name: string, reasons: readonly string[]): void {
  const good = reasons.length === 0;
  send(response, good ? 200 : 503, 'application/json', `${JSON.stringify({ [name]: good, reasons })}\n`);
}

async function runProbe(
  { probes, logger }: AdminDeps,
  id: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const outcome = await probes.run(id, request.headers['user-agent']);
  if (outcome === undefined) return send(response, 404, 'text/plain', `this pod has no probe "${id}"\n`);
  if (!outcome.success) logger.debug({ probe: id, status: outcome.status }, 'probe failed');
  // To a hook any HTTP answer is success for the kubelet (pkg/kubelet/lifecycle), so one that got none gives none.
  if (probes.isHook(id) && !outcome.answered) return void request.socket.destroy();
  return send(response, outcome.status, 'text/plain', outcome.message);
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.setHeader('connection', 'close');
  send(response, status, 'text/plain', text);
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  // RFC 9110 section 6.4.1: these have no content.
  const body = status === 204 || status === 304 ? '' : text;
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

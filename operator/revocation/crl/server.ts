// Serves the revocation lists over plain HTTP, on every replica: GET /crl/<key id of the CA>.crl, DER (RFC 5280 section 4.2.1.13: a list is
// signed, and whoever checks certificates by it cannot check one first). Anybody may ask, so nothing else is here and all is bounded.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../../lib/clock.ts';
import type { ConfigMap } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { crlMapName, listIn, stateIn } from './store.ts';

export interface CrlServerDeps {
  /** Of Tabard's namespace. */
  readonly configMaps: Store<ConfigMap>;
  readonly namespace: string;
  readonly clock: Pick<Clock, 'now' | 'after'>;
}

/** A running server. */
export interface CrlServer {
  readonly port: number;
  /** Answers what was asked and closes; who does not take the answer is cut off after some seconds. */
  close(): Promise<void>;
}

const maximumHeaderBytes = 8 * 1024;
const maximumConnections = 1_024;
const receiveTimeoutMs = 5_000;
/** Who takes nothing for so long holds a connection that others want. */
const silentTimeoutMs = 30_000;
const closeMs = 5_000;
/** A revocation should not wait for caches on the way; half a minute spares the operator a storm of clients. Seconds. */
const cacheSeconds = 30;
const form = /^\/crl\/([0-9A-Fa-f]{2,64})\.crl$/;

/** Path at which the list of a CA is served. */
export function crlPath(keyId: string): string {
  return `/crl/${keyId.toLowerCase()}.crl`;
}

/** Listens. Rejects with the system's error when the port cannot be had. */
export async function startCrlServer(
  deps: CrlServerDeps,
  { port, host }: { port: number; host?: string },
): Promise<CrlServer> {
  const lists = new Lists();
  const server = createServer(
    {
      maxHeaderSize: maximumHeaderBytes,
      headersTimeout: receiveTimeoutMs,
      requestTimeout: receiveTimeoutMs,
      keepAliveTimeout: receiveTimeoutMs,
      connectionsCheckingInterval: 1_000,
      requireHostHeader: true,
      insecureHTTPParser: false,
    },
    (request, response) => answer({ ...deps, lists }, request, response),
  );
  server.maxConnections = maximumConnections;
  server.timeout = silentTimeoutMs;
  server.listen({ port, ...(host === undefined ? {} : { host }) });
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => closed(server, deps.clock) };
}

async function closed(server: Server, clock: Pick<Clock, 'after'>): Promise<void> {
  const end = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const callOff = clock.after(closeMs, () => server.closeAllConnections());
  await end;
  callOff();
}

/** A list as it is sent. */
interface Served {
  readonly list: Buffer;
  readonly etag: string;
  readonly thisUpdate: Date | undefined;
}

/** What ConfigMaps hold, read once each: anybody may ask, as often as he likes. */
class Lists {
  readonly #read = new WeakMap<ConfigMap, Served>();

  of(map: ConfigMap | undefined): Served | undefined {
    const known = map === undefined ? undefined : this.#read.get(map);
    if (map === undefined || known !== undefined) return known;
    const list = listIn(map);
    if (list === undefined) return undefined;
    const etag = `"${createHash('sha256').update(list).digest('base64url')}"`;
    const served = { list, etag, thisUpdate: stateIn(map)?.thisUpdate };
    this.#read.set(map, served);
    return served;
  }
}

type AnswerDeps = CrlServerDeps & { readonly lists: Lists };

function answer(deps: AnswerDeps, request: IncomingMessage, response: ServerResponse): void {
  // Nobody here has anything to send; a body is not waited for.
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405, 'only GET is served here\n');
  const [path = ''] = (request.url ?? '').split('?');
  const keyId = form.exec(path)?.[1];
  const map = keyId === undefined ? undefined : deps.configMaps.get(`${deps.namespace}/${crlMapName(keyId)}`);
  const served = deps.lists.of(map);
  if (served === undefined) return refuse(response, 404, 'here are /crl/<key id>.crl of the CAs of this mesh\n');
  const { list, etag, thisUpdate } = served;
  const modified = thisUpdate ?? new Date(0);
  const headers = {
    etag,
    'last-modified': modified.toUTCString(),
    'cache-control': `public, max-age=${cacheSeconds}`,
    ...(thisUpdate === undefined
      ? {}
      : { expires: new Date(deps.clock.now().getTime() + cacheSeconds * 1_000).toUTCString() }),
    'x-content-type-options': 'nosniff',
  };
  if (isKnown(request, etag, modified)) {
    response.writeHead(304, headers);
    response.end();
    return;
  }
  response.writeHead(200, { ...headers, 'content-type': 'application/pkix-crl', 'content-length': list.length });
  response.end(request.method === 'HEAD' ? undefined : list);
}

/** RFC 9110 section 13.1: a tag decides alone where one is given. */
function isKnown({ headers }: IncomingMessage, etag: string, modified: Date): boolean {
  const tags = headers['if-none-match'];
  if (tags !== undefined) return tags === '*' || tags.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
  const since = Date.parse(headers['if-modified-since'] ?? '');
  return !Number.isNaN(since) && modified.getTime() <= since;
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain',
    'content-length': Buffer.byteLength(text),
    connection: 'close',
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
  });
  response.end(response.req.method === 'HEAD' ? undefined : text);
}

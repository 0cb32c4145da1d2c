// An https proxy in front of an ACME server, for what servers do on bad days: it may answer by itself, or change what passes.
import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { testAuthority, testLeaf } from './pki.ts';

/** An answer. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** What the proxy does; both may be changed at any time. */
export interface HttpsProxy {
  /** URL of the directory through the proxy. */
  readonly server: string;
  readonly trust: string;
  /** Requests that came, as `METHOD path`. */
  readonly seen: string[];
  /** Answers in the place of the server; undefined lets it answer. */
  instead: (path: string, method: string) => Reply | undefined;
  /** Holds a request up before it is passed on. */
  before: (path: string) => Promise<void>;
  /** Changes a body on its way back. */
  change: (body: string, path: string, headers: IncomingHttpHeaders) => string;
  /** Stands before another server from now on. */
  aim(directory: string): void;
  stop(): Promise<void>;
}

/** Starts a proxy for the server whose directory is at this URL. The server sees the proxy's address as its own name. */
export async function startHttpsProxy(directory: string): Promise<HttpsProxy> {
  const authority = await testAuthority();
  const leaf = await testLeaf(authority, { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] });
  let target = new URL(directory);
  const server = createServer({ cert: leaf.certificate, key: leaf.key });
  const proxy: HttpsProxy = {
    server: '',
    trust: authority.certificate,
    seen: [],
    instead: () => undefined,
    before: () => Promise.resolve(),
    change: (body) => body,
    aim: (next) => {
      target = new URL(next);
    },
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  server.on('request', (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const [path, method] = [incoming.url ?? '/', incoming.method ?? 'GET'];
    proxy.seen.push(`${method} ${path}`);
    const reply = proxy.instead(path, method);
    if (reply !== undefined) {
      incoming.resume();
      outgoing.writeHead(reply.status, reply.headers).end(reply.body);
      return;
    }
    const onward = request({
      host: target.hostname,
      port: target.port,
      path,
      method,
      rejectUnauthorized: false,
      headers: incoming.headers,
    });
    onward.on(
      'response',
      (answer) => void passBack(answer, outgoing, (body) => proxy.change(body, path, answer.headers)),
    );
    onward.on('error', () => outgoing.destroy());
    void proxy.before(path).then(() => incoming.pipe(onward));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return Object.assign(proxy, { server: `https://127.0.0.1:${port}${target.pathname}` });
}

async function passBack(
  answer: IncomingMessage,
  outgoing: ServerResponse,
  change: (body: string) => string,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(Buffer.from(chunk as Uint8Array));
  const { 'content-length': _, 'transfer-encoding': __, ...headers } = answer.headers;
  outgoing.writeHead(answer.statusCode ?? 502, headers).end(change(Buffer.concat(chunks).toString('utf8')));
}

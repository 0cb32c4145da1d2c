// Requests without a pause through a pod's sidecar, by HTTP/1.1, HTTP/2 and gRPC, some on connections that last and some on new ones, beside
// an answer that never ends; and the applications that answer. Every request counts that is not answered as it should be.
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request, type Server } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Metadata } from '@grpc/grpc-js';
import { GrpcCaller, startGrpcService } from './http2/grpc.ts';
import { answerOf, exchange } from './http2/throughgate.ts';
import type { Mesh } from './pocketmesh.ts';

/** What is spoken. */
export const spoken = ['HTTP/1.1', 'HTTP/2', 'gRPC'] as const;

/** One of `spoken`. */
export type Spoken = (typeof spoken)[number];

const ticks = 'tick\n';
const tickMs = 100;

/** An application that answers at once, and on `/watch` for ever. Its port; it goes with the mesh. */
export async function startApplication(mesh: Mesh, kind: Spoken): Promise<number> {
  if (kind === 'gRPC') {
    const service = await startGrpcService();
    mesh.onEnd(() => service.stop());
    return service.port;
  }
  const server = kind === 'HTTP/2' ? http2Application(mesh) : http1Application();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  mesh.onEnd(() => {
    server.close();
    if ('closeAllConnections' in server) server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

function http1Application(): Server {
  return createServer({ keepAliveTimeout: 600_000 }, (asked, answer) => {
    asked.resume();
    if (asked.url !== '/watch') return void answer.end(`answer to ${asked.url}`);
    answer.write(ticks);
    const timer = setInterval(() => answer.write(ticks), tickMs);
    answer.on('close', () => clearInterval(timer));
  });
}

function http2Application(mesh: Mesh) {
  const server = createHttp2Server();
  server.on('session', (session) => {
    session.on('error', () => undefined);
    mesh.onEnd(() => session.destroy());
  });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => undefined);
    stream.resume();
    stream.respond({ ':status': 200 });
    if (headers[':path'] !== '/watch') return void stream.end(`answer to ${headers[':path']}`);
    stream.write(ticks);
    const timer = setInterval(() => stream.write(ticks), tickMs);
    stream.on('close', () => clearInterval(timer));
  });
  return server;
}

/** A client that asks and asks. */
interface Client {
  /** Asks once. Rejects unless the answer is what it should be. */
  ask(index: number): Promise<void>;
  /** Lets go of every connection, so that the next request makes a new one. What is under way goes on. */
  renew(): void;
  close(): void;
}

/** Requests and an endless answer under way. */
export class HttpLoad {
  /** Requests that were answered. */
  done = 0;
  /** What went wrong with the others. */
  readonly failed: string[] = [];
  /** Pieces of the endless answer that have come, and whether it has ended after all. */
  pieces = 0;
  watchEnded = false;
  readonly #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  /** Begins, on a port of loopback that leads to an application of `startApplication`; with the endless answer unless told otherwise. */
  static start(mesh: Mesh, kind: Spoken, port: number, { watched = true } = {}): HttpLoad {
    const load = new HttpLoad();
    load.#running = Promise.all([0, 1].map((worker) => load.#work(clientOf(kind, port), worker)));
    const end = watched ? watch(kind, port, load) : undefined;
    mesh.onEnd(async () => {
      end?.();
      await load.stop();
    });
    return load;
  }

  /** Ends with what is under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #work(client: Client, worker: number): Promise<void> {
    for (let index = worker; !this.#stop.signal.aborted; index += 2) {
      try {
        await client.ask(index);
        this.done += 1;
      } catch (error) {
        this.failed.push(String(error));
      }
      if (index % 10 === worker) client.renew();
      await delay(5);
    }
    client.close();
  }
}

function clientOf(kind: Spoken, port: number): Client {
  if (kind === 'HTTP/1.1') return http1Client(port);
  return kind === 'HTTP/2' ? http2Client(port) : grpcClient(port);
}

function check(heard: string, wanted: string): void {
  if (heard !== wanted) throw new Error(`heard ${JSON.stringify(heard)}`);
}

function http1Client(port: number): Client {
  let agent = new Agent({ keepAlive: true });
  const once = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request({ port, host: '127.0.0.1', path, agent }, (answer: IncomingMessage) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => void (text += chunk));
        answer.on('end', () => resolve(text));
        answer.on('error', reject);
      });
      asked.on('error', (error: NodeJS.ErrnoException) => {
        // RFC 9112 section 9.3.1: a connection that was kept may end while it is used again.
        if (asked.reusedSocket && error.code === 'ECONNRESET') resolve(once(path));
        else reject(error);
      });
      asked.end();
    });
  return {
    ask: async (index) => check(await once(`/${index}`), `answer to /${index}`),
    renew: () => {
      agent.destroy();
      agent = new Agent({ keepAlive: true });
    },
    close: () => agent.destroy(),
  };
}

function http2Client(port: number): Client {
  let session: ClientHttp2Session | undefined;
  const current = (): ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connectHttp2(`http://127.0.0.1:${port}`);
      session.on('error', () => undefined);
    }
    return session;
  };
  return {
    ask: async (index) => {
      const { headers, body, code } = await exchange(current(), { ':path': `/${index}` });
      check(`${Number(headers[':status'])} ${code} ${body.toString()}`, `200 0 answer to /${index}`);
    },
    renew: () => {
      session?.close();
      session = undefined;
    },
    close: () => session?.destroy(),
  };
}

function grpcClient(port: number): Client {
  const make = (): GrpcCaller => new GrpcCaller(`127.0.0.1:${port}`, { 'grpc.use_local_subchannel_pool': 1 });
  let caller = make();
  return {
    ask: async (index) => {
      const { code, details, message } = await caller.unary('Get', Buffer.from(`${index}`));
      check(`${code} ${details} ${message?.toString() ?? ''}`, `0 OK ${index}`);
    },
    renew: () => {
      caller.close();
      caller = make();
    },
    close: () => caller.close(),
  };
}

/** Follows the endless answer; the way to end it. */
function watch(kind: Spoken, port: number, load: HttpLoad): () => void {
  const piece = (): void => void (load.pieces += 1);
  const ended = (): void => void (load.watchEnded = true);
  if (kind === 'HTTP/1.1') {
    const asked = request({ port, host: '127.0.0.1', path: '/watch', agent: false }, (answer) => {
      answer.on('data', piece).on('close', ended).on('error', ended);
    });
    asked.on('error', ended).end();
    return () => asked.destroy();
  }
  if (kind === 'HTTP/2') {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    const stream = session.request({ ':path': '/watch' });
    stream.on('data', piece);
    void answerOf(stream).then(ended);
    return () => session.destroy();
  }
  const caller = new GrpcCaller(`127.0.0.1:${port}`);
  const asIs = (bytes: Buffer): Buffer => bytes;
  const call = caller.client.makeBidiStreamRequest('/shop.Items/Chat', asIs, asIs, new Metadata(), {});
  call.on('error', () => undefined);
  call.on('status', ended);
  call.on('data', piece);
  const timer = setInterval(() => call.write(Buffer.from('tick')), tickMs);
  return () => {
    clearInterval(timer);
    call.cancel();
    caller.close();
  };
}

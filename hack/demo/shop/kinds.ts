// The kinds of traffic that the load mixes. A kind opens one connection and makes calls on it that check the answer;
// a lost connection or a wrong answer is a failure, so "0 failed" means that nothing was cut and nothing was changed.
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { type ClientDuplexStream, credentials, Client as GrpcClient } from '@grpc/grpc-js';
import { Redis } from 'ioredis';
import { createConnection } from 'mysql2/promise';
import { Client as Postgres } from 'pg';
import { WebSocket } from 'ws';

/** One open connection of a kind. */
export interface Line {
  /** Sends `text`, resolves when the right answer came back. */
  call(text: string): Promise<void>;
  close(): Promise<void>;
}

/** Opens a connection to `host`. */
export type Kind = (host: string) => Promise<Line>;

const callTimeoutMs = 10_000;

function sameText(got: string, wanted: string): void {
  if (!got.includes(wanted)) throw new Error(`wrong answer: ${got.slice(0, 80)}`);
}

async function httpCall(host: string, agent: Agent, text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const outgoing = request(
    { host, port: 8080, path: '/items', method: 'POST', agent, timeout: callTimeoutMs },
    (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () =>
        answer.statusCode === 200
          ? resolve(Buffer.concat(chunks).toString())
          : reject(new Error(`HTTP ${answer.statusCode}`)),
      );
      answer.on('error', reject);
    },
  );
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')));
  outgoing.on('error', reject);
  outgoing.end(text);
  sameText(await promise, text);
}

const http: Kind = async (host) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    call: (text) => httpCall(host, agent, text),
    close: async () => agent.destroy(),
  };
};

/** Channels of one process share a connection otherwise, and a new channel would be no new connection. */
const ownConnection = { 'grpc.use_local_subchannel_pool': 1 };

const grpc: Kind = async (host) => {
  const client = new GrpcClient(`${host}:9090`, credentials.createInsecure(), ownConnection);
  const pass = (value: Buffer): Buffer => value;
  return {
    call: async (text) => {
      const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
      client.makeUnaryRequest(
        '/shop.Echo/Say',
        pass,
        pass,
        Buffer.from(text),
        { deadline: Date.now() + callTimeoutMs },
        (error, answer) => (error || answer === undefined ? reject(error ?? new Error('empty')) : resolve(answer)),
      );
      sameText((await promise).toString(), text);
    },
    close: async () => client.close(),
  };
};

/** Calls over one stream that lives as long as the line. */
const grpcStream: Kind = async (host) => {
  const client = new GrpcClient(`${host}:9090`, credentials.createInsecure(), ownConnection);
  const pass = (value: Buffer): Buffer => value;
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest('/shop.Echo/Chat', pass, pass);
  const inbox = mailbox();
  stream.on('data', (message: Buffer) => inbox.deliver(message.toString()));
  stream.on('error', (error) => inbox.fail(error));
  stream.on('end', () => inbox.fail(new Error('the stream ended')));
  return {
    call: async (text) => {
      stream.write(Buffer.from(text));
      sameText(await inbox.next(), text);
    },
    close: async () => {
      inbox.closed();
      stream.end();
      client.close();
    },
  };
};

const websocket: Kind = async (host) => {
  const socket = new WebSocket(`ws://${host}:8081/`, { handshakeTimeout: callTimeoutMs });
  const inbox = mailbox();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on('open', () => resolve());
  socket.on('error', (error) => {
    reject(error);
    inbox.fail(error);
  });
  socket.on('close', (code) => inbox.fail(new Error(`closed with ${code}`)));
  socket.on('message', (data: Buffer) => inbox.deliver(data.toString()));
  await promise;
  return {
    call: async (text) => {
      socket.send(text);
      sameText(await inbox.next(), text);
    },
    close: async () => {
      inbox.closed();
      socket.close();
    },
  };
};

const postgres: Kind = async (host) => {
  const client = new Postgres({
    host,
    user: 'shop',
    database: 'postgres',
    password: 'shop',
    connectionTimeoutMillis: callTimeoutMs,
  });
  let broken: Error | undefined;
  client.on('error', (error) => {
    broken = error;
  });
  await client.connect();
  return {
    call: async (text) => {
      if (broken !== undefined) throw broken;
      const { rows } = await client.query<{ said: string }>('select $1::text as said', [text]);
      sameText(rows[0]?.said ?? '', text);
    },
    close: () => client.end(),
  };
};

/** MariaDB: the server speaks first. */
const mariadb: Kind = async (host) => {
  const connection = await createConnection({ host, user: 'shop', password: 'shop', connectTimeout: callTimeoutMs });
  return {
    call: async (text) => {
      const [rows] = await connection.query('select ? as said', [text]);
      sameText(JSON.stringify(rows), text);
    },
    close: () => connection.end(),
  };
};

const redis: Kind = async (host) => {
  const client = new Redis({
    host,
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: callTimeoutMs,
    maxRetriesPerRequest: 0,
  });
  client.on('error', () => undefined); // reported by the call that meets it
  await client.connect();
  return {
    call: async (text) => sameText(await client.echo(text), text),
    close: async () => client.disconnect(),
  };
};

/** Half-close: the client ends its side and must still get the whole answer. */
const halfClose: Kind = async (host) => ({
  call: async (text) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const socket = connect({ host, port: 8080, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.setTimeout(callTimeoutMs, () => socket.destroy(new Error('no answer in time')));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks).toString()));
    socket.on('error', reject);
    socket.end(
      `POST /half HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    );
    sameText(await promise, text);
    socket.destroy();
  },
  close: async () => undefined,
});

/** Every kind by name, with the host it calls by default. */
export const kinds: Readonly<Record<string, { readonly open: Kind; readonly host: string }>> = {
  http: { open: http, host: 'api' },
  grpc: { open: grpc, host: 'api' },
  'grpc-stream': { open: grpcStream, host: 'api' },
  websocket: { open: websocket, host: 'api' },
  'half-close': { open: halfClose, host: 'api' },
  postgres: { open: postgres, host: 'postgres' },
  mariadb: { open: mariadb, host: 'mariadb' },
  redis: { open: redis, host: 'redis' },
};

/** Answers in order of arrival, each awaited with a bound; a failure reaches every later wait. */
function mailbox() {
  const messages: string[] = [];
  let waiting: PromiseWithResolvers<string> | undefined;
  let failure: Error | undefined;
  let over = false;
  return {
    deliver(text: string): void {
      if (waiting === undefined) return void messages.push(text);
      waiting.resolve(text);
      waiting = undefined;
    },
    fail(error: Error): void {
      if (over) return;
      failure ??= error;
      waiting?.reject(error);
      waiting = undefined;
    },
    closed(): void {
      over = true;
    },
    async next(): Promise<string> {
      if (failure !== undefined) throw failure;
      const first = messages.shift();
      if (first !== undefined) return first;
      const wait = Promise.withResolvers<string>();
      waiting = wait;
      const timer = setTimeout(() => wait.reject(new Error('no answer in time')), callTimeoutMs);
      return wait.promise.finally(() => clearTimeout(timer));
    },
  };
}

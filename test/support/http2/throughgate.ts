// A client and a server of node:http2 with a gate between them, all in memory.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import type { Exchange } from '../../../sidecar/exchange.ts';
import { type Http2Broken, Http2Gate, type Http2GateOptions } from '../../../sidecar/http2/gate.ts';
import { join } from '../../../sidecar/relay/join.ts';
import { type LinkOptions, linkedHalves } from '../linkedhalves.ts';
import { LinkDuplex } from './linkduplex.ts';

/** What a gate of a test has unless the test says otherwise. */
export const gateOptions: Http2GateOptions = {
  limits: { octets: 32_768, fields: 100, refuseUnderscores: true },
  headTimeoutMs: 10_000,
  plan: { removed: [], proved: [], answers: [] },
};

/** How a connection is made. */
export interface ThroughOptions {
  readonly gate?: Partial<Http2GateOptions>;
  readonly link?: LinkOptions;
  readonly client?: Settings;
  readonly server?: Settings;
}

/** A connection through a gate. */
export interface Through {
  readonly client: ClientHttp2Session;
  readonly server: ServerHttp2Session;
  readonly gate: Http2Gate;
  readonly over: Exchange[];
  readonly broken: Http2Broken[];
  end(): void;
}

/** Connects both; `serve` gets the streams that come out of the gate. */
export function throughGate(
  serve: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  options: ThroughOptions = {},
): Through {
  const [near, client] = linkedHalves(options.link);
  const [far, server] = linkedHalves(options.link);
  const over: Exchange[] = [];
  const broken: Http2Broken[] = [];
  const gate = new Http2Gate(far, {
    ...gateOptions,
    over: (each) => over.push(each),
    broken: (each) => broken.push(each),
    ...options.gate,
  });
  join(near, gate);
  const serverSession = performServerHandshake(
    new LinkDuplex(server),
    options.server === undefined ? {} : { settings: options.server },
  );
  serverSession.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => undefined);
    serve(stream, headers);
  });
  serverSession.on('error', () => undefined);
  const clientSession = connect('http://web', {
    createConnection: () => new LinkDuplex(client),
    ...(options.client === undefined ? {} : { settings: options.client }),
  });
  clientSession.on('error', () => undefined);
  return {
    client: clientSession,
    server: serverSession,
    gate,
    over,
    broken,
    end: () => {
      clientSession.destroy();
      serverSession.destroy();
    },
  };
}

/** What came back on a stream. */
export interface Answered {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Error code of the stream's end. */
  readonly code: number;
}

/** One exchange. */
export async function exchange(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: Buffer = Buffer.alloc(0),
): Promise<Answered> {
  const stream = session.request(headers, { endStream: body.length === 0 });
  if (body.length > 0) stream.end(body);
  return answerOf(stream);
}

/** All that comes back, once the stream is closed. */
export async function answerOf(stream: ClientHttp2Stream): Promise<Answered> {
  let got: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.on('response', (headers) => void (got = headers));
  stream.on('trailers', (headers) => void (trailers = headers));
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => undefined);
  await new Promise<void>((resolve) => stream.once('close', resolve));
  return { headers: got, trailers, body: Buffer.concat(chunks), code: stream.rstCode };
}

// The shop's api service: HTTP/1.1 on 8080, the same over the application's own TLS on 8443, WebSocket echo on 8081, gRPC on 9090
// (echo, a stream, the standard health service).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { WebSocketServer } from 'ws';
import { createAuthority, issueLeaf } from '../../../lib/pki/ca.ts';
import { generateKey, privateKeyPem } from '../../../lib/pki/keys.ts';

/** Ports of the api service. */
export const apiPorts = { http: 8080, https: 8443, websocket: 8081, grpc: 9090 } as const;

const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };

const method = (path: string, stream: boolean) => ({
  path,
  requestStream: stream,
  responseStream: stream,
  requestSerialize: bytes.serialize,
  requestDeserialize: bytes.deserialize,
  responseSerialize: bytes.serialize,
  responseDeserialize: bytes.deserialize,
});

/** The gRPC service, with bytes for messages: what travels is what the caller chose. */
export const echoService = { say: method('/shop.Echo/Say', false), chat: method('/shop.Echo/Chat', true) };

const healthService = { check: method('/grpc.health.v1.Health/Check', false) };

/** HealthCheckResponse{status: SERVING}. */
const serving = Buffer.from([0x08, 0x01]);

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? '/';
  if (url.startsWith('/hook')) console.log(`api: ${url}`);
  if (url.startsWith('/health')) return void response.end('ok\n');
  if (url === '/fail') return void response.writeHead(500).end('failing as asked\n');
  if (url === '/bytes') return void response.end(Buffer.alloc(10_000_000, 'b'));
  response.setHeader('content-type', 'text/plain');
  response.write(`${request.method} ${url} seen from ${request.socket.remoteAddress}\n`);
  request.pipe(response);
}

/** A certificate that nobody knows, as an application with TLS of its own may have. */
async function ownCertificate(): Promise<{ readonly cert: string; readonly key: string }> {
  const now = new Date();
  const authority = await createAuthority({ trustDomain: 'shop.example', lifetimeMs: 86_400_000, now });
  const { privateKey, publicKey } = await generateKey('ECDSA-P256');
  const identity = { trustDomain: 'shop.example', namespace: 'shop', service: 'api' };
  const leaf = issueLeaf({
    authority,
    publicKey,
    identity,
    dnsNames: ['api.shop.example'],
    now,
    lifetimeMs: 86_400_000,
  });
  return { cert: leaf.certificate, key: privateKeyPem(privateKey) };
}

/** Serves until the signal fires; open requests are answered first. */
export async function startApi(stop: AbortSignal): Promise<void> {
  const http = createServer(answer);
  // Longer than any client of the load keeps an idle connection, so that only a broken proxy can cut one.
  http.keepAliveTimeout = 600_000;
  http.listen(apiPorts.http, '::');

  const https = createTlsServer(await ownCertificate(), answer);
  https.listen(apiPorts.https, '::');

  const sockets = new WebSocketServer({ port: apiPorts.websocket, host: '::' });
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));

  const grpc = new Server();
  grpc.addService(echoService, {
    say: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => done(null, call.request),
    chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on('data', (message: Buffer) => call.write(message));
      call.on('end', () => call.end());
    },
  });
  grpc.addService(healthService, {
    check: (_call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => done(null, serving),
  });
  await new Promise<void>((resolve, reject) => {
    grpc.bindAsync(`[::]:${apiPorts.grpc}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  console.log('api: listening');

  stop.addEventListener('abort', () => {
    http.close();
    http.closeIdleConnections();
    https.close();
    for (const client of sockets.clients) client.close(1001);
    sockets.close();
    grpc.tryShutdown(() => undefined);
    setTimeout(() => process.exit(0), 3_000).unref();
  });
}

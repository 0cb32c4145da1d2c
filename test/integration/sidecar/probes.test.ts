// Each kind of probe against real servers, true and false. The pod's address is 127.0.0.2 here, so that an application on
// 127.0.0.1 is one that listens on loopback alone.
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttp2, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { ProbeAction } from '../../../lib/api/probes.ts';
import type { ProbeOutcome } from '../../../sidecar/probe/outcome.ts';
import { ProbeRunner } from '../../../sidecar/probes.ts';
import { testAuthority, testLeaf } from '../../support/pki.ts';

jest.setTimeout(30_000);

const POD = '127.0.0.2';
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Listens and returns the port; ended after the test. */
async function serve(server: NetServer, host = POD): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket));
  server.on('secureConnection', (socket) => sockets.add(socket));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function closedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, POD);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface RunOptions {
  readonly timeoutMs?: number;
  readonly address?: string;
  readonly userAgent?: string;
}

async function run(action: ProbeAction, options: RunOptions = {}): Promise<ProbeOutcome | undefined> {
  const { timeoutMs = 10_000, address = POD, userAgent = 'kube-probe/1.37' } = options;
  return runner(action, timeoutMs, address).run('app/readiness', userAgent);
}

function runner(action: ProbeAction, timeoutMs = 10_000, address = POD): ProbeRunner {
  return new ProbeRunner({ probes: [{ id: 'app/readiness', timeoutMs, action }], podIps: [address] });
}

const get = (port: number, path = '/', changes: object = {}): ProbeAction => ({
  kind: 'http',
  scheme: 'HTTP',
  port,
  path,
  headers: [],
  ...changes,
});

/** An HTTP server that remembers what it was asked. */
async function web(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  host = POD,
): Promise<{ readonly port: number; readonly seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server: Server = createHttp((request, response) => {
    seen.push(request);
    handle(request, response);
  });
  return { port: await serve(server, host), seen };
}

describe('an http probe', () => {
  test.each([
    [200, true],
    [204, true],
    [399, true],
    [400, false],
    [404, false],
    [500, false],
    [503, false],
  ])('of an application that answers %i has success %s and hands that answer on', async (status, success) => {
    const { port } = await web((_request, response) => response.writeHead(status).end(status === 204 ? '' : 'state'));
    expect(await run(get(port))).toEqual({ success, answered: true, status, message: status === 204 ? '' : 'state' });
  });

  test("asks as the kubelet does, with the author's path and headers", async () => {
    const { port, seen } = await web((_request, response) => response.end());
    const headers = [
      { name: 'X-Check', value: 'one' },
      { name: 'X-Check', value: 'two' },
      { name: 'Host', value: 'shop.example' },
    ];
    await run(get(port, 'healthz?deep=1#top', { headers }));
    const [request] = seen;
    expect(request).toMatchObject({ method: 'GET', url: '/healthz?deep=1' });
    expect(request?.headers).toEqual({
      host: 'shop.example',
      'x-check': 'one, two',
      'user-agent': 'kube-probe/1.37',
      accept: '*/*',
      connection: 'close',
    });
  });

  test('lets the author replace the User-Agent or take it away', async () => {
    const { port, seen } = await web((_request, response) => response.end());
    await run(get(port, '/', { headers: [{ name: 'user-agent', value: 'mine' }] }));
    await run(get(port, '/', { headers: [{ name: 'User-Agent', value: '' }] }));
    expect(seen.map(({ headers }) => headers['user-agent'])).toEqual(['mine', undefined]);
  });

  test('passes on the name of a kubelet and of nobody else', async () => {
    const { port, seen } = await web((_request, response) => response.end());
    await run(get(port), { userAgent: 'kube-lifecycle/1.37' });
    await run(get(port), { userAgent: 'curl/8' });
    expect(seen.map(({ headers }) => headers['user-agent'])).toEqual(['kube-lifecycle/1.37', 'kube-probe/tabard']);
  });

  test('escapes what may not stand in a path', async () => {
    const { port, seen } = await web((_request, response) => response.end());
    expect(await run(get(port, '/é x?q=ü'))).toMatchObject({ success: true });
    expect(seen[0]?.url).toBe('/%C3%A9%20x?q=%C3%BC');
  });

  test('follows a redirect on the same host, also to another port, and judges the end of it', async () => {
    const end = await web((_request, response) => response.writeHead(500).end('end'));
    const { port, seen } = await web((request, response) => {
      const location = request.url === '/' ? '/next' : `http://${POD}:${end.port}/end`;
      response.writeHead(302, { location }).end();
    });
    expect(await run(get(port))).toEqual({ success: false, answered: true, status: 500, message: 'end' });
    expect([...seen, ...end.seen].map(({ url }) => url)).toEqual(['/', '/next', '/end']);
  });

  test('takes a redirect to another host for success without going there', async () => {
    const elsewhere = await web((_request, response) => response.end(), '127.0.0.3');
    const location = `http://127.0.0.3:${elsewhere.port}/`;
    const { port } = await web((_request, response) => response.writeHead(301, { location }).end());
    expect(await run(get(port))).toMatchObject({ success: true, status: 301 });
    expect(elsewhere.seen).toEqual([]);
  });

  test('fails after ten redirects', async () => {
    const { port, seen } = await web((_request, response) => response.writeHead(307, { location: '/' }).end());
    expect(await run(get(port))).toMatchObject({
      success: false,
      answered: false,
      message: 'stopped after 10 redirects',
    });
    expect(seen).toHaveLength(10);
  });

  test('fails when nobody listens, and says so', async () => {
    expect(await run(get(await closedPort()))).toMatchObject({
      success: false,
      answered: false,
      status: 503,
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('fails when the application listens on loopback alone, as it would without Tabard', async () => {
    const { port, seen } = await web((_request, response) => response.end(), '127.0.0.1');
    expect(await run(get(port))).toMatchObject({ success: false, message: expect.stringContaining('ECONNREFUSED') });
    expect(seen).toEqual([]);
  });

  test.each([
    ['never answers', () => undefined],
    ['never ends its answer', (response: ServerResponse) => response.writeHead(200).write('x')],
  ])('fails at its timeout when the application %s', async (_name, handle) => {
    const { port } = await web((_request, response) => handle(response));
    const started = performance.now();
    expect(await run(get(port), { timeoutMs: 100 })).toMatchObject({
      success: false,
      answered: false,
      message: 'no answer within 100 ms',
    });
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  test('reads ten kilobytes of an answer that does not end, and judges by its status', async () => {
    const { port } = await web((_request, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write('x'.repeat(4096)), 1);
      response.on('close', () => clearInterval(timer));
    });
    const outcome = await run(get(port));
    expect(outcome).toMatchObject({ success: true, status: 200 });
    expect(outcome?.message).toHaveLength(10 * 1024);
  });

  test('fails when the answer is no HTTP', async () => {
    const port = await serve(createServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n')));
    expect(await run(get(port))).toMatchObject({ success: false, answered: false });
  });

  test('is carried out once for all who ask at the same time, and again for who asks later', async () => {
    const { port, seen } = await web((_request, response) => void setTimeout(() => response.end(), 50));
    const probe = runner(get(port));
    const outcomes = await Promise.all([1, 2, 3].map(() => probe.run('app/readiness', 'kube-probe/1.37')));
    expect(outcomes.map((outcome) => outcome?.success)).toEqual([true, true, true]);
    expect(seen).toHaveLength(1);
    await probe.run('app/readiness');
    expect(seen).toHaveLength(2);
  });

  test('works over IPv6', async () => {
    const { port, seen } = await web((_request, response) => response.end(), '::1');
    expect(await run(get(port), { address: '::1' })).toMatchObject({ success: true });
    expect(seen[0]?.headers.host).toBe(`[::1]:${port}`);
  });
});

describe('an https probe', () => {
  async function secureWeb(status: number): Promise<number> {
    const leaf = await testLeaf(await testAuthority());
    return serve(
      createHttps({ cert: leaf.certificate, key: leaf.key }, (_request, response) => response.writeHead(status).end()),
    );
  }

  test('does not look at the certificate', async () => {
    expect(await run(get(await secureWeb(200), '/', { scheme: 'HTTPS' }))).toMatchObject({ success: true });
  });

  test('fails when the application says so', async () => {
    expect(await run(get(await secureWeb(500), '/', { scheme: 'HTTPS' }))).toMatchObject({
      success: false,
      status: 500,
    });
  });

  test('fails against an application that speaks plain HTTP', async () => {
    const { port } = await web((_request, response) => response.end());
    expect(await run(get(port, '/', { scheme: 'HTTPS' }))).toMatchObject({ success: false, answered: false });
  });
});

describe('a tcp probe', () => {
  test('succeeds when a connection opens, and closes it', async () => {
    const server = createServer();
    const port = await serve(server);
    const connected = once(server, 'connection');
    expect(await run({ kind: 'tcp', port })).toMatchObject({ success: true, status: 200 });
    const [socket] = (await connected) as [NodeJS.ReadableStream];
    socket.resume();
    await once(socket, 'close');
  });

  test('fails when nobody listens', async () => {
    expect(await run({ kind: 'tcp', port: await closedPort() })).toMatchObject({
      success: false,
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('fails when the application listens on loopback alone', async () => {
    expect(await run({ kind: 'tcp', port: await serve(createServer(), '127.0.0.1') })).toMatchObject({
      success: false,
    });
  });
});

describe('a grpc probe', () => {
  const health = (...body: number[]): Buffer => Buffer.from([0, 0, 0, 0, body.length, ...body]);

  async function grpc(handle: (stream: ServerHttp2Stream, asked: Buffer, path: string) => void): Promise<number> {
    const server = createHttp2();
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => handle(stream, Buffer.concat(chunks), String(headers[':path'])));
    });
    return serve(server);
  }

  /** Answers as a gRPC server does: headers, one message, trailers. */
  function reply(stream: ServerHttp2Stream, message: Buffer, status = '0'): void {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
    stream.end(message);
  }

  const ask = async (port: number, service = '', options: RunOptions = {}) =>
    run({ kind: 'grpc', port, service }, options);

  test('succeeds for a service that serves, and asks for it by name', async () => {
    const asked: string[] = [];
    const port = await grpc((stream, body, path) => {
      asked.push(path, body.subarray(7).toString());
      reply(stream, health(0x08, 1));
    });
    expect(await ask(port, 'shop')).toMatchObject({ success: true, message: 'SERVING' });
    expect(asked).toEqual(['/grpc.health.v1.Health/Check', 'shop']);
  });

  test.each([
    ['says NOT_SERVING', health(0x08, 2), '0', 'service unhealthy (NOT_SERVING)'],
    ['says nothing of its status', health(), '0', 'service unhealthy (UNKNOWN)'],
    ['ends in an error', health(0x08, 1), '13', 'the health service answered with gRPC status 13'],
    ['answers garbage', Buffer.from('garbage'), '0', 'the answer is no health status'],
  ])('fails for a service that %s', async (_name, message, status, said) => {
    const port = await grpc((stream) => reply(stream, message, status));
    expect(await ask(port)).toMatchObject({ success: false, status: 503, message: said });
  });

  test('fails with the reason for a service that is not known or has no health service', async () => {
    const port = await grpc((stream) => {
      const headers = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' };
      stream.respond({ ...headers, 'grpc-message': 'unknown%20service' }, { endStream: true });
    });
    expect(await ask(port)).toMatchObject({
      success: false,
      message: 'the health service answered with gRPC status 5 (unknown service)',
    });
  });

  test('fails against an HTTP/2 server that is no gRPC server', async () => {
    const port = await grpc((stream) => {
      stream.respond({ ':status': 404 });
      stream.end('not found');
    });
    expect(await ask(port)).toMatchObject({
      success: false,
      message: 'HTTP status 404 without a gRPC status: no gRPC server',
    });
  });

  test('fails against an answer without an end', async () => {
    const port = await grpc((stream) => {
      stream.respond({ ':status': 200 });
      const timer = setInterval(() => stream.write('x'.repeat(1024)), 1);
      stream.on('close', () => clearInterval(timer)).on('error', () => undefined);
    });
    expect(await ask(port)).toMatchObject({ success: false, message: expect.stringContaining('too long') });
  });

  test('fails against a server that speaks HTTP/1.1, resets, or is not there', async () => {
    const old = await web((_request, response) => response.end());
    const resets = await serve(createServer((socket) => socket.resetAndDestroy()));
    for (const port of [old.port, resets, await closedPort()]) {
      expect(await ask(port)).toMatchObject({ success: false, answered: false });
    }
  });

  test('fails at its timeout against a server that is silent', async () => {
    const silent = await serve(createServer());
    expect(await ask(silent, '', { timeoutMs: 100 })).toMatchObject({
      success: false,
      message: 'no answer within 100 ms',
    });
    const slow = await grpc(() => undefined);
    expect(await ask(slow, '', { timeoutMs: 100 })).toMatchObject({
      success: false,
      message: 'no answer within 100 ms',
    });
  });
});

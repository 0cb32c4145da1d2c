// HTTP through sidecars whose policy wants something of it: the header that is put in, the requests that are refused, and everything else
// untouched, over real TLS, on connections of their own and in tunnels.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ask, Mesh, type Pod, refusals, until as within } from '../../support/pocketmesh.ts';
import type { SelfOptions } from '../../support/sidecar.ts';

/** A busy machine may take its time. */
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 15_000);

const hsts = 'max-age=60; includeSubDomains';
let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

/** A web server that says what it got. */
function site(): Server {
  const server = createServer((asked, answer) => {
    const hash = createHash('sha256');
    asked.on('data', (chunk: Buffer) => hash.update(chunk));
    asked.on('end', () => answer.end(`${asked.method} ${asked.url} ${hash.digest('hex')}`));
  });
  server.on('upgrade', (_, socket: Socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
  return server;
}

/** A pod with a web server, published as port 8080, under a policy that asks for HSTS unless it says otherwise. */
async function web(
  self: SelfOptions,
  wanted: { readonly http?: { readonly hsts: string } } = { http: { hsts } },
): Promise<Pod> {
  const server = site();
  const application = await mesh.application((socket) => void server.emit('connection', socket));
  mesh.onEnd(() => server.closeAllConnections());
  const ports = [{ port: application.port, mode: self.mode ?? ('Mutual' as const), protocol: 'HTTP' as const }];
  const pod = await mesh.pod('web', { applicationPort: application.port, self: { ...self, ...wanted, ports } });
  mesh.publish(8080, [pod]);
  return pod;
}

interface Answered {
  readonly status: number | undefined;
  readonly hsts: string | undefined;
  readonly text: string;
}

/** One request on a connection that is there already. */
async function call(socket: Socket, target: string, body: Buffer = Buffer.alloc(0)): Promise<Answered> {
  const asked = request({
    createConnection: () => socket,
    path: target,
    method: body.length > 0 ? 'PUT' : 'GET',
    headers: { connection: 'keep-alive' },
  });
  asked.end(body);
  const [answer] = await once(asked, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const { statusCode: status, headers } = answer;
  return { status, hsts: headers['strict-transport-security'], text: Buffer.concat(chunks).toString() };
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const requests = (pod: Pod) => pod.lines.filter(({ msg }) => msg === 'request');

describe.each(['Tunnel', 'Direct'] as const)('HTTP between sidecars by %s', (transport) => {
  const connections = { transport };

  test('gets Strict-Transport-Security into every answer, and a line in the log for every request, without its query', async () => {
    const pod = await web({ connections });
    const shop = await mesh.pod('shop', { self: { connections } });
    const socket = shop.dial(8080);
    for (const target of ['/a?secret=1', '/b']) {
      const nothing = digest(Buffer.alloc(0));
      expect(await call(socket, target)).toEqual({ status: 200, hsts, text: `GET ${target} ${nothing}` });
    }
    socket.destroy();
    await until(() => requests(pod).length === 2, 'both requests are logged');
    expect(requests(pod)[0]).toMatchObject({
      peer: 'spiffe://cluster.local/ns/shop/svc/shop',
      'http.request.method': 'GET',
      'url.path': '/a',
      'http.response.status_code': 200,
    });
    expect(JSON.stringify(pod.lines)).not.toContain('secret=1');
  });

  test('carries ten megabytes up as they are', async () => {
    await web({ connections });
    const shop = await mesh.pod('shop', { self: { connections } });
    const body = Buffer.alloc(10_485_760, 'ten megabytes of this and that');
    const socket = shop.dial(8080);
    expect(await call(socket, '/', body)).toEqual({ status: 200, hsts, text: `PUT / ${digest(body)}` });
    socket.destroy();
  });

  test('refuses what two parsers could read differently with 400, says why in the log, and hands nothing on', async () => {
    const pod = await web({ connections });
    const shop = await mesh.pod('shop', { self: { connections } });
    const trick =
      'POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n';
    const got = await ask(shop.dial(8080), trick);
    expect(got).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(got).toContain(`Strict-Transport-Security: ${hsts}\r\n`);
    expect(got).toContain('malformed: content_length_with_transfer_encoding\n');
    await until(() => refusals(pod).length === 1, 'the refusal is logged');
    expect(refusals(pod)[0]).toMatchObject({
      reason: 'malformed',
      detail: 'request: content_length_with_transfer_encoding',
    });
    expect(requests(pod)).toEqual([]);
  });

  test('lets an upgraded connection be whatever it wants', async () => {
    await web({ connections });
    const shop = await mesh.pod('shop', { self: { connections } });
    const socket = shop.dial(8080);
    socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    let got = '';
    socket.on('data', (chunk: Buffer) => void (got += chunk.toString('latin1')));
    await until(() => got.endsWith('\r\n\r\n'), 'the protocols are switched');
    expect(got).toMatch(/^HTTP\/1\.1 101 /);
    expect(got).not.toContain('Strict-Transport-Security');
    socket.end('\0\x01 no HTTP');
    await until(() => got.endsWith('\0\x01 no HTTP'), 'the echo is back');
  });
});

test.each([
  ['refuses names of fields with underscores', {}, 400],
  ['passes them where the policy says so', { underscoresInHeaders: 'Pass' }, 200],
] as const)('%s', async (_, self, status) => {
  const pod = await web(self);
  const shop = await mesh.pod('shop');
  const got = await ask(shop.dial(8080), 'GET /a HTTP/1.1\r\nHost: web\r\nX_Tenant: a\r\nConnection: close\r\n\r\n');
  expect(got).toContain(`HTTP/1.1 ${status} `);
  const disguised = await ask(shop.dial(8080), 'GET / HTTP/1.1\r\nHost: web\r\nClient_Cert: :a:\r\n\r\n');
  expect(disguised).toContain('malformed: underscore_in_field_name\n');
  await until(() => refusals(pod).length > 0, 'the refusal is logged');
});

test('never says Strict-Transport-Security over plaintext (RFC 6797 section 7.2)', async () => {
  const pod = await web({ mode: 'Permissive' });
  const socket = pod.knock();
  expect(await call(socket, '/')).toMatchObject({ status: 200, hsts: undefined });
  socket.destroy();
});

test('passes everything unread where the policy wants nothing of HTTP', async () => {
  const pod = await web({ accessLog: 'Denied' }, {});
  const shop = await mesh.pod('shop');
  const socket = shop.dial(8080);
  expect(await call(socket, '/')).toMatchObject({ status: 200, hsts: undefined });
  socket.destroy();
  expect(requests(pod)).toEqual([]);
});

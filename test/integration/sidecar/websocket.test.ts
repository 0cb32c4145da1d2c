// WebSocket through a gate, between two sidecars: `ws` as the server, `ws` and Node's own client as peers. After the upgrade every octet passes as it
// is, so what is at stake is the switch itself and what comes right behind it.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { WebSocket as Peer, WebSocketServer } from 'ws';
import { Mesh, type Pod, until as within } from '../../support/pocketmesh.ts';

const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 90_000);
const port = 8_080;
let mesh: Mesh;
/** How the server's sockets have ended: code and reason. */
let closes: string[];

beforeEach(async () => {
  mesh = await Mesh.start();
  closes = [];
});
afterEach(() => mesh.end());

/** A pod that echoes messages, says `hello` at once, and lets nobody in without a cookie where the path is /private. */
async function echo(): Promise<Pod> {
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: true, maxPayload: 32 * 1_048_576 });
  const site = createServer((_, answer) => answer.end('HTTP goes on'));
  site.on('upgrade', (asked: IncomingMessage, socket: Socket, head: Buffer) => {
    if (asked.url === '/private') {
      socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno');
      return;
    }
    server.handleUpgrade(asked, socket, head, (peer) => {
      // Leaves with the octets of the answer, or right behind them.
      peer.send('hello');
      peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
      peer.on('close', (code, reason) => void closes.push(`${code} ${reason.toString()}`));
      peer.on('error', () => undefined);
    });
  });
  const application = await mesh.application((socket) => void site.emit('connection', socket));
  mesh.onEnd(() => {
    for (const peer of server.clients) peer.terminate();
    server.close();
    site.closeAllConnections();
  });
  const ports = [{ port: application.port, mode: 'Mutual' as const, protocol: 'HTTP' as const }];
  const self = { ports, http: { hsts: 'max-age=60' } };
  const pod = await mesh.pod('web', { applicationPort: application.port, self });
  mesh.publish(port, [pod]);
  return pod;
}

/** A client of `ws` through the sidecar of a pod; what it hears, text as text. */
async function join(shop: Pod, path = '/') {
  const peer = new Peer(`ws://web:${port}${path}`, {
    createConnection: () => shop.dial(port),
    perMessageDeflate: true,
    maxPayload: 32 * 1_048_576,
  });
  mesh.onEnd(() => peer.terminate());
  const heard: (Buffer | string)[] = [];
  peer.on('message', (data: Buffer, isBinary) => void heard.push(isBinary ? data : data.toString()));
  peer.on('error', () => undefined);
  await Promise.race([once(peer, 'open'), once(peer, 'unexpected-response')]);
  return { peer, heard };
}

describe('a WebSocket through two sidecars', () => {
  test('carries text, octets, empty messages and two megabytes as they are', async () => {
    await echo();
    const { peer, heard } = await join(await mesh.pod('shop'));
    const large = randomBytes(2 * 1_048_576);
    const said = ['grüß dich', '', randomBytes(1), Buffer.alloc(0), randomBytes(65_536), large, 'last'];
    for (const each of said) peer.send(each);
    await until(() => heard.length === said.length + 1, 'all is back');
    expect(heard[0]).toBe('hello');
    expect(heard.slice(1).map((each, at) => Buffer.from(each).equals(Buffer.from(said[at] ?? 'nothing')))).toEqual(
      said.map(() => true),
    );
  }, 120_000);

  test('carries messages in fragments with pings between them', async () => {
    await echo();
    const { peer, heard } = await join(await mesh.pod('shop'));
    const pongs: string[] = [];
    peer.on('pong', (data: Buffer) => void pongs.push(data.toString()));
    for (let part = 0; part < 50; part += 1) {
      peer.send(`part ${part};`, { fin: false, compress: false });
      peer.ping(`ping ${part}`);
    }
    peer.send('end', { fin: true, compress: false });
    await until(() => heard.length === 2 && pongs.length === 50, 'the message and every pong are back');
    expect(heard[1]).toBe(`${Array.from({ length: 50 }, (_, part) => `part ${part};`).join('')}end`);
    expect(pongs.at(-1)).toBe('ping 49');
  }, 120_000);

  test('tells each side how the other closed, and logs the upgrade as a request and the rest as a connection', async () => {
    const pod = await echo();
    const { peer } = await join(await mesh.pod('shop'));
    const closed = once(peer, 'close');
    peer.close(4_001, 'enough');
    await closed;
    await until(() => closes.length === 1, 'the server has heard it');
    expect(closes).toEqual(['4001 enough']);
    await until(() => pod.lines.some(({ msg }) => msg === 'connection'), 'the end is logged');
    const line = pod.lines.find(({ msg }) => msg === 'request');
    expect(line).toMatchObject({ 'http.response.status_code': 101, 'url.path': '/' });
    expect(pod.lines.find(({ msg }) => msg === 'connection')).toMatchObject({ ending: 'closed' });
  }, 120_000);

  test('ends on one side when the other is gone without a word', async () => {
    await echo();
    const { peer } = await join(await mesh.pod('shop'));
    peer.terminate();
    await until(() => closes.length === 1, 'the server has noticed');
    expect(closes).toEqual(['1006 ']);
  }, 120_000);

  test('is refused as the application refuses it', async () => {
    await echo();
    const shop = await mesh.pod('shop');
    const peer = new Peer(`ws://web:${port}/private`, { createConnection: () => shop.dial(port) });
    peer.on('error', () => undefined);
    const [, answer] = (await once(peer, 'unexpected-response')) as [unknown, IncomingMessage];
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['strict-transport-security']).toBe('max-age=60');
    answer.resume();
    peer.terminate();
  }, 120_000);

  test('stands fifty times at once, each with its own messages', async () => {
    await echo();
    const shop = await mesh.pod('shop', { self: { connections: { handshakeTimeoutMs: 60_000 } } });
    const all = await Promise.all(Array.from({ length: 50 }, () => join(shop)));
    for (const [at, { peer }] of all.entries()) for (let each = 0; each < 10; each += 1) peer.send(`${at} ${each}`);
    await until(() => all.every(({ heard }) => heard.length === 11), 'all have heard all');
    for (const [at, { heard }] of all.entries())
      expect(heard.slice(1)).toEqual(Array.from({ length: 10 }, (_, each) => `${at} ${each}`));
  }, 120_000);

  test('works with a client that sends its first message behind the request, before the answer', async () => {
    await echo();
    const shop = await mesh.pod('shop');
    const socket = shop.dial(port);
    let got = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => void (got = Buffer.concat([got, chunk])));
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    // A masked frame of RFC 6455 section 5.7: "Hello".
    const frame = Buffer.from([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    socket.write(Buffer.concat([Buffer.from(`GET / HTTP/1.1\r\nHost: web\r\n${upgrade}${key}\r\n`), frame]));
    await until(() => got.includes('hello') && got.includes('Hello'), 'its own message is back');
    expect(got.toString('latin1')).toMatch(/^HTTP\/1\.1 101 [^]*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
    socket.destroy();
  }, 120_000);

  test('works with the client that Node has built in', async () => {
    const pod = await echo();
    // It dials by itself: what it reaches is taken for the pod's usual destination.
    const shop = await mesh.pod('shop', { applicationPort: port });
    expect(pod.core.inbound.port).not.toBe(0);
    const peer = new WebSocket(`ws://127.0.0.1:${shop.core.outbound.port}/`);
    const heard: unknown[] = [];
    peer.addEventListener('message', ({ data }) => void heard.push(data));
    await new Promise((resolve, reject) => {
      peer.addEventListener('open', resolve);
      peer.addEventListener('error', reject);
    });
    const large = 'x'.repeat(300_000);
    peer.send(large);
    await until(() => heard.length === 2, 'the echo is back');
    expect(heard).toEqual(['hello', large]);
    const closed = new Promise<number>((resolve) => peer.addEventListener('close', ({ code }) => resolve(code)));
    peer.close(1_000, 'done');
    expect(await closed).toBe(1_000);
    await until(() => closes.length === 1, 'the server has heard it');
    expect(closes).toEqual(['1000 done']);
  }, 120_000);
});

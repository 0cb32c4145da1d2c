// What both sides' logs say of one and the same connection, however it was carried: every field there, and right.
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { LogLine } from '../../support/loglines.ts';
import { testAuthority } from '../../support/pki.ts';
import { carried, client, Mesh, type Pod, refusals, until as within } from '../../support/pocketmesh.ts';
import type { SelfOptions } from '../../support/sidecar.ts';

const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 25_000);
const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

/** A pod with an HTTP application that answers with the header fields that it got. */
async function web(self: SelfOptions = {}): Promise<Pod> {
  const site = createServer((asked, answer) => {
    asked.resume().on('end', () => answer.end(JSON.stringify(asked.rawHeaders)));
  });
  const application = await mesh.application((socket) => void site.emit('connection', socket));
  mesh.onEnd(() => site.closeAllConnections());
  const ports = [{ port: application.port, mode: self.mode ?? ('Mutual' as const), protocol: 'HTTP' as const }];
  const pod = await mesh.pod('web', { applicationPort: application.port, self: { ...self, ports } });
  mesh.publish(8080, [pod]);
  return { ...pod, applicationPort: application.port };
}

/** One request with a body and then the end of the connection; what came back, and how many octets went which way. */
async function call(socket: Socket, headers: Readonly<Record<string, string>> = {}) {
  const asked = request({
    createConnection: () => socket,
    method: 'PUT',
    path: '/orders/7?card=4111111111111111',
    headers: {
      host: 'web.shop:8080',
      authorization: 'Bearer very-secret',
      cookie: 'session=very-secret',
      traceparent: `00-${traceId}-${spanId}-01`,
      tracestate: 'vendor=opaque',
      ...headers,
    },
  });
  asked.end('12345');
  const [answer] = await once(asked, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const { bytesRead, bytesWritten, localAddress: address, localPort: port } = socket;
  socket.end();
  const fields = JSON.parse(Buffer.concat(chunks).toString()) as readonly string[];
  return { status: answer.statusCode, fields, bytesRead, bytesWritten, address, port };
}

const linesOf = (pod: Pod, message: string): readonly LogLine[] => pod.lines.filter(({ msg }) => msg === message);

/** Members of a line that are stated here, and none besides, but for those that every line has. */
function membersOf(line: LogLine | undefined): readonly string[] {
  const facts = 'source destination endpoint application peer peerSerial tls bytesIn bytesOut'.split(' ');
  const always = ['level', 'time', 'process', 'msg'];
  return Object.keys(line ?? {})
    .filter((name) => !facts.includes(name) && !always.includes(name))
    .sort();
}

const places = ['destination.address', 'destination.port', 'direction', 'source.address', 'source.port'];
const agreed = [
  'tls.cipher',
  'tls.client.x509.serial_number',
  'tls.curve',
  'tls.established',
  'tls.next_protocol',
  'tls.protocol.version',
  'tls.resumed',
  'tls.server.x509.serial_number',
  'tls.started',
];
const carriage = ['destination.bytes', 'ending', 'ms', 'source.bytes'];
const http = [
  'http.request.method',
  'http.request.size',
  'http.response.size',
  'http.response.status_code',
  'network.protocol.version',
  'server.address',
  'server.port',
  'span_id',
  'trace_id',
  'url.path',
];

describe.each(['Tunnel', 'Direct'] as const)('the logs of a connection by %s', (transport) => {
  const tunnelled = transport === 'Tunnel';
  const self = { connections: { transport } };

  test('name on both sides who, where, how, how much and how long, and no secret', async () => {
    const pod = await web(self);
    const shop = await mesh.pod('shop', { self });
    const socket = shop.dial(8080);
    const { fields, bytesRead, bytesWritten, address, port } = await call(socket);
    await until(() => carried(pod).length === 1 && carried(shop).length === 1, 'both sides have written it down');

    // The trace passes as it came.
    expect(fields.join('\n')).toContain(`traceparent\n00-${traceId}-${spanId}-01\ntracestate\nvendor=opaque`);

    const [out] = carried(shop);
    const stream = tunnelled ? ['stream', 'tunnel'] : [];
    const reached = ['destination.identity', 'network.peer.address', 'network.peer.port'];
    expect(membersOf(out)).toEqual([...places, ...agreed, ...carriage, ...reached, ...stream].sort());
    expect(out).toMatchObject({
      direction: 'outbound',
      'source.address': address,
      'source.port': port,
      'destination.address': '127.0.0.1',
      'destination.port': 8080,
      'destination.identity': pod.identity,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': pod.core.inbound.port,
      'tls.protocol.version': '1.3',
      'tls.cipher': 'TLS_AES_256_GCM_SHA384',
      'tls.curve': 'X25519MLKEM768',
      'tls.resumed': false,
      'tls.next_protocol': tunnelled ? 'tabard/1' : 'tabard-tcp/1',
      'tls.client.x509.serial_number': shop.leaf.serial,
      'tls.server.x509.serial_number': pod.leaf.serial,
      'source.bytes': bytesWritten,
      'destination.bytes': bytesRead,
      ending: 'closed',
    });

    const [into] = carried(pod);
    const caller = tunnelled ? ['client.address', 'client.port'] : [];
    const expected = [...places, ...agreed, ...carriage, ...stream, ...caller, 'source.identity'];
    expect(membersOf(into)).toEqual(expected.sort());
    expect(into).toMatchObject({
      direction: 'inbound',
      'tls.curve': 'X25519MLKEM768',
      'source.identity': shop.identity,
      'destination.address': '127.0.0.1',
      'destination.port': pod.applicationPort,
      'tls.client.x509.serial_number': shop.leaf.serial,
      'tls.server.x509.serial_number': pod.leaf.serial,
      'source.bytes': bytesWritten,
      'destination.bytes': bytesRead,
      ending: 'closed',
    });
    expect([into?.['tunnel'], into?.['stream']]).toEqual([out?.['tunnel'], out?.['stream']]);
    if (tunnelled) expect([into?.['client.address'], into?.['client.port']]).toEqual([address, port]);

    const [asked] = linesOf(pod, 'request');
    const who = [...agreed, ...stream, ...caller, 'source.identity', 'ms'];
    expect(membersOf(asked)).toEqual([...places, ...http, ...who].sort());
    expect(asked).toMatchObject({
      'source.identity': shop.identity,
      'http.request.method': 'PUT',
      'url.path': '/orders/7',
      'server.address': 'web.shop',
      'server.port': 8080,
      'http.response.status_code': 200,
      'http.request.size': bytesWritten,
      'http.response.size': bytesRead,
      trace_id: traceId,
      span_id: spanId,
    });
    const everything = JSON.stringify([pod.lines, shop.lines]);
    for (const secret of ['very-secret', '4111111111111111', 'PRIVATE KEY']) expect(everything).not.toContain(secret);
  });

  test('have a line for the handshake on either side, with the same tunnel', async () => {
    const pod = await web(self);
    const shop = await mesh.pod('shop', { self });
    await call(shop.dial(8080));
    await until(() => linesOf(pod, 'handshake').length > 0 && linesOf(shop, 'handshake').length > 0, 'both have one');
    const [into, out] = [linesOf(pod, 'handshake')[0], linesOf(shop, 'handshake')[0]];
    const tunnel = tunnelled ? ['tunnel'] : [];
    expect(membersOf(into)).toEqual([...places, ...agreed, ...tunnel, 'ms', 'source.identity'].sort());
    const reached = ['destination.identity', 'direction', 'network.peer.address', 'network.peer.port'];
    expect(membersOf(out)).toEqual([...agreed, ...reached, ...tunnel, 'ms'].sort());
    expect(into).toMatchObject({ 'source.identity': shop.identity, 'tls.established': true });
    expect(out).toMatchObject({ 'destination.identity': pod.identity, 'tls.established': true });
    expect(into?.['tunnel']).toEqual(out?.['tunnel']);
  });
});

test('the log of plaintext has who, where and how much, and nothing of TLS', async () => {
  const pod = await web({ mode: 'Permissive' });
  const socket = pod.knock();
  const { bytesRead, bytesWritten, address, port } = await call(socket);
  await until(() => carried(pod).length === 1, 'it is written down');
  expect(membersOf(carried(pod)[0])).toEqual([...places, ...carriage].sort());
  expect(carried(pod)[0]).toMatchObject({
    direction: 'inbound',
    'source.address': address,
    'source.port': port,
    'destination.port': pod.applicationPort,
    'source.bytes': bytesWritten,
    'destination.bytes': bytesRead,
  });
  expect(membersOf(linesOf(pod, 'request')[0])).toEqual([...places, ...http, 'ms'].sort());
  expect(linesOf(pod, 'handshake')).toEqual([]);
});

test('a handshake that failed has a line on both sides, with the reason on the one that refused', async () => {
  const pod = await web();
  const stranger = await testAuthority();
  const shop = await mesh.pod('shop', { self: { trustBundle: stranger.certificate } });
  const socket = shop.dial(8080);
  await new Promise((closed) => socket.once('close', closed));
  await until(() => linesOf(shop, 'handshake failed').length > 0, 'the client says so');
  expect(linesOf(shop, 'handshake failed')[0]).toMatchObject({
    level: 'warn',
    reason: 'unknown_ca',
    'error.type': 'unknown_ca',
    'tls.established': false,
    'network.peer.port': pod.core.inbound.port,
    hint: expect.any(String),
  });
  // The server learns of it by a reset alone: for it the handshake may have been over.
  await until(() => [...refusals(pod), ...linesOf(pod, 'tunnel ended')].length > 0, 'the server has a line, too');
});

test('where the policy wants refusals alone, nothing is said of what went well', async () => {
  const quiet = { accessLog: 'Denied' as const };
  const pod = await web(quiet);
  const shop = await mesh.pod('shop', { self: quiet });
  await call(shop.dial(8080));
  await until(() => pod.core.live.count('inbound') === 0, 'it is over');
  for (const message of ['request', 'connection', 'handshake']) {
    expect([linesOf(pod, message), linesOf(shop, message)]).toEqual([[], []]);
  }
});

describe('the certificate of a client', () => {
  const headers = ['Client-Cert', 'X-Forwarded-Client-Cert'] as const;
  const forged = { 'client-cert': ':forged:', 'x-forwarded-client-cert': 'By=forged', 'client-cert-chain': ':forged:' };
  const valueOf = (fields: readonly string[], name: string) =>
    fields.flatMap((field, at) => (at % 2 === 0 && field.toLowerCase() === name ? [fields[at + 1]] : []));

  test('reaches the application as it was proved, and no word of the client about it', async () => {
    const pod = await web({ clientCertificate: { headers, trustedForwarders: [] } });
    const shop = await mesh.pod('shop');
    const { fields } = await call(shop.dial(8080), forged);
    const [certificate] = valueOf(fields, 'client-cert');
    const own = shop.leaf.certificate.replaceAll(/-----[A-Z ]+-----|\s/g, '');
    expect(certificate).toBe(`:${own.slice(0, certificate === undefined ? 0 : certificate.length - 2)}:`);
    const [element] = valueOf(fields, 'x-forwarded-client-cert');
    expect(element).toMatch(
      /^By=\S+;Hash=[0-9a-f]{64};Subject="";URI=\S+;DNS=shop;DNS=shop\.shop;DNS=shop\.shop\.svc$/,
    );
    expect(element).toContain(`By=${pod.identity};`);
    expect(element).toContain(`;URI=${shop.identity};`);
    expect(JSON.stringify(fields)).not.toContain('forged');
  });

  test.each([
    ['in plaintext', 'Permissive', (pod: Pod) => pod.knock()],
    ['over TLS', 'ServerOnly', (pod: Pod) => client(pod.knock(), undefined)],
  ] as const)('is not made up by a client without one %s', async (_, mode, dial) => {
    const pod = await web({ mode, clientCertificate: { headers, trustedForwarders: [] } });
    const { status, fields } = await call(dial(pod), forged);
    expect(status).toBe(200);
    expect(JSON.stringify(fields)).not.toContain('forged');
    expect(valueOf(fields, 'client-cert')).toEqual([]);
  });

  test('passes as a trusted forwarder has said it, with what is known of the forwarder behind it', async () => {
    const identity = 'spiffe://cluster.local/ns/shop/svc/gateway';
    await web({ clientCertificate: { headers, trustedForwarders: [identity] } });
    const gateway = await mesh.pod('gateway');
    const { fields } = await call(gateway.dial(8080), { 'client-cert': ':AAAA:', 'x-forwarded-client-cert': 'URI=a' });
    expect(valueOf(fields, 'client-cert')).toEqual([':AAAA:']);
    expect(valueOf(fields, 'x-forwarded-client-cert')).toEqual(['URI=a', expect.stringContaining(`URI=${identity}`)]);
  });
});

test('security headers come with every answer over TLS, our own included, and never over plaintext', async () => {
  const securityHeaders = [
    { name: 'X-Content-Type-Options', value: 'nosniff' },
    { name: 'Referrer-Policy', value: 'no-referrer' },
  ];
  const pod = await web({ mode: 'Permissive', securityHeaders });
  const shop = await mesh.pod('shop');
  const raw = async (socket: Socket, text: string): Promise<string> => {
    let got = '';
    socket.on('data', (chunk: Buffer) => void (got += chunk.toString('latin1')));
    socket.end(text);
    await once(socket, 'close');
    return got;
  };
  const good = 'GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n';
  const lines = 'X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n';
  expect(await raw(shop.dial(8080), good)).toContain(lines);
  const refused = await raw(shop.dial(8080), 'GET / HTTP/1.1\r\n\r\n');
  expect(refused).toMatch(/^HTTP\/1\.1 400 /);
  expect(refused).toContain(lines);
  expect(await raw(pod.knock(), good)).not.toContain('nosniff');
});

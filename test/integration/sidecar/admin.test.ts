import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { RewrittenProbe } from '../../../lib/api/probes.ts';
import { createLogger } from '../../../lib/runtime/logger.ts';
import { Metrics } from '../../../lib/runtime/metrics.ts';
import { type AdminServer, startAdmin } from '../../../sidecar/admin.ts';
import { ProbeRunner } from '../../../sidecar/probes.ts';

jest.setTimeout(30_000);

let reasons: string[];
let admin: AdminServer;
let application: Server;
let answer: number;
let metrics: Metrics;

beforeEach(async () => {
  reasons = [];
  answer = 200;
  application = createHttp((_request, response) => response.writeHead(answer).end('from the application'));
  application.listen(0, '127.0.0.1');
  await once(application, 'listening');
  const { port } = application.address() as AddressInfo;
  const action = { kind: 'http', scheme: 'HTTP', port, path: '/', headers: [] } as const;
  const probes: RewrittenProbe[] = [
    { id: 'app/readiness', timeoutMs: 1_000, action },
    { id: 'app/preStop', timeoutMs: 1_000, action },
    { id: 'app/postStart', timeoutMs: 1_000, action: { ...action, port: 1 } },
    { id: 'app/startup', timeoutMs: 1_000, action: { kind: 'tcp', port: 1 } },
  ];
  metrics = new Metrics();
  metrics.counter({ name: 'tabard_test_total', help: 'For this test.' }).inc();
  admin = await startAdmin(
    {
      notReady: () => reasons,
      metrics,
      probes: new ProbeRunner({ probes, podIps: ['127.0.0.1'] }),
      logger: createLogger({ name: 'test', level: 'silent' }),
    },
    { port: 0, host: '127.0.0.1' },
  );
});

afterEach(async () => {
  await admin.close();
  application.close();
});

async function ask(path: string, init: RequestInit = {}): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://127.0.0.1:${admin.port}${path}`, init);
  return { status: response.status, text: await response.text() };
}

/** Sends raw bytes and returns all that comes back until the connection ends. */
async function talk(bytes: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: admin.port });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

describe('the admin port', () => {
  test('says ready while nothing speaks against it, and else every reason', async () => {
    expect(await ask('/ready')).toEqual({ status: 200, text: '{"ready":true,"reasons":[]}\n' });
    reasons.push('no_certificate', 'no_policy');
    expect(await ask('/ready')).toEqual({
      status: 503,
      text: '{"ready":false,"reasons":["no_certificate","no_policy"]}\n',
    });
  });

  test('is alive while it is not ready', async () => {
    reasons.push('no_certificate');
    expect(await ask('/live')).toEqual({ status: 200, text: '{"live":true,"reasons":[]}\n' });
  });

  test('shows metrics in the Prometheus format', async () => {
    const response = await fetch(`http://127.0.0.1:${admin.port}/metrics`);
    expect(response.headers.get('content-type')).toBe(metrics.contentType);
    expect(await response.text()).toContain('tabard_test_total 1');
  });

  test.each([
    [200, 'from the application'],
    [404, 'from the application'],
    [503, 'from the application'],
    [204, ''],
  ])("hands on the application's own answer %i to a probe", async (status, text) => {
    answer = status;
    expect(await ask('/probe/app/readiness')).toEqual({ status, text });
  });

  test('answers 503 with the reason to a probe that got no answer', async () => {
    expect(await ask('/probe/app/startup')).toEqual({ status: 503, text: expect.stringContaining('ECONNREFUSED') });
  });

  test('gives a hook that got an answer that answer, and one that got none no answer either', async () => {
    answer = 500;
    expect(await ask('/probe/app/preStop')).toMatchObject({ status: 500 });
    answer = 503;
    expect(await ask('/probe/app/preStop')).toMatchObject({ status: 503 });
    await expect(ask('/probe/app/postStart')).rejects.toThrow('fetch failed');
  });

  test.each([
    ['/', 404],
    ['/probe/', 404],
    ['/probe/app/liveness', 404],
    ['/probe/app%2Freadiness', 404],
    ['/probe/app/readiness/', 404],
    ['/metrics/', 404],
    ['/ready?verbose=1', 200],
  ])('answers %s with %i', async (path, status) => {
    expect((await ask(path)).status).toBe(status);
  });

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('refuses %s', async (method) => {
    expect((await ask('/ready', { method })).status).toBe(405);
  });

  test('answers HEAD without a body', async () => {
    expect(await ask('/ready', { method: 'HEAD' })).toEqual({ status: 200, text: '' });
  });

  test.each([
    ['a body', 'GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello', '413'],
    ['a chunked body', 'GET /ready HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', '413'],
    ['no Host', 'GET /ready HTTP/1.1\r\nConnection: close\r\n\r\n', '400'],
    [
      'both lengths',
      'GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      '400',
    ],
    ['headers over 8 KB', `GET /ready HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(9_000)}\r\n\r\n`, '431'],
    ['garbage', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', '400'],
  ])('refuses a request with %s', async (_name, bytes, status) => {
    expect((await talk(bytes)).split(' ')[1]).toBe(status);
  });

  test('ends a client that does not finish its request', async () => {
    const started = performance.now();
    expect(await talk('GET /ready HTTP/1.1\r\nHost:')).toContain('408');
    expect(performance.now() - started).toBeLessThan(12_000);
  });

  test('rejects when its port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const deps = {
      notReady: () => [],
      metrics,
      probes: new ProbeRunner({ probes: [], podIps: [] }),
      logger: createLogger({ name: 'test', level: 'silent' }),
    };
    const { port } = taken.address() as AddressInfo;
    await expect(startAdmin(deps, { port, host: '127.0.0.1' })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    taken.close();
  });

  test('answers on IPv4 and IPv6 when no host is given, and closes while a kept connection is idle', async () => {
    const deps = {
      notReady: () => [],
      metrics,
      probes: new ProbeRunner({ probes: [], podIps: [] }),
      logger: createLogger({ name: 'test', level: 'silent' }),
    };
    const both = await startAdmin(deps, { port: 0 });
    for (const host of ['127.0.0.1', '[::1]']) {
      expect((await fetch(`http://${host}:${both.port}/live`)).status).toBe(200);
    }
    const started = performance.now();
    await both.close();
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  test('gives the same answers when its state cannot be told', async () => {
    metrics.observedGauge({ name: 'tabard_broken', help: 'Fails.' }, () => {
      throw new Error('broken');
    });
    expect(await ask('/metrics')).toEqual({ status: 500, text: 'internal error\n' });
    expect(await ask('/live')).toMatchObject({ status: 200 });
  });
});

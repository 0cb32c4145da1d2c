// The connections to the API server under everything a network and a rotating credential can do, against servers of the
// test's own on loopback.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { WatchOptions } from '../../lib/kube/client.ts';
import { type Access, HttpTransport } from '../../lib/kube/http.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import { resources } from '../../lib/kube/resources.ts';
import { RestClient } from '../../lib/kube/restclient.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { TestClock } from '../support/clock.ts';
import { testAuthority, testLeaf } from '../support/pki.ts';

jest.setTimeout(30_000);

const { configmaps } = resources;
const ref = { namespace: 'shop', name: 'a' };
const body = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', resourceVersion: '5' } });
const cleanup: (() => unknown)[] = [];

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

interface Options {
  readonly access?: (port: number) => Promise<Access>;
  readonly clock?: Clock;
  readonly timeoutMs?: number;
  readonly server?: (listener: RequestListener) => Server;
}

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

async function serving(listener: Listener, options: Options = {}) {
  const handle: RequestListener = (request, response) => void listener(request, response);
  const port = await listening((options.server ?? createServer)(handle));
  const access = options.access ?? (() => Promise.resolve({ server: plain(port), tls: {}, headers: {} }));
  const registry = new Metrics();
  const clock = options.clock ?? systemClock;
  const transport = new HttpTransport({ access: () => access(port), clock, userAgent: 'tabard-test/0' });
  cleanup.push(() => transport.close());
  const { timeoutMs = 5_000 } = options;
  return { client: new RestClient({ transport, clock, metrics: kubeMetrics(registry), timeoutMs }), registry, port };
}

const plain = (port: number) => new URL(`http://127.0.0.1:${port}`);

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk);
  return text;
}

const watchOptions = (more: Partial<WatchOptions> = {}): WatchOptions => ({
  resourceVersion: '1',
  timeoutSeconds: 300,
  idleMs: 5_000,
  signal: AbortSignal.timeout(20_000),
  ...more,
});

const line = (name: string, version: number) =>
  `${JSON.stringify({ type: 'ADDED', object: { metadata: { name, resourceVersion: String(version) } } })}\n`;

describe('requests', () => {
  test('carry method, path, query, body, length and user agent', async () => {
    const seen: unknown[] = [];
    const { client } = await serving(async (request, response) => {
      const { method, url, headers } = request;
      seen.push([method, url, headers['content-type'], headers['user-agent'], await read(request)]);
      response.end(body);
    });
    await client.apply(configmaps, { metadata: { ...ref }, data: { a: 'ä' } }, { fieldManager: 'us', force: true });
    await client.delete(configmaps, ref, { uid: 'u1', propagation: 'Background' });
    await client.patch(configmaps, ref, { data: null }, { subresource: 'status' });
    const at = '/api/v1/namespaces/shop/configmaps/a';
    const agent = 'tabard-test/0';
    expect(seen).toEqual([
      [
        'PATCH',
        `${at}?fieldManager=us&force=true`,
        'application/apply-patch+yaml',
        agent,
        JSON.stringify({ metadata: ref, data: { a: 'ä' }, apiVersion: 'v1', kind: 'ConfigMap' }),
      ],
      [
        'DELETE',
        at,
        'application/json',
        agent,
        '{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u1"},"propagationPolicy":"Background"}',
      ],
      ['PATCH', `${at}/status`, 'application/merge-patch+json', agent, '{"data":null}'],
    ]);
  });

  test('share one kept connection', async () => {
    const sockets = new Set<Socket>();
    const { client, registry } = await serving((request, response) => {
      sockets.add(request.socket);
      response.end(body);
    });
    for (let round = 0; round < 5; round += 1) await client.get(configmaps, ref);
    expect(sockets.size).toBe(1);
    const text = await registry.text();
    expect(text).toContain('tabard_kube_requests_total{verb="get",resource="configmaps",code="200"} 5');
    expect(text).toContain('tabard_kube_request_seconds_count{verb="get",resource="configmaps"} 5');
  });

  test('that meet a kept connection which the server has dropped are sent again when that does no harm', async () => {
    let calls = 0;
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      calls += 1;
      // The second request on a connection finds it dead.
      if (calls % 2 === 0) request.socket.resetAndDestroy();
      else response.end(body);
    };
    const { client } = await serving(listener);
    await client.get(configmaps, ref);
    expect((await client.get(configmaps, ref)).metadata.name).toBe('a');
    expect(calls).toBe(3);
    await expect(client.create(configmaps, { metadata: ref })).rejects.toMatchObject({ kind: 'Unavailable' });
    expect(calls).toBe(4);
  });

  test('to nobody fail as Unavailable, with the reason', async () => {
    const { client, registry } = await serving(() => undefined, {
      access: () => Promise.resolve({ server: plain(1), tls: {}, headers: {} }),
    });
    await expect(client.get(configmaps, ref)).rejects.toMatchObject({
      kind: 'Unavailable',
      retryable: true,
      message: expect.stringContaining('ECONNREFUSED'),
    });
    expect(await registry.text()).toContain('code="none"} 1');
  });

  test('that get no answer, or only half of one, fail after their time', async () => {
    const { client } = await serving(
      (request, response) => {
        if (request.url?.includes('half') === true) response.write('{"kind":');
      },
      { timeoutMs: 300 },
    );
    for (const name of ['none', 'half']) {
      await expect(client.get(configmaps, { ...ref, name })).rejects.toMatchObject({ kind: 'Unavailable' });
    }
  });

  test('end with their signal, and with its reason', async () => {
    const { client } = await serving(() => undefined);
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('stopped')), 50);
    await expect(client.get(configmaps, ref, { signal: stop.signal })).rejects.toThrow('stopped');
    await expect(client.get(configmaps, ref, { signal: stop.signal })).rejects.toThrow('stopped');
  });

  test('that are throttled say when to come back', async () => {
    const { client } = await serving((_, response) => {
      response.writeHead(429, { 'retry-after': '3' }).end('{"kind":"Status","reason":"TooManyRequests"}');
    });
    await expect(client.list(configmaps)).rejects.toMatchObject({ kind: 'Throttled', retryAfterMs: 3_000 });
  });

  test('answered by something that is no API server fail as Unavailable', async () => {
    const { client } = await serving((_, response) => response.end('<html>welcome</html>'));
    await expect(client.get(configmaps, ref)).rejects.toMatchObject({ kind: 'Unavailable' });
  });
});

describe('watches', () => {
  test('yield events as they come and end in order when the server ends them', async () => {
    let url: string | undefined;
    const { client } = await serving((request, response) => {
      url = request.url;
      response.write(line('a', 2).slice(0, 10));
      setTimeout(() => response.write(`${line('a', 2).slice(10)}${line('b', 3)}`), 20);
      setTimeout(() => response.end('{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}\n'), 40);
    });
    const seen: string[] = [];
    for await (const event of client.watch(configmaps, watchOptions()))
      seen.push(`${event.type} ${event.resourceVersion}`);
    expect(seen).toEqual(['ADDED 2', 'ADDED 3', 'BOOKMARK 9']);
    expect(url).toBe('/api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion=1&timeoutSeconds=300');
  });

  async function failureOf(client: RestClient, more: Partial<WatchOptions> = {}): Promise<unknown> {
    try {
      for await (const event of client.watch(configmaps, watchOptions(more))) void event;
      return undefined;
    } catch (error) {
      return error;
    }
  }

  test('without a byte for the idle time are taken for dead', async () => {
    const { client } = await serving((_, response) => response.write(line('a', 2)));
    expect(await failureOf(client, { idleMs: 200 })).toMatchObject({ kind: 'Unavailable' });
  });

  test('that are cut off, inside a line or between lines, are Unavailable', async () => {
    for (const text of [line('a', 2).slice(0, 10), line('a', 2)]) {
      const { client } = await serving((request, response) => {
        response.write(text);
        setTimeout(() => request.socket.resetAndDestroy(), 50);
      });
      expect(await failureOf(client)).toMatchObject({ kind: 'Unavailable' });
    }
  });

  test.each([
    ['{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}', 'Gone'],
    ['{"type":"ERROR","object":{"kind":"Status","code":500}}', 'Unavailable'],
    ['{"type":"NEWS","object":{}}', 'Unavailable'],
    ['no json', 'Unavailable'],
  ])('with the line %s end as %s', async (text, kind) => {
    const { client } = await serving((_, response) => response.write(`${text}\n`));
    expect(await failureOf(client)).toMatchObject({ kind });
  });

  test('that are refused say so', async () => {
    const { client } = await serving((_, response) => response.writeHead(403).end());
    expect(await failureOf(client)).toMatchObject({ kind: 'Forbidden' });
  });

  test('give a connection back when their reader leaves', async () => {
    let closed: Promise<unknown> = Promise.resolve();
    const { client } = await serving((request, response) => {
      closed = once(request.socket, 'close');
      response.write(line('a', 2));
    });
    for await (const event of client.watch(configmaps, watchOptions())) if (event.type === 'ADDED') break;
    await closed;
  });

  test('are held back by a slow reader instead of filling memory', async () => {
    let sent = 0;
    const big = line('x'.repeat(100_000), 2);
    const { client } = await serving(async (_, response) => {
      for (let index = 0; index < 2_000 && !response.destroyed; index += 1) {
        sent += 1;
        if (!response.write(big)) await once(response, 'drain').catch(() => undefined);
      }
    });
    for await (const event of client.watch(configmaps, watchOptions())) {
      await systemClock.sleep(500);
      if (event.type === 'ADDED') break;
    }
    // 200 MB wait at the server; what was sent fits into the buffers of the sockets.
    expect(sent).toBeLessThan(200);
  });
});

describe('credentials', () => {
  test('are read again after a quarter of a minute, and at once after a 401', async () => {
    const clock = new TestClock();
    const tokens: (string | undefined)[] = [];
    let current = 'one';
    const { client } = await serving(
      (request, response) => {
        tokens.push(request.headers.authorization);
        response.writeHead(request.headers.authorization === 'old' ? 401 : 200).end(body);
      },
      { clock, access: async (port) => ({ server: plain(port), tls: {}, headers: { authorization: current } }) },
    );
    await client.get(configmaps, ref);
    current = 'old';
    await client.get(configmaps, ref);
    await clock.advance(15_000);
    await expect(client.get(configmaps, ref)).rejects.toMatchObject({ kind: 'Unauthorized' });
    current = 'new';
    await client.get(configmaps, ref);
    expect(tokens).toEqual(['one', 'one', 'old', 'new']);
  });

  test('that cannot be read are Unavailable, not a crash', async () => {
    const { client } = await serving(() => undefined, {
      access: () => Promise.reject(new Error('ENOENT: token')),
    });
    await expect(client.get(configmaps, ref)).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringContaining('ENOENT: token'),
    });
  });

  test('a new authority is used for new connections, while a watch on the old one goes on', async () => {
    const [before, after] = [await testAuthority(), await testAuthority()];
    const [old, renewed] = [await testLeaf(before), await testLeaf(after)];
    const clock = new TestClock();
    let ca = before.certificate;
    const watches: ServerResponse[] = [];
    const tlsServer = createTlsServer({ key: old.key, cert: old.certificate });
    const { client } = await serving(
      (request, response) => {
        if (request.url?.includes('watch=true') !== true) response.end(body);
        else {
          response.writeHead(200).flushHeaders();
          watches.push(response);
        }
      },
      {
        clock,
        server: (listener) => tlsServer.on('request', listener),
        access: async (port) => ({
          server: new URL(`https://127.0.0.1:${port}`),
          tls: { ca, servername: 'web.shop.svc' },
          headers: {},
        }),
      },
    );
    await client.get(configmaps, ref);
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of client.watch(configmaps, watchOptions())) seen.push(event.resourceVersion);
    })();
    while (watches.length === 0) await systemClock.sleep(5);
    tlsServer.setSecureContext({ key: renewed.key, cert: renewed.certificate });
    tlsServer.closeIdleConnections();
    await systemClock.sleep(20);
    await expect(client.get(configmaps, ref)).rejects.toMatchObject({ kind: 'Unavailable' });
    ca = after.certificate;
    await clock.advance(15_000);
    await client.get(configmaps, ref);
    watches[0]?.end(line('a', 7));
    await watching;
    expect(seen).toEqual(['7']);
  });
});

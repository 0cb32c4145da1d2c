// The admission server over real TLS: what the API server meets.
import { Agent, type RequestOptions, request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test } from '@jest/globals';
import { BACKDATE_MS } from '../../../lib/pki/ca.ts';
import { createLogger } from '../../../lib/runtime/logger.ts';
import { admit } from '../../../webhook/admit.ts';
import { webhookPaths } from '../../../webhook/configuration.ts';
import { afterStep, type ServingMaterial, servingName } from '../../../webhook/material.ts';
import { formatReview, parseReview } from '../../../webhook/review.ts';
import { type AdmissionServer, type AdmissionServerOptions, startAdmissionServer } from '../../../webhook/server.ts';
import { context, goldenPods, patched, pathFor, reviewOf } from '../../support/webhook.ts';

const namespace = 'tabard-system';
const settings = {
  namespace,
  trustDomain: 'cluster.local',
  clusterDomain: 'cluster.local',
  extraNames: [],
  caLifetimeMs: 3_600_000,
  certificateLifetimeMs: 600_000,
  overlapMs: 0,
};
const pod = goldenPods().find((each) => each.name === 'http-probes')?.pod ?? {};
const body = JSON.stringify(reviewOf(pod));

interface Reply {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
  readonly reused: boolean;
}

const open: { close(): Promise<void> | void }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

const answerReview = (path: string, text: string): string => {
  const review = parseReview(text);
  return JSON.stringify(formatReview(review.uid, admit(path, review, context).answer));
};

async function start(material: ServingMaterial, options: Partial<AdmissionServerOptions> = {}) {
  const failures: number[] = [];
  const server = await startAdmissionServer({
    port: 0,
    credentials: material,
    logger: createLogger({ name: 'test', level: 'silent' }),
    paths: Object.values(webhookPaths),
    answer: answerReview,
    onFailure: (status) => failures.push(status),
    ...options,
  });
  open.push(server);
  return { server, failures };
}

const make = (before?: ServingMaterial) =>
  afterStep(before === undefined ? 'create' : 'renew', before, settings, new Date());

/** A caller as the API server is one: verifies the name, keeps connections. */
function caller(
  server: AdmissionServer,
  ca: readonly string[],
  agentOptions: { keepAlive?: boolean; maxSockets?: number } = {},
) {
  const agent = new Agent({ keepAlive: true, ca: [...ca], servername: servingName(namespace), ...agentOptions });
  open.push({ close: () => agent.destroy() });
  return (
    text: string | Buffer = body,
    options: Omit<RequestOptions, 'headers'> & { headers?: Record<string, string> } = {},
  ) =>
    new Promise<Reply>((resolve, reject) => {
      const { headers, ...rest } = options;
      const call = request(
        {
          host: '127.0.0.1',
          port: server.port,
          path: webhookPaths.pods,
          method: 'POST',
          agent,
          headers: { 'content-type': 'application/json', ...headers },
          ...rest,
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString(),
              reused: call.reusedSocket,
            }),
          );
        },
      );
      call.on('error', reject);
      call.end(text);
    });
}

describe('the admission server', () => {
  test('answers every golden pod as the rules say', async () => {
    const material = await make();
    const { server } = await start(material);
    const post = caller(server, [material.authority.certificate]);
    for (const each of goldenPods()) {
      const path = pathFor(each.pod);
      const text = JSON.stringify(reviewOf(each.pod, { uid: each.name }));
      const reply = await post(text, { path });
      expect(reply.status).toBe(200);
      expect(reply.headers['content-type']).toContain('application/json');
      expect(reply.body).toBe(answerReview(path, text));
    }
  });

  test('a patch from the wire turns the pod into an injected one', async () => {
    const material = await make();
    const { server } = await start(material);
    const reply = JSON.parse((await caller(server, [material.authority.certificate])()).body) as {
      response: { patch: string; uid: string; allowed: boolean };
    };
    expect(reply.response).toMatchObject({ uid: 'review-1', allowed: true, patchType: 'JSONPatch' });
    const after = patched(pod, JSON.parse(Buffer.from(reply.response.patch, 'base64').toString()) as never);
    expect(JSON.stringify(after)).toContain('tabard-proxy');
  });

  test('keeps connections open for longer than the API server does', async () => {
    const material = await make();
    const { server } = await start(material);
    const post = caller(server, [material.authority.certificate], { maxSockets: 1 });
    expect((await post()).reused).toBe(false);
    const second = await post();
    expect(second.reused).toBe(true);
    expect(second.headers['keep-alive']).toBe('timeout=120');
  });

  test.each<{
    name: string;
    text: string | Buffer;
    options?: { path?: string; method?: string; headers?: Record<string, string> };
    status: number;
  }>([
    { name: 'no JSON', text: '{', status: 400 },
    { name: 'an empty body', text: '', status: 400 },
    { name: 'another kind', text: '{"apiVersion":"v1","kind":"Pod"}', status: 400 },
    { name: 'another content type', text: 'a=b', options: { headers: { 'content-type': 'text/plain' } }, status: 415 },
    { name: 'too large a body', text: Buffer.alloc(8 * 1024 * 1024 + 1, 0x20), status: 413 },
    { name: 'another path', text: body, options: { path: '/' }, status: 404 },
    { name: 'another method', text: '', options: { method: 'PUT' }, status: 404 },
  ])('refuses $name with $status and goes on', async ({ text, options, status }) => {
    const material = await make();
    const { server } = await start(material);
    const post = caller(server, [material.authority.certificate]);
    // A body that is too large may be cut off while it is still being sent.
    const outcome = await post(text, options).then(
      (reply) => reply.status,
      (error: Error) => (status === 413 && 'code' in error ? 413 : error),
    );
    expect(outcome).toBe(status);
    expect((await post()).status).toBe(200);
  });

  test('a bug of ours is 500, so that the failure policy decides', async () => {
    const material = await make();
    const { server, failures } = await start(material, {
      answer: () => {
        throw new TypeError('a bug');
      },
    });
    const reply = await caller(server, [material.authority.certificate])();
    expect(reply.status).toBe(500);
    expect(failures).toEqual([500]);
  });

  test('a body of the largest accepted size is answered', async () => {
    const material = await make();
    const { server } = await start(material);
    const text = `${' '.repeat(8 * 1024 * 1024 - body.length)}${body}`;
    expect((await caller(server, [material.authority.certificate])(text)).status).toBe(200);
  });

  test('speaks TLS 1.3 only', async () => {
    const material = await make();
    const { server } = await start(material);
    const attempt = (maxVersion: 'TLSv1.2' | 'TLSv1.3') =>
      new Promise<string>((resolve) => {
        const socket = connectTls({
          host: '127.0.0.1',
          port: server.port,
          ca: material.authority.certificate,
          servername: servingName(namespace),
          maxVersion,
        });
        socket.once('secureConnect', () => resolve(socket.getProtocol() ?? ''));
        socket.once('error', (error) => resolve('code' in error ? String(error.code) : 'error'));
        open.push({ close: () => void socket.destroy() });
      });
    expect(await attempt('TLSv1.3')).toBe('TLSv1.3');
    expect(await attempt('TLSv1.2')).toMatch(/PROTOCOL|ALERT/);
  });

  test('half a handshake and plaintext do not disturb others', async () => {
    const material = await make();
    const { server } = await start(material);
    const silent = connectTcp(server.port, '127.0.0.1');
    const plain = connectTcp(server.port, '127.0.0.1', () => plain.write('POST / HTTP/1.1\r\n\r\n'));
    for (const socket of [silent, plain]) {
      socket.on('error', () => undefined);
      open.push({ close: () => void socket.destroy() });
    }
    expect((await caller(server, [material.authority.certificate])()).status).toBe(200);
  });

  test('a new certificate is served while requests are under way, and none fails', async () => {
    let material = await make();
    const { server } = await start(material);
    const ca = [material.authority.certificate];
    const kept = caller(server, ca, { maxSockets: 4 });
    const fresh = caller(server, ca, { keepAlive: false });
    const seen = new Set<string>();
    const serials = async () => {
      const socket = connectTls({ host: '127.0.0.1', port: server.port, ca, servername: servingName(namespace) });
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      seen.add(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    };
    const stop = new AbortController();
    const counts = { ok: 0, failed: [] as unknown[] };
    const worker = async (post: ReturnType<typeof caller>) => {
      while (!stop.signal.aborted) {
        const reply = await post().catch((error: unknown) => error as Error);
        if ('status' in reply && reply.status === 200) counts.ok += 1;
        else counts.failed.push(reply);
      }
    };
    const workers = [kept, kept, kept, fresh, fresh].map(worker);
    for (let round = 0; round < 20; round += 1) {
      material = await make(material);
      server.setCredentials(material);
      await serials();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    stop.abort();
    await Promise.all(workers);
    expect(counts.failed).toEqual([]);
    expect(counts.ok).toBeGreaterThan(100);
    expect(seen.size).toBe(20);
  });

  test('a caller that trusts old and new CA notices nothing of a change of CA', async () => {
    const now = new Date(Date.now() - BACKDATE_MS);
    const old = await afterStep('create', undefined, settings, now);
    const prepared = await afterStep('prepare', old, settings, now);
    const promoted = await afterStep('promote', prepared, settings, new Date());
    const { server } = await start(old);
    const post = caller(server, [prepared.trusted.map(String).join('')], { keepAlive: false });
    expect((await post()).status).toBe(200);
    server.setCredentials(promoted);
    expect((await post()).status).toBe(200);
    await expect(caller(server, [old.authority.certificate], { keepAlive: false })()).rejects.toThrow(/certificate/);
  });

  test('drains: answers on, asks callers to leave, and ends without cutting one off', async () => {
    const material = await make();
    const gate = Promise.withResolvers<void>();
    const { server } = await start(material);
    const ca = [material.authority.certificate];
    const post = caller(server, ca, { maxSockets: 1 });
    await post();
    server.drain();
    const drained = await post();
    expect({ status: drained.status, reused: drained.reused, connection: drained.headers['connection'] }).toEqual({
      status: 200,
      reused: true,
      connection: 'close',
    });
    const again = await post();
    expect({ status: again.status, reused: again.reused }).toEqual({ status: 200, reused: false });
    // A request whose body is still being sent when the end comes.
    const agent = new Agent({ ca, servername: servingName(namespace) });
    const slow = new Promise<number>((resolve, reject) => {
      const call = request(
        {
          host: '127.0.0.1',
          port: server.port,
          path: webhookPaths.pods,
          method: 'POST',
          agent,
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        },
        (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        },
      );
      call.on('error', reject);
      call.write(body.slice(0, 10), () => gate.resolve());
      setTimeout(() => call.end(body.slice(10)), 200);
    });
    await gate.promise;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = server.close();
    expect(await slow).toBe(200);
    await closed;
    agent.destroy();
    await expect(caller(server, ca)()).rejects.toThrow(/ECONNREFUSED/);
  });

  test('answers hundreds at once, each in milliseconds', async () => {
    const material = await make();
    const { server } = await start(material);
    const post = caller(server, [material.authority.certificate], { maxSockets: 50 });
    const times: number[] = [];
    const total = 1_000;
    let left = total;
    const started = performance.now();
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        while (left > 0) {
          left -= 1;
          const before = performance.now();
          const reply = await post();
          times.push(performance.now() - before);
          expect(reply.status).toBe(200);
        }
      }),
    );
    const seconds = (performance.now() - started) / 1000;
    times.sort((a, b) => a - b);
    const at = (part: number) => Math.round((times[Math.floor(times.length * part)] ?? 0) * 10) / 10;
    // Client and server share this process: the figures are an upper bound.
    console.log(
      `50 connections: ${Math.round(times.length / seconds)} reviews/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
    );
    expect(times).toHaveLength(total);
  }, 60_000);
});

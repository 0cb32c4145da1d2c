// A gate of HTTP/2 between a client and a server of node:http2, in memory: what goes through, what does not, and that a stream that does not
// leaves the others and the connection's tables and credit as they have to be.
import { createHash, randomBytes } from 'node:crypto';
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { RequestHead } from '../../../../sidecar/http2/head.ts';
import type { Judgement } from '../../../../sidecar/http2/requests.ts';
import {
  type Answered,
  answerOf,
  exchange,
  type Through,
  type ThroughOptions,
  throughGate,
} from '../../../support/http2/throughgate.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';
import { until } from '../../../support/until.ts';

let through: Through | undefined;
afterEach(() => through?.end());

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Answers with what it got: fields, a digest of the body, trailers. */
function tell(stream: ServerHttp2Stream, headers: Record<string, unknown>): void {
  const hash = createHash('sha256');
  stream.on('data', (chunk: Buffer) => hash.update(chunk));
  stream.on('end', () => {
    stream.respond(
      { ':status': 200, 'x-path': String(headers[':path']), 'x-fields': JSON.stringify(headers) },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': 'told' }));
    stream.end(hash.digest('hex'));
  });
}

function open(options: ThroughOptions = {}, serve = tell): Through {
  through = throughGate(serve, options);
  return through;
}

const denyPath =
  (part: string) =>
  (head: RequestHead): Judgement =>
    head.target.includes(part) ? { kind: 'deny', denial: { status: 403, reason: 'denied' } } : { kind: 'pass' };

const get = (path: string, more: OutgoingHttpHeaders = {}): OutgoingHttpHeaders => ({ ':path': path, ...more });
const post = (path: string, more: OutgoingHttpHeaders = {}): OutgoingHttpHeaders => ({
  ':path': path,
  ':method': 'POST',
  ...more,
});
const grpc = (path: string): OutgoingHttpHeaders =>
  post(path, { 'content-type': 'application/grpc+proto', te: 'trailers' });
const nothing: Answered = { headers: {}, trailers: {}, body: Buffer.alloc(0), code: 0 };
const pathsOf = (answers: readonly Answered[]) => answers.map(({ headers }) => headers['x-path']);

describe('a gate of HTTP/2', () => {
  test('lets requests, bodies, answers and trailers through, and says what was asked', async () => {
    const { client, over, broken } = open();
    const body = randomBytes(300_000);
    const [read, written] = await Promise.all([
      exchange(client, get('/read?q=1')),
      exchange(client, post('/written'), body),
    ]);
    expect(read.headers).toMatchObject({ ':status': 200, 'x-path': '/read?q=1' });
    expect(written.body.toString()).toBe(digest(body));
    expect(written.trailers['x-trailer']).toBe('told');
    expect(broken).toEqual([]);
    expect(over).toHaveLength(2);
    expect(over.find(({ method }) => method === 'POST')).toMatchObject({
      target: '/written',
      host: 'web:80',
      version: '2',
      status: 200,
    });
    expect(over.find(({ method }) => method === 'POST')?.bytesIn).toBeGreaterThan(300_000);
  });

  test('answers a denied request itself with 403 and the reason, and goes on with the others on the same connection', async () => {
    const seen: string[] = [];
    const { client, over } = open({ gate: { judge: denyPath('secret') } }, (stream, headers) => {
      seen.push(String(headers[':path']));
      tell(stream, headers);
    });
    const denied = await exchange(client, get('/secret/1', { 'x-new': 'in the table of the client only' }));
    expect(denied).toMatchObject({ headers: { ':status': 403, 'x-tabard-reason': 'denied' }, code: 0 });
    expect(denied.body).toHaveLength(0);
    // Both use lines that the denied request has put into the client's table.
    const answers = [
      await exchange(client, get('/open/1', { 'x-new': 'in the table of the client only' })),
      await exchange(client, get('/open/2')),
    ];
    expect(pathsOf(answers)).toEqual(['/open/1', '/open/2']);
    expect(JSON.parse(String(answers[0]?.headers['x-fields']))['x-new']).toBe('in the table of the client only');
    expect(seen).toEqual(['/open/1', '/open/2']);
    expect(over.map(({ status, reason }) => [status, reason])).toEqual([
      [403, 'denied'],
      [200, undefined],
      [200, undefined],
    ]);
  });

  test('denies a call of gRPC with PERMISSION_DENIED and nothing but the reason', async () => {
    const { client } = open({ gate: { judge: denyPath('Secret') } });
    const { headers, code } = await exchange(client, grpc('/shop.Secret/Get'), Buffer.alloc(100));
    expect(headers).toMatchObject({
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': '7',
      'grpc-message': 'denied',
    });
    expect(code).toBe(0);
  });

  test('says UNAUTHENTICATED for 401, and gives further fields along', async () => {
    const fields = [{ name: 'www-authenticate', value: 'Bearer' }];
    const judge = (): Judgement => ({ kind: 'deny', denial: { status: 401, reason: 'token_required', fields } });
    const { client } = open({ gate: { judge } });
    expect((await exchange(client, grpc('/a.B/C'))).headers).toMatchObject({
      'grpc-status': '16',
      'grpc-message': 'token_required',
    });
    expect((await exchange(client, get('/'))).headers).toMatchObject({ ':status': 401, 'www-authenticate': 'Bearer' });
  });

  test('gives the credit of swallowed bodies back: many denied uploads use none of it up', async () => {
    const { client, broken } = open({ gate: { judge: denyPath('secret') } });
    for (let round = 0; round < 30; round += 1) {
      expect((await exchange(client, post('/secret'), Buffer.alloc(60_000))).headers[':status']).toBe(403);
    }
    const body = randomBytes(200_000);
    expect((await exchange(client, post('/open'), body)).body.toString()).toBe(digest(body));
    expect(broken).toEqual([]);
  });

  test('puts fields behind answers that have none of that name, also behind its own, and never behind interim ones or trailers', async () => {
    const answers = [
      { name: 'Strict-Transport-Security', value: 'max-age=60' },
      { name: 'X-Frame-Options', value: 'DENY' },
    ];
    const { client } = open(
      { gate: { plan: { removed: [], proved: [], answers }, judge: denyPath('secret') } },
      (stream, headers) => {
        stream.additionalHeaders({ ':status': 103, link: '</x>' });
        const own = headers[':path'] === '/own' ? { 'strict-transport-security': 'max-age=1' } : {};
        stream.respond({ ':status': 200, ...own }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': 'told' }));
        stream.end();
      },
    );
    const plain = await exchange(client, get('/'));
    expect(plain.headers).toMatchObject({ 'strict-transport-security': 'max-age=60', 'x-frame-options': 'DENY' });
    expect(plain.trailers).not.toHaveProperty('x-frame-options');
    const own = await exchange(client, get('/own'));
    expect(own.headers).toMatchObject({ 'strict-transport-security': 'max-age=1', 'x-frame-options': 'DENY' });
    expect((await exchange(client, get('/secret'))).headers['strict-transport-security']).toBe('max-age=60');
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`x-${index}`, '']));
    const tooMany = await exchange(client, { ...get('/'), ...many });
    expect(tooMany.headers).toMatchObject({ ':status': 431, 'strict-transport-security': 'max-age=60' });
  });

  test('takes fields out of requests and puts its own in', async () => {
    const plan = {
      removed: ['x-forwarded-client-cert'],
      proved: [{ name: 'Client-Cert', value: ':abc:' }],
      answers: [],
    };
    const { client } = open({ gate: { plan, judge: () => ({ kind: 'pass', strip: 'authorization' }) } });
    for (const round of [1, 2]) {
      const sent = get(`/${round}`, { 'x-forwarded-client-cert': 'By=me', authorization: 'Bearer x', 'x-kept': 'yes' });
      const fields = JSON.parse(String((await exchange(client, sent)).headers['x-fields']));
      expect(fields).toMatchObject({ 'client-cert': ':abc:', 'x-kept': 'yes' });
      expect(fields).not.toHaveProperty('x-forwarded-client-cert');
      expect(fields).not.toHaveProperty('authorization');
    }
  });

  test('holds a request until what it waits for has settled, and what comes behind it with it', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let asked = 0;
    let settled = false;
    const judge = (head: RequestHead): Judgement => {
      if (!head.target.includes('held') || settled) return { kind: 'pass' };
      asked += 1;
      return { kind: 'wait', until: promise };
    };
    const seen: string[] = [];
    const { client } = open({ gate: { judge } }, (stream, headers) => {
      seen.push(String(headers[':path']));
      tell(stream, headers);
    });
    await exchange(client, get('/before'));
    const held = exchange(client, post('/held'), Buffer.alloc(100_000));
    const behind = exchange(client, get('/behind'));
    await until(() => asked === 1, 'it is asked about');
    expect(seen).toEqual(['/before']);
    settled = true;
    resolve();
    expect(pathsOf(await Promise.all([held, behind]))).toEqual(['/held', '/behind']);
    expect(asked).toBe(1);
  });

  test('ends the streams that are no longer allowed, with 403 or in the middle, and leaves the others and the connection alone', async () => {
    let denied = false;
    const judge = ({ target }: RequestHead): Judgement => ({
      kind: 'pass',
      breached: () => denied && target.startsWith('/secret'),
    });
    const streams = new Map<string, ServerHttp2Stream>();
    const { client, gate, over } = open({ gate: { judge } }, (stream, headers) => {
      const path = String(headers[':path']);
      streams.set(path, stream);
      if (path !== '/secret/silent') stream.respond({ ':status': 200, 'x-path': path });
    });
    const silent = answerOf(client.request(grpc('/secret/silent')));
    const begun = client.request(get('/secret/talking'));
    const talking = answerOf(begun);
    let hasBegun = false;
    begun.on('response', () => void (hasBegun = true));
    const other = answerOf(client.request(get('/other')));
    await until(() => streams.size === 3 && hasBegun, 'all are there');
    denied = true;
    gate.recheck();
    expect((await silent).headers).toMatchObject({ 'grpc-status': '7' });
    expect((await talking).code).toBe(0xc);
    // What the application had under way is swallowed.
    streams.get('/secret/talking')?.end(Buffer.alloc(10_000));
    streams.get('/other')?.end('still here');
    expect((await other).body.toString()).toBe('still here');
    expect((await exchangeThrough(client, streams, '/next')).toString()).toBe('next');
    expect(over.filter(({ reason }) => reason === 'denied')).toHaveLength(2);
  });
});

async function exchangeThrough(
  client: Through['client'],
  streams: Map<string, ServerHttp2Stream>,
  path: string,
): Promise<Buffer> {
  const answer = answerOf(client.request(get(path)));
  await until(() => streams.has(path), 'it is there');
  streams.get(path)?.end('next');
  return (await answer).body;
}

test(
  'whatever is asked in whatever pieces comes out as it went in, with denied requests in between',
  async () => {
    const field = fc.tuple(
      fc.string({ unit: fc.constantFrom(...Array.from('abcdef-')), minLength: 1, maxLength: 8 }),
      fc.string({ unit: fc.constantFrom(...Array.from('abc09;= ')), maxLength: 40 }).map((text) => text.trim()),
    );
    const request = fc.record({
      isDenied: fc.boolean(),
      fields: fc.array(field, { maxLength: 6 }),
      body: fc.integer({ min: 0, max: 40_000 }),
    });
    const pieces = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 8 });
    const property = fc.asyncProperty(
      fc.array(request, { minLength: 1, maxLength: 6 }),
      pieces,
      async (list, lengths) => {
        let turn = 0;
        const split = (): number => lengths[(turn += 1) % lengths.length] ?? 1;
        const session = open({ gate: { judge: denyPath('secret') }, link: { split } });
        const answers = await Promise.all(
          list.map(({ isDenied, fields, body }, index) => {
            const more = Object.fromEntries(fields.map(([name, value]) => [`x-${name}`, value]));
            const path = `/${isDenied ? 'secret' : 'open'}/${index}`;
            return exchange(session.client, post(path, more), Buffer.alloc(body, index));
          }),
        );
        for (const [index, { isDenied, fields, body }] of list.entries()) {
          const { headers, body: got } = answers[index] ?? nothing;
          expect(headers[':status']).toBe(isDenied ? 403 : 200);
          if (isDenied) continue;
          expect(got.toString()).toBe(digest(Buffer.alloc(body, index)));
          expect(JSON.parse(String(headers['x-fields']))).toMatchObject(
            Object.fromEntries(fields.map(([name, value]) => [`x-${name}`, value])),
          );
        }
        expect(session.broken).toEqual([]);
        session.end();
      },
    );
    await fc.assert(property, runs(40));
  },
  runsTimeout(60_000),
);

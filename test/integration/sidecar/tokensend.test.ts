// What a token let in and has no end of its own: connections that were upgraded, tunnels of CONNECT and calls of gRPC end when the token does, with the
// reason; answers that end by themselves are finished. And a token with a key that nobody knows is told of. Real sidecars, real time.
import { createServer } from 'node:http';
import { connect, createServer as createHttp2Server, type IncomingHttpHeaders } from 'node:http2';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Authentication } from '../../../lib/api/authentication.ts';
import type { Protocol } from '../../../lib/api/tlspolicy.ts';
import { Mesh, type Pod, refusals, until as within } from '../../support/pocketmesh.ts';
import { Talk } from '../../support/talk.ts';
import { type SigningKey, signingKey, token } from '../../support/tokens.ts';

jest.setTimeout(240_000);

/** A busy machine may take its time. */
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 90_000);

const issuer = 'https://login.example.com';
const [key, stranger] = [signingKey('one'), signingKey('two')];
const from = [{ name: 'authorization', prefix: 'Bearer ' }];
const usual: Authentication = {
  form: 1,
  required: true,
  jwt: [{ issuer, skewMs: 0, from, forward: true, keys: [key.jwk] }],
};
const bearer = (expiresMs: number, by: SigningKey = key): string =>
  `Bearer ${token(by, { iss: issuer, exp: Math.floor(expiresMs / 1_000), jti: Math.random() })}`;
const longMs = (): number => Date.now() + 600_000;

let mesh: Mesh;
beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

async function pods(port: number, protocol: Protocol): Promise<{ readonly api: Pod; readonly web: Pod }> {
  const self = { ports: [{ port, mode: 'Mutual' as const, protocol }], authentication: usual };
  const api = await mesh.pod('api', { applicationPort: port, self });
  const web = await mesh.pod('web');
  mesh.publish(8080, [api]);
  return { api, web };
}

/** A short life, and a longer one where that was over before the request was read. */
async function shortLived<T>(open: (expiresMs: number) => Promise<T | undefined>): Promise<readonly [T, number]> {
  for (const lifeMs of [3_000, 12_000, 60_000]) {
    const expiresMs = Math.ceil((Date.now() + lifeMs) / 1_000) * 1_000;
    const opened = await open(expiresMs);
    if (opened !== undefined) return [opened, expiresMs];
  }
  throw new Error('no request was read in the life of its token');
}

const expired = (pod: Pod): readonly unknown[] =>
  refusals(pod).flatMap(({ reason, detail }) => (reason === 'token_invalid' ? [detail] : []));

describe('over HTTP/1.1', () => {
  /** A server that echoes what comes behind an upgrade or a CONNECT, and one answer that ends when it is told. */
  async function site() {
    const finish: (() => void)[] = [];
    const server = createServer((_request, response) => {
      response.write('begun ');
      finish.push(() => response.end('whole'));
    });
    server.on('upgrade', (_request, socket) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
    server.on('connect', (_request, socket) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 200 Connected\r\n\r\n');
      socket.pipe(socket);
    });
    const application = await mesh.application((socket) => void server.emit('connection', socket));
    mesh.onEnd(() => server.closeAllConnections());
    return { ...(await pods(application.port, 'HTTP')), finish };
  }

  const upgrade = (fields: string): string =>
    `GET /x HTTP/1.1\r\nHost: shop\r\n${fields}Connection: Upgrade\r\nUpgrade: echo\r\n\r\n`;
  const tunnel = (fields: string): string => `CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n${fields}\r\n`;

  test('what was upgraded, and a tunnel, end with the token; an answer under way is finished', async () => {
    const { api, web, finish } = await site();
    const open = async (head: (fields: string) => string, expiresMs: number): Promise<Talk | undefined> => {
      const talk = new Talk(web.dial(8080));
      talk.socket.write(head(`Authorization: ${bearer(expiresMs)}\r\n`));
      await until(() => /^HTTP\/1\.1 \d/.test(talk.text) || talk.ended, 'an answer');
      if (/^HTTP\/1\.1 (?:101|200)/.test(talk.text)) return talk;
      talk.socket.destroy();
      return undefined;
    };
    const [download] = await shortLived((expiresMs) =>
      open((fields) => `GET /long HTTP/1.1\r\nHost: shop\r\n${fields}\r\n`, expiresMs),
    );
    const before = expired(api).length;
    const opened = await Promise.all([upgrade, tunnel].map((head) => shortLived((expiresMs) => open(head, expiresMs))));
    const lasting = await open(upgrade, longMs());
    for (const [talk, expiresMs] of opened) {
      talk.socket.write('to and fro');
      await until(() => talk.text.endsWith('to and fro') || talk.ended, 'an echo');
      await until(() => talk.ended, 'its end');
      expect(Date.now()).toBeGreaterThanOrEqual(expiresMs);
    }
    await until(() => expired(api).length >= before + 2, 'the reason in the log');
    expect(expired(api).slice(-2)).toEqual(['expired', 'expired']);
    const carried = () =>
      api.lines.filter(({ reason, msg }) => reason === 'token_invalid' && msg !== 'connection refused');
    await until(() => carried().length >= 2, 'their lines');
    lasting?.socket.write('still there');
    await until(() => lasting?.text.endsWith('still there') === true, 'the one with a longer token goes on');
    for (const end of finish) end();
    await until(() => download.text.includes('whole'), 'the answer is finished');
    download.socket.destroy();
    lasting?.socket.destroy();
  });

  test('a key that is not known is told to the operator, and one that is known is not', async () => {
    const { web } = await site();
    const told = () => mesh.control.reports.flatMap(({ report: { keysWanted = [] } }) => keysWanted);
    const ask = async (authorization: string): Promise<string> => {
      const talk = new Talk(web.dial(8080));
      talk.socket.write(`GET /x HTTP/1.1\r\nHost: shop\r\nAuthorization: ${authorization}\r\n\r\n`);
      await until(() => talk.text.includes('\r\n\r\n'), 'an answer');
      talk.socket.destroy();
      return talk.text.slice(9, 12);
    };
    expect(await ask(bearer(longMs(), { ...stranger, kid: 'one' }))).toBe('401');
    expect(await ask(bearer(longMs()))).toBe('200');
    expect(told()).toEqual([]);
    expect(await ask(bearer(longMs(), stranger))).toBe('401');
    await until(() => told().length > 0, 'a report');
    expect(told()).toEqual([issuer]);
  });
});

describe('over gRPC', () => {
  test('a stream ends with the token, with a status of gRPC, and the other calls of the connection go on', async () => {
    const server = createHttp2Server((request, response) => {
      response.writeHead(200, { 'content-type': 'application/grpc' });
      response.write(Buffer.from([0, 0, 0, 0, 0]));
      request.on('data', (chunk: Buffer) => void response.write(chunk));
      request.on('error', () => undefined);
      response.on('error', () => undefined);
    });
    server.on('sessionError', () => undefined);
    const application = await mesh.application((socket) => void server.emit('connection', socket));
    mesh.onEnd(() => void server.close());
    const { api, web } = await pods(application.port, 'GRPC');
    const session = connect('http://shop', { createConnection: () => web.dial(8080) });
    session.on('error', () => undefined);
    mesh.onEnd(() => session.destroy());
    const call = async (expiresMs: number) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/shop.Items/Watch',
        'content-type': 'application/grpc',
        te: 'trailers',
        authorization: bearer(expiresMs),
      });
      const state = { stream, got: 0, ended: false, answer: {} as IncomingHttpHeaders };
      stream.on('response', (headers) => (state.answer = headers));
      stream.on('trailers', (trailers) => (state.answer = { ...state.answer, ...trailers }));
      stream.on('data', (chunk: Buffer) => (state.got += chunk.length));
      stream.on('error', () => undefined);
      stream.on('close', () => (state.ended = true));
      await until(() => state.got > 0 || state.ended, 'an answer');
      return state.got > 0 ? state : undefined;
    };
    const lasting = await call(longMs());
    const [short, expiresMs] = await shortLived(call);
    await until(() => short.ended, 'its end');
    expect(Date.now()).toBeGreaterThanOrEqual(expiresMs);
    expect(short.answer).toMatchObject({ ':status': 200, 'grpc-status': '16', 'grpc-message': 'token_invalid' });
    await until(() => expired(api).includes('expired'), 'the reason in the log');
    const before = lasting?.got ?? 0;
    lasting?.stream.write(Buffer.from([0, 0, 0, 0, 1, 7]));
    await until(() => (lasting?.got ?? 0) > before, 'the other call goes on');
    expect(lasting?.ended).toBe(false);
  });
});

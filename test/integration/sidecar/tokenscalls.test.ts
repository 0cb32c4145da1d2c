// End users over HTTP/2 and gRPC, between real sidecars: each call of a connection by its own token. And what the operator is told of who came.
import {
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Authentication } from '../../../lib/api/authentication.ts';
import { Mesh, type Pod, until as within } from '../../support/pocketmesh.ts';
import { signingKey, token } from '../../support/tokens.ts';

const issuer = 'https://login.example.com';
const key = signingKey('one');
const bearer = { name: 'authorization', prefix: 'Bearer ' };
const usual = (forward = true): Authentication => ({
  form: 1,
  required: true,
  jwt: [{ issuer, skewMs: 60_000, from: [bearer], forward, keys: [key.jwk] }],
});
const good = (): string => `Bearer ${token(key, { iss: issuer, exp: Math.floor(Date.now() / 1_000) + 600 })}`;

let mesh: Mesh;
beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

interface Site {
  readonly pod: Pod;
  readonly got: readonly IncomingHttpHeaders[];
  /** Makes a call on the one connection; what came of it. */
  readonly call: (headers: OutgoingHttpHeaders) => Promise<IncomingHttpHeaders>;
}

async function site(authentication: Authentication): Promise<Site> {
  const got: IncomingHttpHeaders[] = [];
  const server: Http2Server = createServer((request, response) => {
    got.push(request.headers);
    request.resume();
    response.writeHead(200, { 'content-type': 'application/grpc', 'grpc-status': '0' });
    response.end();
  });
  server.on('sessionError', () => undefined);
  const application = await mesh.application((socket) => void server.emit('connection', socket));
  mesh.onEnd(() => void server.close());
  const ports = [{ port: application.port, mode: 'Mutual' as const, protocol: 'GRPC' as const }];
  const pod = await mesh.pod('api', { applicationPort: application.port, self: { ports, authentication } });
  const web = await mesh.pod('web');
  mesh.publish(8080, [pod]);
  const session = connect('http://shop', { createConnection: () => web.dial(8080) });
  session.on('error', () => undefined);
  mesh.onEnd(() => session.destroy());
  const call: Site['call'] = async (headers) => {
    const stream = session.request({ ':path': '/shop.Items/List', ':method': 'POST', ...headers }, { endStream: true });
    const { promise, resolve, reject } = Promise.withResolvers<IncomingHttpHeaders>();
    let answer: IncomingHttpHeaders = {};
    stream.on('response', (head) => (answer = { ...answer, ...head }));
    stream.on('trailers', (trailers) => (answer = { ...answer, ...trailers }));
    stream.on('error', reject);
    stream.on('close', () => resolve(answer));
    stream.resume();
    return promise;
  };
  return { pod, got, call };
}

describe('calls on one connection', () => {
  test('are each let in by their own token, all at once', async () => {
    const { got, call } = await site(usual());
    const grpc = { 'content-type': 'application/grpc', te: 'trailers' };
    const line = good();
    const answers = await Promise.all([
      call({ ...grpc, authorization: line }),
      call(grpc),
      call({ ...grpc, authorization: line }),
      call({ ...grpc, authorization: 'Bearer no.to.ken' }),
      call({ ...grpc, authorization: good() }),
    ]);
    expect(answers.map((each) => each['grpc-status'])).toEqual(['0', '16', '0', '16', '0']);
    expect(answers.map((each) => each['x-tabard-reason'])).toEqual([
      undefined,
      'token_required',
      undefined,
      'token_invalid',
      undefined,
    ]);
    expect(got.map(({ authorization }) => authorization?.slice(0, 10))).toEqual(Array(3).fill('Bearer eyJ'));
  });

  test('that are no gRPC get 401 with a challenge', async () => {
    const { got, call } = await site(usual());
    expect(await call({})).toMatchObject({ ':status': 401, 'www-authenticate': 'Bearer' });
    const bad = await call({ authorization: 'Bearer no.to.ken' });
    expect(bad).toMatchObject({ ':status': 401, 'www-authenticate': 'Bearer error="invalid_token"' });
    expect(got).toEqual([]);
  });

  test('reach the application without the token where the policy says so', async () => {
    const { got, call } = await site(usual(false));
    expect(await call({ authorization: good(), 'x-other': '1' })).toMatchObject({ ':status': 200 });
    expect(got).toMatchObject([{ 'x-other': '1' }]);
    expect(got[0]).not.toHaveProperty('authorization');
  });
});

test('the operator is told who was let in', async () => {
  const { call } = await site(usual());
  await call({ authorization: good() });
  const told = () => mesh.control.reports.flatMap(({ report: { callers = [] } }) => callers);
  await within(() => told().length > 0, 'a report', 15_000);
  expect(told()).toEqual([{ identity: 'spiffe://cluster.local/ns/shop/svc/web', port: expect.any(Number), count: 1 }]);
});

// The conversation with an ACME server that is told by the test: nonces, refusals, waits and answers that must not be followed.
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { AcmeRequest, AcmeTransport } from '../../../../../operator/issuers/acme/http.ts';
import { jwkOf } from '../../../../../operator/issuers/acme/jws.ts';
import { placeOrder } from '../../../../../operator/issuers/acme/order.ts';
import { AcmeSession } from '../../../../../operator/issuers/acme/session.ts';
import type { HttpsAnswer } from '../../../../../operator/issuers/https.ts';
import { TestClock } from '../../../../support/clock.ts';
import { kubeDeps } from '../../../../support/kubedeps.ts';

const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signer = { key, as: { jwk: jwkOf(key) } };
const base = 'https://ca.test';
const directory = {
  newNonce: `${base}/nonce`,
  newAccount: `${base}/account`,
  newOrder: `${base}/order`,
  keyChange: `${base}/key`,
};
const signal = new AbortController().signal;

/** A session with a server that answers so; nonces are numbered. */
function sessionWith(
  answer: (request: AcmeRequest, count: number) => Partial<HttpsAnswer>,
  listed: object = directory,
): { readonly session: AcmeSession; readonly nonces: string[]; readonly clock: TestClock } {
  const nonces: string[] = [];
  const clock = new TestClock();
  let issued = 0;
  let posts = 0;
  const transport: AcmeTransport = {
    close: () => undefined,
    send: (request) => {
      issued += 1;
      const headers = { 'replay-nonce': `n${issued}` };
      if (request.method === 'GET') return Promise.resolve({ status: 200, headers: {}, body: JSON.stringify(listed) });
      if (request.method === 'HEAD') return Promise.resolve({ status: 200, headers, body: '' });
      posts += 1;
      const { protected: head } = JSON.parse(request.body ?? '{}') as { protected: string };
      nonces.push((JSON.parse(Buffer.from(head, 'base64url').toString()) as { nonce: string }).nonce);
      const { headers: more, ...rest } = answer(request, posts);
      return Promise.resolve({ status: 200, body: '{}', ...rest, headers: { ...headers, ...more } });
    },
  };
  return { session: new AcmeSession({ server: `${base}/dir`, transport, clock }), nonces, clock };
}

const badNonce = { status: 400, body: '{"type":"urn:ietf:params:acme:error:badNonce"}' };
const request = { doing: 'new order', url: directory.newOrder, signer, payload: {} };

describe('a signed request', () => {
  test('is repeated with the nonce of the refusal, and each nonce is used once', async () => {
    const { session, nonces } = sessionWith((_, count) => (count < 5 ? badNonce : {}));
    await session.post(request, signal);
    await session.post(request, signal);
    expect(nonces).toHaveLength(6);
    expect(new Set(nonces).size).toBe(6);
  });

  test('is given up when a server likes no nonce at all', async () => {
    const { session, nonces } = sessionWith(() => badNonce);
    await expect(session.post(request, signal)).rejects.toMatchObject({ reason: 'ServerFailed', retryable: true });
    expect(nonces).toHaveLength(40);
  });

  test('is not repeated for any other refusal', async () => {
    const { session, nonces } = sessionWith(() => ({ status: 403, body: '{"type":"urn:ietf:params:acme:error:caa"}' }));
    await expect(session.post(request, signal)).rejects.toMatchObject({ reason: 'CaaForbids' });
    expect(nonces).toHaveLength(1);
  });

  test.each(['http://ca.test/order/1', 'ftp://ca.test', 'javascript:1'])('never leads to %s', async (location) => {
    const { session } = sessionWith(() => ({ status: 201, headers: { location } }));
    await expect(session.post(request, signal)).rejects.toMatchObject({ reason: 'BadAnswer' });
  });

  test('may be answered with a relative URL', async () => {
    const { session } = sessionWith(() => ({ status: 201, headers: { location: '/order/1' } }));
    expect((await session.post(request, signal)).location).toBe(`${base}/order/1`);
  });
});

describe('a directory', () => {
  test.each<readonly [string, object]>([
    ['without newOrder', { ...directory, newOrder: undefined }],
    ['that leads away from https', { ...directory, newNonce: 'http://ca.test/nonce' }],
    ['that is empty', {}],
  ])('%s is refused', async (_, listed) => {
    const { session } = sessionWith(() => ({}), listed);
    await expect(session.directory(signal)).rejects.toMatchObject({ reason: 'BadAnswer' });
  });

  test('says which profiles there are, and whether strangers are welcome', async () => {
    const meta = { profiles: { classic: 'c', short: 's' }, externalAccountRequired: true };
    const { session } = sessionWith(() => ({}), { ...directory, meta, renewalInfo: `${base}/ari` });
    expect(await session.directory(signal)).toMatchObject({
      profiles: ['classic', 'short'],
      externalAccountRequired: true,
      renewalInfo: `${base}/ari`,
    });
  });
});

describe('waiting for an object', () => {
  test('asks again when the server says', async () => {
    const { session, clock, nonces } = sessionWith((_, count) => ({
      headers: { 'retry-after': '7' },
      body: JSON.stringify({ status: count < 3 ? 'processing' : 'valid' }),
    }));
    const done = session.until(request, ({ status }) => (status === 'valid' ? 'done' : undefined), signal);
    for (let seconds = 0; seconds < 14; seconds += 1) {
      await clock.advance(1_000);
      // Two looks in the first fourteen seconds: not before the server allows.
      expect(nonces.length).toBeLessThanOrEqual(1 + Math.floor((seconds + 1) / 7));
    }
    expect(await done).toBe('done');
    expect(nonces).toHaveLength(3);
  });

  test('bears a server that is away for a while if it is told to, and says so; else it ends there', async () => {
    const answers = (_: unknown, count: number) =>
      count < 3 ? { status: 503, body: '' } : { body: JSON.stringify({ status: 'valid' }) };
    const settled = ({ status }: Readonly<Record<string, unknown>>) => (status === 'valid' ? 'done' : undefined);
    const { session, clock } = sessionWith(answers);
    const said: string[] = [];
    const done = session.until(request, settled, signal, (why) => said.push(why));
    await clock.advance(10_000);
    expect(await done).toBe('done');
    expect(said).toEqual([expect.stringContaining('503'), expect.stringContaining('503')]);
    await expect(sessionWith(answers).session.until(request, settled, signal)).rejects.toMatchObject({
      reason: 'ServerFailed',
    });
  });

  test('bears no refusal', async () => {
    const { session } = sessionWith(() => ({
      status: 403,
      body: '{"type":"urn:ietf:params:acme:error:unauthorized"}',
    }));
    const done = session.until(
      request,
      () => undefined,
      signal,
      () => undefined,
    );
    await expect(done).rejects.toMatchObject({ reason: 'Unauthorized' });
  });
});

describe('an order that names the certificate that it replaces', () => {
  const replaces = 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE';

  test.each(['alreadyReplaced', 'malformed', 'unauthorized', 'serverInternal'])(
    'is made without that name when the server answers %s',
    async (type) => {
      const asked: object[] = [];
      const { session, clock } = sessionWith(({ body }) => {
        const { payload } = JSON.parse(body ?? '') as { payload: string };
        asked.push(JSON.parse(Buffer.from(payload, 'base64url').toString()) as object);
        // The second is answered with nothing that an order could go on with.
        return asked.length === 1 ? { status: 500, body: `{"type":"urn:ietf:params:acme:error:${type}"}` } : {};
      });
      const { logger, lines } = kubeDeps();
      const solver = (): never => {
        throw new Error('nobody asked for a proof');
      };
      const order = placeOrder(
        { session, clock, logger, signer, solvers: [], solver },
        { dnsNames: ['a.test'], csr: Buffer.alloc(0), replaces },
        signal,
      );
      await expect(order).rejects.toMatchObject({ reason: 'BadAnswer' });
      const identifiers = [{ type: 'dns', value: 'a.test' }];
      expect(asked).toEqual([{ identifiers, replaces }, { identifiers }]);
      expect(lines).toEqual([expect.objectContaining({ replaces })]);
    },
  );
});

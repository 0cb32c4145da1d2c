// End users at the data path: real sidecars, real tokens, made with node:crypto. Who gets 401, 400 and 403, what the application sees of a token, what
// becomes of a connection, and that keys change without a request that fails for it.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Authentication, TokenIssuer } from '../../../lib/api/authentication.ts';
import type { RuleMatch } from '../../../lib/api/authorization.ts';
import type { Protocol } from '../../../lib/api/tlspolicy.ts';
import { ask, Mesh, type Pod, refusals, until as within } from '../../support/pocketmesh.ts';
import { changePolicy, Talk } from '../../support/talk.ts';
import { type SigningKey, signingKey, token } from '../../support/tokens.ts';

/** A busy machine may take its time. */
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 15_000);

const issuer = 'https://login.example.com';
const [one, two] = [signingKey('one'), signingKey('two', 'RS256')];
const claims = (more: object = {}) => ({
  iss: issuer,
  aud: 'shop',
  sub: 'ada',
  exp: Math.floor(Date.now() / 1_000) + 3_600,
  ...more,
});

function by(keys: readonly SigningKey[], more: Partial<TokenIssuer> = {}): TokenIssuer {
  const from = [{ name: 'authorization', prefix: 'Bearer ' }];
  const listed = keys.map(({ jwk }) => jwk);
  return { issuer, audiences: ['shop'], skewMs: 60_000, from, forward: true, keys: listed, ...more };
}

const usual: Authentication = { form: 1, required: true, jwt: [by([one])] };

let mesh: Mesh;
beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

interface Site {
  readonly pod: Pod;
  readonly web: Pod;
  /** What reached the application. */
  readonly got: { readonly url: string; readonly headers: IncomingHttpHeaders; body: string }[];
  /** Puts another policy in force. */
  readonly change: (authentication: Authentication) => Promise<void>;
}

/** A pod `api` with a web server, published as port 8080, and a pod `web` that calls it. */
async function site(
  authentication: Authentication | 'nothing' = usual,
  { protocol = 'HTTP', rules }: { readonly protocol?: Protocol; readonly rules?: readonly RuleMatch[] } = {},
): Promise<Site> {
  const got: Site['got'] = [];
  const server: Server = createServer((request, response) => {
    const entry = { url: request.url ?? '', headers: request.headers, body: '' };
    got.push(entry);
    request.on('data', (chunk: Buffer) => void (entry.body += chunk.toString()));
    request.on('end', () => response.end(`hello ${request.url}\n`));
  });
  const application = await mesh.application((socket) => void server.emit('connection', socket));
  mesh.onEnd(() => server.closeAllConnections());
  const self = (next: Authentication | 'nothing') => ({
    ports: [{ port: application.port, mode: 'Mutual' as const, protocol }],
    ...(next === 'nothing' ? {} : { authentication: next }),
    ...(rules === undefined ? {} : { authorization: { form: 1 as const, rules } }),
  });
  const pod = await mesh.pod('api', { applicationPort: application.port, self: self(authentication) });
  const web = await mesh.pod('web');
  mesh.publish(8080, [pod]);
  const change: Site['change'] = (next) => changePolicy(mesh, pod, 'api', self(next));
  return { pod, web, got, change };
}

/** A connection that is kept. */
class Requests extends Talk {
  /** Sends octets, and resolves with the answers to so many requests. */
  async send(octets: string, answers = 1): Promise<string> {
    const from = this.text.length;
    this.socket.write(octets);
    const whole = (): boolean =>
      (this.text.slice(from).match(/^(?:hello \S+|token_\w+|denied)$/gm) ?? []).length >= answers;
    await until(() => whole() || this.ended, `answers, not ${this.text}`);
    return this.text.slice(from);
  }
}

const request = (fields: readonly string[] = [], target = '/items', method = 'GET'): string =>
  [`${method} ${target} HTTP/1.1`, 'Host: shop', ...fields, '', ''].join('\r\n');
const bearer = (key: SigningKey, more: object = {}): string => `Authorization: Bearer ${token(key, claims(more))}`;
const close = 'Connection: close';
/** What a client learns: status, challenge and body. */
const learned = (text: string): string => {
  const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
  const challenge = /^WWW-Authenticate: (.*)$/m.exec(text)?.[1] ?? '-';
  return `${status} ${challenge.trim()} ${/^(?:hello \S+|token_\w+|denied|overload)$/m.exec(text)?.[0] ?? ''}`;
};
const details = (pod: Pod): readonly unknown[] =>
  refusals(pod).flatMap(({ reason, detail }) => (String(reason).startsWith('token_') ? [detail] : []));

test.each<readonly [string, readonly string[], string, string | undefined]>([
  ['a good token', [bearer(one)], '200 - hello /items', undefined],
  ['no token', [], '401 Bearer token_required', 'the request has no token'],
  ['other credentials', ['Authorization: Basic YTpi'], '401 Bearer token_required', 'the request has no token'],
  ['a token of the past', [bearer(one, { exp: 1 })], '401 Bearer error="invalid_token" token_invalid', 'expired'],
  [
    'a token for others',
    [bearer(one, { aud: 'bank' })],
    '401 Bearer error="invalid_token" token_invalid',
    'other_audience',
  ],
  [
    'a token of a stranger',
    [bearer(signingKey('one'))],
    '401 Bearer error="invalid_token" token_invalid',
    'bad_signature',
  ],
  ['no token at all', ['Authorization: Bearer opaque'], '401 Bearer error="invalid_token" token_invalid', 'malformed'],
  ['two tokens', [bearer(one), bearer(one)], '400 Bearer error="invalid_request" token_invalid', 'several_tokens'],
])('a request with %s', async (_, fields, expected, detail) => {
  const { pod, web, got } = await site();
  const text = await ask(web.dial(8080), request([...fields, close]));
  expect([learned(text), got.length]).toEqual([expected, detail === undefined ? 1 : 0]);
  if (detail === undefined) return;
  await until(() => details(pod).length > 0, 'the refusal is logged');
  expect(details(pod)).toEqual([detail]);
  // The one who asked learns the reason, never the detail; nobody's log has the token.
  expect(text).toMatch(/^X-Tabard-Reason: token_/m);
  expect(text).not.toContain(detail);
  expect(JSON.stringify([pod.lines, web.lines])).not.toMatch(/eyJ/);
});

describe('a connection', () => {
  test('is kept over good, missing and bad tokens', async () => {
    const { web, got } = await site();
    const talk = new Requests(web.dial(8080));
    const answers: string[] = [];
    for (const fields of [[bearer(one)], [], [bearer(one, { exp: 1 })], [bearer(one)]]) {
      answers.push(learned(await talk.send(request(fields))).slice(0, 3));
    }
    talk.socket.destroy();
    expect([answers, got.length]).toEqual([['200', '401', '401', '200'], 2]);
  });

  test('whose requests are sent ahead gets its answers in order, bodies whole', async () => {
    const { web, got } = await site();
    const talk = new Requests(web.dial(8080));
    const post = (target: string, body: string): string =>
      request([bearer(one), `Content-Length: ${body.length}`], target, 'POST') + body;
    const body = 'x'.repeat(100_000);
    const all = post('/1', body) + request([], '/2') + post('/3', 'short') + request([bearer(one)], '/4');
    const text = await talk.send(all, 4);
    talk.socket.destroy();
    expect(text.match(/^(?:hello \S+|token_\w+)$/gm)).toEqual(['hello /1', 'token_required', 'hello /3', 'hello /4']);
    expect(got.map((each) => each.body.length)).toEqual([100_000, 5, 0]);
  });

  test('that its client has half closed behind the request is answered all the same', async () => {
    const { web } = await site();
    const socket = web.dial(8080);
    const text = ask(socket, request([bearer(one), close]));
    socket.end();
    expect(learned(await text)).toBe('200 - hello /items');
  });

  test('that goes while a signature is verified harms nobody', async () => {
    const { web, pod } = await site();
    for (let turn = 0; turn < 20; turn += 1) {
      const talk = new Requests(web.dial(8080));
      talk.socket.write(request([bearer(two)]), () => talk.socket.destroy());
    }
    expect(learned(await ask(web.dial(8080), request([bearer(one), close])))).toBe('200 - hello /items');
    expect(pod.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('on which no token can be read does not come about where one is required', async () => {
    const { web, pod, got } = await site(usual, { protocol: 'TCP' });
    await ask(web.dial(8080), request([bearer(one), close])).catch(() => undefined);
    await until(() => details(pod).length > 0, 'the refusal is logged');
    expect([got, details(pod)]).toEqual([[], ['the policy asks for tokens, and the protocol of the port is not HTTP']]);
  });

  test('that was not read is cut when tokens are required from now on', async () => {
    const { web, change } = await site('nothing', { protocol: 'TCP' });
    const talk = new Requests(web.dial(8080));
    expect(learned(await talk.send(request()))).toMatch(/^200/);
    await change(usual);
    await until(() => talk.ended, 'the connection is cut');
  });
});

describe('the application', () => {
  test('gets the token as it came', async () => {
    const { web, got } = await site();
    const line = bearer(one);
    await ask(web.dial(8080), request([line, close]));
    expect(`Authorization: ${got[0]?.headers.authorization}`).toBe(line);
  });

  test('does not get it where the policy says so, and gets everything else', async () => {
    const { web, got } = await site({ ...usual, jwt: [by([one], { forward: false })] });
    const fields = ['X-Before: 1', bearer(one), 'X-After: 2', 'Content-Length: 4', close];
    await ask(web.dial(8080), `${request(fields, '/items', 'POST')}body`);
    const headers: IncomingHttpHeaders = got[0]?.headers ?? {};
    const body = got[0]?.body;
    expect([headers.authorization, headers['x-before'], headers['x-after'], body]).toEqual([
      undefined,
      '1',
      '2',
      'body',
    ]);
  });

  test('gets requests without a token where none is required', async () => {
    const { web, got } = await site({ ...usual, required: false });
    expect(learned(await ask(web.dial(8080), request([close])))).toBe('200 - hello /items');
    expect(learned(await ask(web.dial(8080), request(['Authorization: Bearer x.y.z', close])))).toMatch(/^401/);
    expect(got).toHaveLength(1);
  });
});

describe('rules', () => {
  const admins: RuleMatch = {
    name: 'admins',
    effect: 'Allow',
    when: '"roles" in request.auth.claims && "admin" in request.auth.claims.roles',
  };

  test.each<readonly [string, readonly string[], string]>([
    ['an admin', [bearer(one, { roles: ['admin'] })], '200 - hello /items'],
    ['another user', [bearer(one, { roles: ['guest'] })], '403 - denied'],
    ['a user of no role', [bearer(one)], '403 - denied'],
    ['nobody', [], '403 - denied'],
    [
      'an admin by the word of a stranger',
      [bearer(signingKey('one'), { roles: ['admin'] })],
      '401 Bearer error="invalid_token" token_invalid',
    ],
  ])('let in by claims: %s', async (_, fields, expected) => {
    const { web } = await site({ ...usual, required: false }, { rules: [admins] });
    expect(learned(await ask(web.dial(8080), request([...fields, close])))).toBe(expected);
  });
});

describe('keys that change', () => {
  test('fail no request of whoever signs with a key that is known, over a whole rotation under load', async () => {
    const { web, change } = await site();
    const failed: string[] = [];
    let [count, signer] = [0, one];
    const over = new AbortController();
    const caller = async (): Promise<void> => {
      const talk = new Requests(web.dial(8080));
      while (!over.signal.aborted && !talk.ended) {
        const answer = learned(await talk.send(request([bearer(signer, { jti: String(count) })])));
        count += 1;
        if (!answer.startsWith('200')) failed.push(answer);
      }
      talk.socket.destroy();
    };
    const callers = [caller(), caller(), caller()];
    const more = async (): Promise<void> => {
      const enough = count + 20;
      await until(() => count >= enough, 'more requests');
    };
    await more();
    await change({ ...usual, jwt: [by([one, two])] });
    await more();
    signer = two;
    await more();
    await change({ ...usual, jwt: [by([two])] });
    await more();
    over.abort();
    await Promise.all(callers);
    expect(failed).toEqual([]);
    expect(learned(await ask(web.dial(8080), request([bearer(one), close])))).toMatch(/^401/);
  });
});

// What becomes of a request by its token: found, refused, remembered. No sockets; the signature is real.
import { describe, expect, test } from '@jest/globals';
import type { Authentication, TokenIssuer } from '../../../../lib/api/authentication.ts';
import { type Authenticated, Authenticator } from '../../../../sidecar/jwt/authenticate.ts';
import { verify } from '../../../../sidecar/jwt/verify.ts';
import { type SigningKey, signingKey, token } from '../../../support/tokens.ts';

const issuer = 'https://login.example.com';
const startMs = Date.parse('2026-11-22T12:00:00Z');
const key = signingKey('one');
const good = { iss: issuer, sub: 'ada', exp: startMs / 1_000 + 600 };
const bearer = { name: 'authorization', prefix: 'Bearer ' };

function of(keys: readonly SigningKey[], more: Partial<TokenIssuer> = {}): TokenIssuer {
  return { issuer, skewMs: 60_000, from: [bearer], forward: true, keys: keys.map(({ jwk }) => jwk), ...more };
}

function setUp(more: Partial<Authentication> = {}) {
  let current: Authentication | undefined = { form: 1, required: false, jwt: [of([key])], ...more };
  let nowMs = startMs;
  let verified = 0;
  const authenticator = new Authenticator({
    clock: { now: () => new Date(nowMs) },
    current: () => current,
    verify: (...args) => {
      verified += 1;
      return verify(...args);
    },
  });
  const values = (fields: Readonly<Record<string, string | readonly string[]>>) => ({
    values: (name: string): readonly string[] => [fields[name] ?? []].flat(),
  });
  const ask = (fields: Readonly<Record<string, string | readonly string[]>>, port = 8080) =>
    authenticator.authenticate(port, values(fields));
  return {
    authenticator,
    ask,
    verified: () => verified,
    pass: (ms: number) => (nowMs += ms),
    change: (next: Authentication | undefined) => (current = next),
    /** Asks as a gate does: again once the signature was looked at. */
    judged: async (
      fields: Readonly<Record<string, string | readonly string[]>>,
      port = 8080,
    ): Promise<Authenticated> => {
      const first = ask(fields, port);
      if (!(first instanceof Promise)) return first;
      await first;
      const second = ask(fields, port);
      if (second instanceof Promise) throw new Error('asked to wait twice');
      return second;
    },
  };
}

function detailOf(answer: Authenticated): string {
  return answer.ok ? 'ok' : `${answer.refusal.status} ${answer.refusal.reason} ${answer.refusal.detail}`;
}

const withBearer = (text: string) => ({ authorization: `Bearer ${text}` });

describe('a request', () => {
  test('without a token has no claims', async () => {
    expect(await setUp().judged({})).toEqual({
      ok: true,
      claims: undefined,
      strip: undefined,
      untilMs: Infinity,
    });
  });

  test('without a token is asked for one where it is required', async () => {
    expect(await setUp({ required: true }).judged({})).toEqual({
      ok: false,
      refusal: { status: 401, challenge: 'Bearer', reason: 'token_required', detail: 'the request has no token' },
    });
  });

  test('with a good token has its claims', async () => {
    const untilMs = good.exp * 1_000 + 60_000;
    const answer = await setUp().judged(withBearer(token(key, good)));
    expect(answer).toEqual({ ok: true, claims: good, strip: undefined, untilMs });
  });

  test('with a token that is no good gets 401, also where none is required', async () => {
    expect(await setUp().judged(withBearer(token(signingKey('one'), good)))).toEqual({
      ok: false,
      refusal: {
        status: 401,
        challenge: 'Bearer error="invalid_token"',
        reason: 'token_invalid',
        detail: 'bad_signature',
      },
    });
  });

  test.each<readonly [string, Readonly<Record<string, string | readonly string[]>>, string]>([
    ['the scheme in other letters', { authorization: `bEARER ${token(key, good)}` }, 'ok'],
    ['more than one blank behind the scheme', { authorization: `Bearer   ${token(key, good)}` }, 'ok'],
    ['a tab behind the scheme', { authorization: `Bearer\t${token(key, good)}` }, 'ok'],
    ['a tab behind the scheme of a bad one', { authorization: 'Bearer\tx' }, '401 token_invalid malformed'],
    ['credentials of another kind', { authorization: 'Basic YTpi' }, 'ok'],
    [
      'two values of the header',
      { authorization: [`Bearer ${token(key, good)}`, 'Basic YTpi'] },
      '400 token_invalid several_tokens',
    ],
    [
      'two tokens in one value',
      { authorization: `Bearer ${token(key, good)}, Bearer x` },
      '401 token_invalid malformed',
    ],
    [
      'the token of somebody who is not listed',
      withBearer(token(key, { ...good, iss: 'https://other' })),
      '401 token_invalid issuer_unknown',
    ],
  ])('with %s', async (_, fields, expected) => {
    expect(detailOf(await setUp().judged(fields))).toBe(expected);
  });

  test('on a port that is not concerned is not looked at', async () => {
    const { judged, authenticator } = setUp({ required: true, ports: [8080] });
    expect(detailOf(await judged({}, 9090))).toBe('ok');
    expect([8080, 9090].map((port) => authenticator.looksAt(port))).toEqual([true, false]);
  });
});

describe('headers', () => {
  const own = { name: 'x-token', prefix: '' };
  const second = signingKey('two');
  const jwt = [of([key], { forward: false }), of([second], { issuer: 'https://two', from: [own], forward: false })];

  test('are those of the issuer, and are taken out where that is asked', async () => {
    const { judged } = setUp({ jwt });
    const text = token(second, { ...good, iss: 'https://two' });
    expect(await judged({ 'x-token': text })).toMatchObject({ ok: true, strip: 'x-token' });
    expect(detailOf(await judged(withBearer(text)))).toBe('401 token_invalid issuer_unknown');
  });

  test('hold one token together', async () => {
    const { judged } = setUp({ jwt });
    const both = { ...withBearer(token(key, good)), 'x-token': token(second, { ...good, iss: 'https://two' }) };
    expect(detailOf(await judged(both))).toBe('400 token_invalid several_tokens');
  });
});

describe('a token that was verified', () => {
  test('is remembered', async () => {
    const { judged, verified } = setUp();
    for (let turn = 0; turn < 5; turn += 1) await judged(withBearer(token(key, good)));
    // ES256 signatures differ each time, so each of these is another token.
    const same = withBearer(token(key, good));
    for (let turn = 0; turn < 5; turn += 1) await judged(same);
    expect(verified()).toBe(6);
  });

  test('is verified once for requests that come at the same time', async () => {
    const { ask, verified } = setUp();
    const fields = withBearer(token(key, good));
    const waits = [ask(fields), ask(fields), ask(fields)];
    expect(waits.every((each) => each instanceof Promise)).toBe(true);
    await Promise.all(waits.filter((each) => each instanceof Promise));
    expect([verified(), detailOf((await ask(fields)) as Authenticated)]).toEqual([1, 'ok']);
  });

  test('ends with its exp and the skew', async () => {
    const { judged, pass } = setUp();
    const fields = withBearer(token(key, good));
    expect(detailOf(await judged(fields))).toBe('ok');
    pass(659_000);
    expect(detailOf(await judged(fields))).toBe('ok');
    pass(1_000);
    expect(detailOf(await judged(fields))).toBe('401 token_invalid expired');
  });

  test('is looked at again when its key is gone', async () => {
    const { judged, change } = setUp();
    const fields = withBearer(token(key, good));
    expect(detailOf(await judged(fields))).toBe('ok');
    change({ form: 1, required: false, jwt: [of([signingKey('two')])] });
    expect(detailOf(await judged(fields))).toBe('401 token_invalid no_key');
  });

  test('stays remembered when the same is said again', async () => {
    const { judged, change, verified } = setUp();
    const fields = withBearer(token(key, good));
    await judged(fields);
    change({ form: 1, required: false, jwt: [of([key])] });
    await judged(fields);
    expect(verified()).toBe(1);
  });
});

describe('a token that was refused', () => {
  test('is refused without a look for ten seconds, then looked at again', async () => {
    const { judged, verified, pass } = setUp();
    const fields = withBearer(token(key, { ...good, nbf: startMs / 1_000 + 65 }));
    expect(detailOf(await judged(fields))).toBe('401 token_invalid not_yet_valid');
    await judged(fields);
    expect(verified()).toBe(1);
    pass(10_000);
    expect(detailOf(await judged(fields))).toBe('ok');
  });
});

test('when very many signatures wait, requests are told to come again', () => {
  const authenticator = new Authenticator({
    clock: { now: () => new Date(startMs) },
    current: () => ({ form: 1, required: true, jwt: [of([key])] }),
    verify: () => new Promise(() => undefined),
  });
  const answers = Array.from({ length: 257 }, () =>
    authenticator.authenticate(8080, { values: () => [`Bearer ${token(key, good)}`] }),
  );
  expect(answers.filter((each) => each instanceof Promise)).toHaveLength(256);
  expect(answers.at(-1)).toMatchObject({
    ok: false,
    refusal: { status: 503, challenge: undefined, reason: 'overload' },
  });
});

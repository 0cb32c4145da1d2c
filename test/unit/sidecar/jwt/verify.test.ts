// Which tokens are accepted: every algorithm, and what attackers try. Tokens are made with node:crypto, not with the library that verifies.
import { describe, expect, test } from '@jest/globals';
import { type TokenIssuer, tokenAlgorithms } from '../../../../lib/api/authentication.ts';
import { readUnverified, type TokenFault } from '../../../../sidecar/jwt/token.ts';
import { verify } from '../../../../sidecar/jwt/verify.ts';
import { hmacToken, type SigningKey, signingKey, token, unsignedToken } from '../../../support/tokens.ts';

const now = new Date('2026-11-22T12:00:00Z');
const seconds = now.getTime() / 1_000;
const issuer = 'https://login.example.com';
const good = { iss: issuer, aud: 'shop', sub: 'ada', exp: seconds + 600 };
const es = signingKey('es');
const rs = signingKey('rs', 'RS256');

function of(keys: readonly SigningKey[], more: Partial<TokenIssuer> = {}): TokenIssuer {
  return {
    issuer,
    audiences: ['shop', 'other'],
    skewMs: 60_000,
    from: [{ name: 'authorization', prefix: 'Bearer ' }],
    forward: true,
    keys: keys.map(({ jwk }) => jwk),
    ...more,
  };
}

/** 'accepted', or why not. */
async function outcome(text: string, by: TokenIssuer, at = now): Promise<'accepted' | TokenFault> {
  const said = readUnverified(text);
  if (typeof said === 'string') return said;
  const verified = await verify(text, said, by, at);
  return verified.ok ? 'accepted' : verified.fault;
}

test.each(tokenAlgorithms)('a token signed by %s is accepted', async (alg) => {
  const key = signingKey('k', alg);
  expect(await outcome(token(key, good), of([key]))).toBe('accepted');
});

test('what a good token says comes out as it is', async () => {
  const text = token(es, { ...good, roles: ['admin'], nbf: seconds - 5 });
  const said = readUnverified(text);
  if (typeof said === 'string') throw new Error(said);
  expect(await verify(text, said, of([es]), now)).toEqual({
    ok: true,
    claims: { ...good, roles: ['admin'], nbf: seconds - 5 },
    notBeforeMs: (seconds - 5) * 1_000,
    expiresMs: (seconds + 600) * 1_000,
  });
});

describe('a key is used as it says itself', () => {
  const bare = (key: SigningKey): TokenIssuer['keys'][number] => {
    const { alg: _alg, ...rest } = key.jwk;
    return rest;
  };

  test.each<readonly [string, string, TokenIssuer, 'accepted' | TokenFault]>([
    ['an RSA key of no algorithm verifies RS256', token(rs, good), of([], { keys: [bare(rs)] }), 'accepted'],
    [
      'an RSA key for PS256 does not verify RS256',
      token(rs, good),
      of([], { keys: [{ ...rs.jwk, alg: 'PS256' }] }),
      'algorithm_refused',
    ],
    [
      'a P-256 key does not verify ES384',
      token(es, good, { alg: 'ES384' }),
      of([], { keys: [bare(es)] }),
      'algorithm_refused',
    ],
    [
      'a token without a kid is tried with every key that fits',
      token(es, good, { kid: undefined }),
      of([rs, signingKey('x'), es]),
      'accepted',
    ],
    [
      'a key without a kid fits every kid',
      token(es, good),
      of([], { keys: [{ ...es.jwk, kid: undefined } as unknown as TokenIssuer['keys'][number]] }),
      'accepted',
    ],
    ['a kid that nobody has is no key', token(es, good, { kid: 'gone' }), of([es]), 'no_key'],
    ['an issuer without keys has none', token(es, good), of([]), 'no_key'],
    ['a key of the same kid that did not sign it', token(es, good), of([signingKey('es')]), 'bad_signature'],
  ])('%s', async (_, text, by, expected) => {
    expect(await outcome(text, by)).toBe(expected);
  });
});

describe('what attackers try', () => {
  const { privateKey: _, ...stranger } = signingKey('es');
  const changed = (text: string): string => {
    const [head = '', , signature = ''] = text.split('.');
    return `${head}.${Buffer.from(JSON.stringify({ ...good, sub: 'root' })).toString('base64url')}.${signature}`;
  };

  test.each<readonly [string, string, TokenFault]>([
    ['no signature at all', unsignedToken(good), 'algorithm_refused'],
    ['none in other letters', unsignedToken(good, 'nOnE'), 'algorithm_refused'],
    ['an empty signature under a good algorithm', unsignedToken(good, 'ES256'), 'malformed'],
    ['the public key as a shared secret', hmacToken(JSON.stringify(es.jwk), good, { kid: 'es' }), 'algorithm_refused'],
    ['other claims under the same signature', changed(token(es, good)), 'bad_signature'],
    ['a key of its own in the header', token({ ...signingKey('es') }, good, { jwk: stranger.jwk }), 'bad_signature'],
    [
      'an address of a key set in the header',
      token(signingKey('es'), good, { jku: 'https://evil.example/jwks' }),
      'bad_signature',
    ],
    ['a certificate in the header', token(signingKey('es'), good, { x5c: ['MIIB'] }), 'bad_signature'],
    ['an extension that must be understood', token(es, good, { crit: ['exp'], exp: 1 }), 'critical_header'],
    ['claims that are not encoded (b64)', token(es, good, { b64: false, crit: ['b64'] }), 'critical_header'],
    ['a kid that is no text', token(es, good, { kid: { a: 1 } }), 'malformed'],
    ['a kid that is a path', token(es, good, { kid: '../../dev/null' }), 'no_key'],
    ['a token as long as a head', `${token(es, good)}${'A'.repeat(16_384)}`, 'too_large'],
    ['four parts', `${token(es, good)}.AAAA`, 'malformed'],
    ['an encrypted token of five parts', 'a.b.c.d.e', 'malformed'],
    ['blanks inside', token(es, good).replace('.', '. '), 'malformed'],
    ['base64 with padding', token(es, good).replace('.', '=.'), 'malformed'],
    ['claims that are a list', token(es, [good]), 'malformed'],
    ['an opaque token', 'c29tZXRoaW5n', 'malformed'],
    ['nothing', '', 'malformed'],
  ])('%s is refused', async (_name, text, expected) => {
    expect(await outcome(text, of([es]))).toBe(expected);
  });
});

describe('claims', () => {
  test.each<readonly [string, object, 'accepted' | TokenFault]>([
    ['exp within the skew', { exp: seconds - 59 }, 'accepted'],
    ['exp past the skew', { exp: seconds - 61 }, 'expired'],
    ['no exp', { exp: undefined }, 'bad_claim'],
    ['exp as a text', { exp: String(seconds + 60) }, 'bad_claim'],
    ['nbf within the skew', { nbf: seconds + 59 }, 'accepted'],
    ['nbf past the skew', { nbf: seconds + 61 }, 'not_yet_valid'],
    ['the other audience', { aud: 'other' }, 'accepted'],
    ['one of several audiences', { aud: ['x', 'shop'] }, 'accepted'],
    ['another audience', { aud: 'billing' }, 'other_audience'],
    ['an audience that only begins like ours', { aud: 'shop.example' }, 'other_audience'],
    ['no audience', { aud: undefined }, 'bad_claim'],
    ['no issuer', { iss: undefined }, 'bad_claim'],
    ['an issuer that is a list', { iss: [issuer] }, 'bad_claim'],
    ['another issuer', { iss: `${issuer}/` }, 'bad_claim'],
  ])('%s', async (_, claims, expected) => {
    expect(await outcome(token(es, { ...good, ...claims }), of([es]))).toBe(expected);
  });

  test('no audience is asked for where none is listed', async () => {
    const { audiences: _, ...by } = of([es]);
    expect(await outcome(token(es, { ...good, aud: 'anybody' }), by)).toBe('accepted');
  });
});

import { describe, expect, test } from '@jest/globals';
import { readJwks } from '../../../../lib/api/jwks.ts';
import { keySet, signingKey } from '../../../support/tokens.ts';

const es = signingKey('es');
const rs = signingKey('rs', 'RS256');
const ed = signingKey('ed', 'EdDSA');
const set = (...keys: readonly unknown[]): string => JSON.stringify({ keys });

test('keys are taken with what is needed of them, and nothing else', () => {
  const { use: _, ...jwk } = es.jwk;
  expect(readJwks(set({ ...es.jwk, x5c: ['MIIB'], extra: 1 }))).toEqual({ ok: true, keys: [jwk], leftOut: 0 });
});

test('every kind that can verify is read', () => {
  expect(readJwks(keySet(es, rs, ed, signingKey('p', 'ES384'), signingKey('q', 'ES512')))).toMatchObject({
    ok: true,
    leftOut: 0,
  });
});

describe('is left out beside a good key', () => {
  test.each<readonly [string, object]>([
    ['a shared secret', { kty: 'oct', k: 'c2VjcmV0', alg: 'HS256' }],
    ['a key for encryption', { ...rs.jwk, use: 'enc' }],
    ['a key that may only sign', { ...rs.jwk, use: undefined, key_ops: ['sign'] }],
    ['a key for an algorithm of shared secrets', { ...rs.jwk, alg: 'HS256' }],
    ['a key for key agreement', { ...rs.jwk, alg: 'RSA-OAEP' }],
    ['an RSA key of 1024 bits', { ...rs.jwk, n: 'A'.repeat(171) }],
    ['a curve that no algorithm is for', { ...es.jwk, alg: undefined, crv: 'secp256k1' }],
    ['a point that is too short', { ...es.jwk, x: 'AAAA' }],
    ['a key of another kind than its curve', { ...es.jwk, kty: 'OKP' }],
    ['no key', { hello: 'world' }],
  ])('%s', (_, key) => {
    expect(readJwks(set(key, es.jwk))).toMatchObject({ ok: true, keys: [{ kid: 'es' }], leftOut: 1 });
  });
});

describe('a set is refused', () => {
  test.each<readonly [string, string, RegExp]>([
    ['that is no JSON', '<html>', /not \{"keys"/],
    ['that is a list', '[]', /not \{"keys"/],
    ['without keys', '{"keys":[]}', /none of its keys/],
    ['with shared secrets alone', set({ kty: 'oct', k: 'YQ' }), /none of its keys/],
    ['with a private key', set(es.jwk, { ...es.privateKey.export({ format: 'jwk' }), kid: 'x' }), /private key/],
    ['with very many keys', set(...Array.from({ length: 33 }, () => es.jwk)), /over 32 keys/],
    ['that is very large', JSON.stringify({ keys: [es.jwk], pad: 'x'.repeat(131_072) }), /over 131072 bytes/],
  ])('%s', (_, text, why) => {
    const read = readJwks(text);
    expect(read.ok ? '' : read.why).toMatch(why);
  });
});

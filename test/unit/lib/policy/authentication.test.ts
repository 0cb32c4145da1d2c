import { describe, expect, test } from '@jest/globals';
import type { AuthenticationSpec, JwtSpec } from '../../../../lib/api/authentication.ts';
import { compileAuthentication, type JwksSource } from '../../../../lib/policy/authentication.ts';
import { parseAuthentication } from '../../../../sidecar/control/authentication.ts';
import { testPolicy } from '../../../support/policies.ts';
import { keySet, signingKey } from '../../../support/tokens.ts';

const key = signingKey('one');
const { use: _, ...jwk } = key.jwk;
const bearer = { name: 'authorization', prefix: 'Bearer ' };
const url = 'https://login.example.com/jwks';
const fetched = ({ url: at }: JwksSource) => (at === url ? [jwk] : undefined);

const compiled = (authentication: AuthenticationSpec) =>
  compileAuthentication(testPolicy('api', { authentication }), fetched);
const one = (jwt: Partial<JwtSpec>) => {
  const { authentication, faults } = compiled({ jwt: [{ issuer: 'i', jwks: keySet(key), ...jwt }] });
  return { issuer: authentication?.jwt[0], faults: faults.map(({ field, message }) => `${field}: ${message}`) };
};
const usual = { issuer: 'i', skewMs: 60_000, from: [bearer], forward: true, keys: [jwk] };

describe('a policy', () => {
  test('without issuers looks at no tokens', () => {
    expect(compiled({}).authentication).toBeUndefined();
    expect(compiled({ jwt: [] }).authentication).toBeUndefined();
    expect(compileAuthentication(undefined, fetched).authentication).toBeUndefined();
  });

  test('is told whole', () => {
    const jwt = [{ issuer: 'i', jwks: keySet(key) }];
    expect(compiled({ required: true, ports: [8080], jwt }).authentication).toEqual({
      form: 1,
      required: true,
      ports: [8080],
      jwt: [usual],
    });
  });
});

describe('an issuer', () => {
  test.each<readonly [string, Partial<JwtSpec>, object]>([
    ['has defaults', {}, usual],
    ['has audiences', { audiences: ['a'] }, { ...usual, audiences: ['a'] }],
    ['has any audience when the list is empty', { audiences: [] }, usual],
    [
      'has headers in lower case',
      { fromHeaders: [{ name: 'X-Token' }] },
      { ...usual, from: [{ name: 'x-token', prefix: '' }] },
    ],
    ['keeps its tokens from the application', { forward: false }, { ...usual, forward: false }],
    ['has a skew', { clockSkew: '5s' }, { ...usual, skewMs: 5_000 }],
  ])('%s', (_name, spec, expected) => {
    expect(one(spec)).toEqual({ issuer: expected, faults: [] });
  });

  test('has the keys that were fetched', () => {
    const { authentication, faults } = compiled({ jwt: [{ issuer: 'i', jwksUri: url }] });
    expect([authentication?.jwt[0]?.keys, faults]).toEqual([[jwk], []]);
  });

  test('has none before they are fetched', () => {
    const { authentication } = compiled({ jwt: [{ issuer: 'i', jwksUri: 'https://other/jwks' }] });
    expect(authentication?.jwt[0]?.keys).toEqual([]);
  });

  test.each<readonly [string, Partial<JwtSpec>, object, RegExp]>([
    ['keys that cannot be read', { jwks: '{}' }, { keys: [] }, /jwt\[0\]\.jwks: .* no token of "i" is accepted/],
    ['a skew that is too large', { clockSkew: '10m' }, { skewMs: 300_000 }, /clockSkew: 10m is over 5m/],
    ['a skew that is none', { clockSkew: 'soon' }, { skewMs: 60_000 }, /clockSkew: .*; 1m holds/],
  ])('with %s is told so', (_name, spec, expected, message) => {
    const { issuer, faults } = one(spec);
    expect(issuer).toMatchObject(expected);
    expect(faults).toEqual([expect.stringMatching(message)]);
  });
});

describe('what a sidecar reads', () => {
  const told = compiled({ required: true, ports: [8080], jwt: [{ issuer: 'i', audiences: ['a'], jwks: keySet(key) }] });
  const wire = JSON.parse(JSON.stringify(told.authentication)) as Record<string, unknown>;
  const [issuer = {}] = wire['jwt'] as readonly object[];
  const nobody = { form: 1, required: true, jwt: [] };

  test('is what it was told', () => {
    expect(parseAuthentication(wire)).toEqual(told.authentication);
    expect(parseAuthentication(undefined)).toBeUndefined();
  });

  test('leaves out a key that it does not know', () => {
    const keys = [jwk, { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AA' }];
    expect(parseAuthentication({ ...wire, jwt: [{ ...issuer, keys }] })?.jwt[0]?.keys).toEqual([jwk]);
  });

  test.each<readonly [string, unknown]>([
    ['another form', { ...wire, form: 2 }],
    ['a member that is not known', { ...wire, oidc: {} }],
    ['no object', []],
    ['null', null],
    ['no word about required', { ...wire, required: 'yes' }],
    ['ports that are none', { ...wire, ports: ['http'] }],
    ['an issuer with a member that is not known', { ...wire, jwt: [{ ...issuer, scopes: ['a'] }] }],
    ['an issuer without a name', { ...wire, jwt: [{ ...issuer, issuer: 1 }] }],
    ['a skew without a bound', { ...wire, jwt: [{ ...issuer, skewMs: 1e12 }] }],
    ['headers that are none', { ...wire, jwt: [{ ...issuer, from: ['authorization'] }] }],
    ['audiences that are none', { ...wire, jwt: [{ ...issuer, audiences: 'a' }] }],
  ])('lets no request in for %s', (_name, value) => {
    expect(parseAuthentication(value)).toEqual(nobody);
  });
});

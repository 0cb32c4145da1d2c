// From what ACME servers say to our closed list of reasons.
import { describe, expect, test } from '@jest/globals';
import { acmeHints, problemOf } from '../../../../../operator/issuers/acme/problem.ts';

const urn = (type: string): string => `urn:ietf:params:acme:error:${type}`;

describe('a problem', () => {
  test.each([
    ['accountDoesNotExist', 400, 'AccountMissing', true],
    ['badCSR', 400, 'BadCsr', false],
    ['badPublicKey', 400, 'BadCsr', false],
    ['badSignatureAlgorithm', 400, 'AccountKeyBroken', false],
    ['caa', 403, 'CaaForbids', false],
    ['connection', 400, 'ChallengeFailed', true],
    ['dns', 400, 'ChallengeFailed', true],
    ['externalAccountRequired', 403, 'BindingRequired', false],
    ['invalidContact', 400, 'AccountRefused', false],
    ['invalidProfile', 400, 'ProfileUnknown', false],
    ['orderNotReady', 403, 'OrderFailed', true],
    ['rateLimited', 429, 'RateLimited', true],
    ['rejectedIdentifier', 400, 'NameRefused', false],
    ['serverInternal', 500, 'ServerFailed', true],
    ['unauthorized', 403, 'Unauthorized', false],
    ['unsupportedIdentifier', 400, 'NameRefused', false],
    ['userActionRequired', 403, 'ActionRequired', false],
    ['malformed', 400, 'BadAnswer', true],
    ['of the future', 400, 'BadAnswer', true],
  ] as const)('%s (HTTP %i) is %s', (type, status, reason, retryable) => {
    const error = problemOf({ type: urn(type), detail: 'what it says' }, { doing: 'new order', status });
    expect(error).toMatchObject({ reason, retryable, type, code: 'issuer_failed' });
    expect(error.message).toContain('what it says');
    expect(error.message).toContain(acmeHints[reason]);
  });

  test.each([
    [429, undefined, 'RateLimited'],
    [503, 60_000, 'RateLimited'],
    [503, undefined, 'ServerFailed'],
    [502, undefined, 'ServerFailed'],
    [404, undefined, 'BadAnswer'],
  ] as const)(
    'without a document is told by the status: %i with Retry-After %p is %s',
    (status, retryAfterMs, reason) => {
      expect(problemOf(undefined, { doing: 'finalize', status, retryAfterMs })).toMatchObject({ reason, retryAfterMs });
    },
  );

  test('of a challenge means something else: unauthorized is no matter of the account', () => {
    const found = { type: urn('unauthorized'), detail: 'wrong key authorization' };
    expect(problemOf(found, { doing: 'http-01 challenge', challenge: true }).reason).toBe('ChallengeFailed');
    expect(problemOf({ type: urn('caa') }, { doing: 'http-01 challenge', challenge: true }).reason).toBe('CaaForbids');
  });

  test('of several names is told by the first that has a word, and says what is wrong with each', () => {
    const compound = {
      type: urn('compound'),
      detail: 'errors',
      subproblems: [
        { type: urn('malformed'), detail: 'odd', identifier: { type: 'dns', value: 'a.example' } },
        { type: urn('rejectedIdentifier'), detail: 'on the list', identifier: { type: 'dns', value: 'b.example' } },
      ],
    };
    const error = problemOf(compound, { doing: 'new order', status: 403 });
    expect(error.reason).toBe('NameRefused');
    expect(error.message).toContain('b.example: on the list');
  });

  test('is repeated on one line and not without end', () => {
    const error = problemOf({ type: urn('caa'), detail: `one\ntwo ${'x'.repeat(5_000)}` }, { doing: 'order' });
    expect(error.message).toContain('one two');
    expect(error.message.length).toBeLessThan(600);
  });
});

// The reasons of issuers elsewhere, and the page that explains them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { IssuerError, type IssuerReason, issuerHints, quoted } from '../../../../operator/issuers/problem.ts';

const page = readFileSync(join(import.meta.dirname, '../../../../docs/issuers.md'), 'utf8');
const reasons = Object.keys(issuerHints) as readonly IssuerReason[];

describe('the reasons of issuers elsewhere', () => {
  test('are on the page, with the same advice', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| (.*) \|$/gm)].map(([, reason, advice]) => [
      reason,
      advice?.replaceAll('\\<', '<'),
    ]);
    expect(rows).toEqual(expect.arrayContaining(Object.entries(issuerHints)));
  });

  test('could be reasons of a condition', () => {
    for (const reason of reasons) expect(reason).toMatch(/^[A-Z][A-Za-z]+$/);
  });

  test('carry the advice in the message', () => {
    expect(new IssuerError('Sealed', 'HTTP 503').message).toBe(`HTTP 503; ${issuerHints.Sealed}`);
  });

  test.each([
    ['Unreachable', true, true],
    ['RoleRefuses', false, false],
    ['Throttled', true, false],
    ['Forbidden', false, true],
  ] as const)('%s may pass by itself: %s, concerns all orders: %s', (reason, retryable, concernsAll) => {
    expect(new IssuerError(reason, 'x')).toMatchObject({ retryable, concernsAll });
  });

  test('quote a server in one bounded line', () => {
    expect(quoted(` a\n\tb ${'x'.repeat(1_000)}`)).toHaveLength(300);
    expect(quoted(' a\n\tb ')).toBe('a b');
  });
});

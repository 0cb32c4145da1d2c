import { describe, expect, test } from '@jest/globals';
import type { RuleMatch } from '../../../../lib/api/authorization.ts';
import { unreadPorts } from '../../../../lib/policy/unread.ts';

const http = [{ port: 80, mode: 'Mutual' as const, protocol: 'HTTP' as const }];
const rule = (effect: RuleMatch['effect'], more: Partial<RuleMatch>): RuleMatch => ({ name: 'r', effect, ...more });

describe('ports whose requests nobody reads', () => {
  test.each<readonly [string, RuleMatch, readonly number[], readonly number[]]>([
    ['do not matter to a rule that asks for none', rule('Deny', { to: [{ ports: [5432] }] }), [], []],
    ['are closed by a Deny rule for any port', rule('Deny', { to: [{ paths: ['/a'] }] }), [], [5432]],
    [
      'are closed by a Deny rule that names them',
      rule('Deny', { to: [{ ports: [80, 5432], hosts: ['a'] }] }),
      [],
      [5432],
    ],
    ['are left alone by a Deny rule for others', rule('Deny', { to: [{ ports: [80], paths: ['/a'] }] }), [], []],
    ['are closed by a condition', rule('Deny', { when: 'true' }), [], [5432]],
    ['are left alone by a condition on others', rule('Deny', { to: [{ ports: [80] }], when: 'true' }), [], []],
    ['are not meant by an Allow rule where others are read', rule('Allow', { to: [{ paths: ['/a'] }] }), [], []],
    [
      'are idle under an Allow rule that names them',
      rule('Allow', { to: [{ ports: [5432], methods: ['GET'] }] }),
      [5432],
      [],
    ],
    [
      'are no matter of the part that asks for none',
      rule('Allow', { to: [{ ports: [5432] }, { ports: [80], paths: ['/a'] }] }),
      [],
      [],
    ],
  ])('%s', (_, each, idle, closed) => {
    expect(unreadPorts([each], { ports: http }, [80, 5432])).toEqual({ idle, closed });
  });

  test('are all idle under an Allow rule where none is read', () => {
    expect(unreadPorts([rule('Allow', { to: [{ paths: ['/a'] }] })], { ports: [] }, [80])).toEqual({
      idle: [80],
      closed: [],
    });
  });
});

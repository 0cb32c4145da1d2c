// Snapshots wait for the language of conditions when their rules need it, and never otherwise; the newest is the one that counts.
import { describe, expect, test } from '@jest/globals';
import type { RuleMatch } from '../../../lib/api/authorization.ts';
import type { SelfSnapshot } from '../../../lib/api/control.ts';
import { createLogger } from '../../../lib/runtime/logger.ts';
import { Conditions } from '../../../sidecar/conditions.ts';
import { testSelf } from '../../support/sidecar.ts';

const logger = createLogger({ name: 'sidecar', level: 'silent' });

function self(version: string, ...rules: readonly RuleMatch[]): SelfSnapshot {
  return { version, ...testSelf('web', '', { authorization: { form: 1, rules } }) };
}

const plain: RuleMatch = { name: 'a', effect: 'Allow' };
const asking: RuleMatch = { ...plain, when: 'true' };

describe('a snapshot', () => {
  test('without conditions is passed on at once, and loads nothing', () => {
    const conditions = new Conditions(logger);
    const used: string[] = [];
    conditions.pass(self('1', plain), ({ version }) => used.push(version));
    expect(used).toEqual(['1']);
    expect(conditions.language()).toBeUndefined();
  });

  test('with one waits until it can be judged; later ones do not', async () => {
    const conditions = new Conditions(logger);
    const used: string[] = [];
    const use = ({ version }: SelfSnapshot): void => void used.push(version);
    conditions.pass(self('1', asking), use);
    expect(used).toEqual([]);
    await conditions.ready(self('1', asking));
    expect(conditions.language()?.compile('true')).toEqual(expect.any(Function));
    conditions.pass(self('2', asking), use);
    expect(used).toEqual(['1', '2']);
  });

  test('that was overtaken while it waited is not used', async () => {
    const conditions = new Conditions(logger);
    const used: string[] = [];
    const use = ({ version }: SelfSnapshot): void => void used.push(version);
    conditions.pass(self('1', asking), use);
    conditions.pass(self('2', asking), use);
    conditions.pass(self('3', plain), use);
    await conditions.ready(self('1', asking));
    await Promise.resolve();
    expect(used).toEqual(['3']);
  });
});

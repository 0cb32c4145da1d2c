import { describe, expect, test } from '@jest/globals';
import type { LabelSelector, TLSPolicy } from '../../../../lib/api/tlspolicy.ts';
import { governing, selectorMatches } from '../../../../lib/policy/select.ts';
import { testPolicy } from '../../../support/policies.ts';

const labels = { app: 'api', tier: 'back', empty: '' };

describe('a label selector', () => {
  test.each<[string, LabelSelector, boolean]>([
    ['that is empty picks everything', {}, true],
    ['with one matching label picks', { matchLabels: { app: 'api' } }, true],
    ['with another value does not pick', { matchLabels: { app: 'web' } }, false],
    ['with a label that is missing does not pick', { matchLabels: { zone: 'a' } }, false],
    ['needs all its labels', { matchLabels: { app: 'api', tier: 'front' } }, false],
    ['with an empty value wants the label to be there', { matchLabels: { zone: '' } }, false],
    ['with an empty value picks an empty value', { matchLabels: { empty: '' } }, true],
    [
      'In a set with the value picks',
      { matchExpressions: [{ key: 'app', operator: 'In', values: ['web', 'api'] }] },
      true,
    ],
    [
      'In a set without the value does not',
      { matchExpressions: [{ key: 'app', operator: 'In', values: ['web'] }] },
      false,
    ],
    [
      'In a set with the label missing does not',
      { matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] },
      false,
    ],
    [
      'NotIn a set with the value does not',
      { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['api'] }] },
      false,
    ],
    [
      'NotIn a set without the value picks',
      { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] },
      true,
    ],
    [
      'NotIn a set with the label missing picks',
      { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] },
      true,
    ],
    ['Exists with the label picks', { matchExpressions: [{ key: 'empty', operator: 'Exists' }] }, true],
    ['Exists without the label does not', { matchExpressions: [{ key: 'zone', operator: 'Exists' }] }, false],
    ['DoesNotExist with the label does not', { matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] }, false],
    ['DoesNotExist without the label picks', { matchExpressions: [{ key: 'zone', operator: 'DoesNotExist' }] }, true],
    [
      'needs its labels and its expressions',
      { matchLabels: { app: 'api' }, matchExpressions: [{ key: 'tier', operator: 'In', values: ['front'] }] },
      false,
    ],
    ['with a key of Object.prototype does not pick', { matchLabels: { toString: 'x' } }, false],
  ])('%s', (_, selector, expected) => {
    expect(selectorMatches(selector, labels)).toBe(expected);
  });
});

describe('the policy of a pod', () => {
  const forApi = { selector: { matchLabels: { app: 'api' } } };
  const forBack = { selector: { matchLabels: { tier: 'back' } } };
  const later = { creationTimestamp: '2026-02-01T00:00:00Z' };
  const names = (policies: readonly TLSPolicy[]): string[] => policies.map(({ metadata }) => metadata.name);
  const verdict = (policies: readonly TLSPolicy[]): [string | undefined, string[]] => {
    const { policy, overruled } = governing(policies, labels);
    return [policy?.metadata.name, names(overruled)];
  };

  test.each<[string, readonly TLSPolicy[], [string | undefined, string[]]]>([
    ['is none when there is none', [], [undefined, []]],
    ['is none when none selects it', [testPolicy('a', { selector: { matchLabels: { app: 'web' } } })], [undefined, []]],
    ['is the one that selects it', [testPolicy('a', forApi)], ['a', []]],
    ['is the default of the namespace when no other selects it', [testPolicy('all')], ['all', []]],
    [
      'counts an empty selector as a default',
      [testPolicy('all', { selector: { matchLabels: {} } }, {}), testPolicy('a', forApi, later)],
      ['a', []],
    ],
    [
      'is the selecting one although the default is older, without a conflict',
      [testPolicy('all'), testPolicy('a', forApi, later)],
      ['a', []],
    ],
    [
      'is the older of two that select it, and the newer is in conflict',
      [testPolicy('b', forBack, later), testPolicy('a', forApi)],
      ['a', ['b']],
    ],
    ['is the older whatever the names', [testPolicy('a', forBack, later), testPolicy('z', forApi)], ['z', ['a']]],
    ['is the first by name of two equally old', [testPolicy('b', forBack), testPolicy('a', forApi)], ['a', ['b']]],
    [
      'is the older of two defaults, and the newer is in conflict',
      [testPolicy('y', {}, later), testPolicy('z')],
      ['z', ['y']],
    ],
    [
      'is the oldest of three; the defaults are not in conflict with it',
      [testPolicy('all'), testPolicy('b', forBack, later), testPolicy('a', forApi), testPolicy('all2', {}, later)],
      ['a', ['b']],
    ],
  ])('%s', (_, policies, expected) => {
    expect(verdict(policies)).toEqual(expected);
    expect(verdict([...policies].reverse())).toEqual(expected);
  });
});

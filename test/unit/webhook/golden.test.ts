// Pods in, outcomes out: test/golden/injection/<case>/{pod.yaml,expected.yaml}. UPDATE_GOLDEN=1 (make golden) rewrites the
// expected files; they are reviewed as code.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { arrayAt, type JsonObject, stringAt } from '../../../webhook/json.ts';
import { admitted, goldenFolder, goldenPods, patched } from '../../support/webhook.ts';

const rewrite = process.env['UPDATE_GOLDEN'] === '1';
const cases = goldenPods();

function outcomeOf(pod: JsonObject) {
  const { answer, record } = admitted(pod);
  return {
    outcome: record.outcome,
    ...(record.reason === '' ? {} : { reason: record.reason }),
    ...(answer.allowed ? {} : { message: answer.message }),
    ...(answer.warnings.length === 0 ? {} : { warnings: answer.warnings }),
    ...(answer.operations.length === 0 ? {} : { pod: patched(pod, answer.operations) }),
  };
}

const nameOf = (list: string, pod: JsonObject) => arrayAt(pod, 'spec', list).map((each) => stringAt(each, 'name'));

describe('golden pods', () => {
  test('there are at least forty shapes', () => {
    expect(cases.length).toBeGreaterThanOrEqual(40);
  });

  test.each(cases)('$name becomes what expected.yaml says', ({ name, pod }) => {
    const file = join(goldenFolder, name, 'expected.yaml');
    const actual = outcomeOf(pod);
    if (rewrite) writeFileSync(file, stringify(actual, { lineWidth: 0, aliasDuplicateObjects: false }));
    expect(JSON.parse(JSON.stringify(actual))).toEqual(parse(readFileSync(file, 'utf8')));
  });

  test.each(cases)('$name is not changed by a second pass', ({ pod }) => {
    const { answer } = admitted(pod);
    const again = admitted(patched(pod, answer.operations), { uid: 'review-2' }).answer;
    expect({ allowed: again.allowed, operations: again.operations }).toEqual({
      allowed: answer.allowed,
      operations: [],
    });
  });

  test.each(cases)('$name keeps the order of its own containers', ({ pod }) => {
    const after = patched(pod, admitted(pod).answer.operations);
    const own = (names: readonly (string | undefined)[]) => names.filter((name) => !name?.startsWith('tabard-'));
    expect(own(nameOf('initContainers', after))).toEqual(own(nameOf('initContainers', pod)));
    expect(nameOf('containers', after)).toEqual(nameOf('containers', pod));
  });
});

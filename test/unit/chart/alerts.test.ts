import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const root = resolve(import.meta.dirname, '../../..');
const template = readFileSync(join(root, 'charts/tabard/templates/prometheusrule.yaml'), 'utf8');
/** What the rules are, without Helm's own braces: they stand in texts alone. */
const expressions = [...template.matchAll(/expr: (?:>-\n((?: {12}.*\n)+)|(.*)\n)/g)].map(
  ([, block, line]) => block ?? line ?? '',
);

function sources(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
}

const programs = ['lib', 'operator', 'webhook', 'sidecar'].flatMap(sources).join('\n');

describe('the alerts of the chart', () => {
  test('are all found here', () => {
    expect(expressions.length).toBe([...template.matchAll(/- alert: /g)].length);
    expect(expressions.length).toBeGreaterThanOrEqual(12);
  });

  const named = [...new Set(expressions.flatMap((each) => each.match(/\btabard_[a-z_]+/g) ?? []))];
  test.each(named)('%s is exported by some program', (metric) => {
    expect(programs).toContain(`'${metric}'`);
  });

  test('say what happened and what to do', () => {
    const rules = template.split('- alert: ').slice(1);
    for (const rule of rules) expect(rule).toMatch(/severity: (warning|critical)[\s\S]*summary: .+\n +description: .+/);
  });

  test('measure no remaining life in days or hours', () => {
    const remaining = expressions.filter((each) => each.includes('- time()'));
    expect(remaining.length).toBeGreaterThan(3);
    for (const each of remaining) expect(each).toMatch(/<= 0\s*$|< 0\.\d+ \* \(tabard_/);
  });

  test('on an action of the audit trail name one that there is', async () => {
    const { auditActions } = await import('../../../operator/audit/actions.ts');
    const actions = expressions.flatMap((each) => [...each.matchAll(/action="(\w+)"/g)].map(([, action]) => action));
    expect(actions.length).toBeGreaterThan(0);
    for (const action of actions) expect(Object.keys(auditActions)).toContain(action);
  });
});

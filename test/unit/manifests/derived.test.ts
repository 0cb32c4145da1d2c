import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { apiReference } from '../../../hack/manifests/api-reference.ts';
import { chartCrd } from '../../../hack/manifests/chart-crd.ts';
import { chartReadme } from '../../../hack/manifests/chart-readme.ts';
import { derivedFiles, outdated } from '../../../hack/manifests.ts';

const root = resolve(import.meta.dirname, '../../..');

describe('derived files', () => {
  test('are those on disk (run `make manifests` after a change of their source)', () => {
    const files = derivedFiles();
    expect(files.length).toBeGreaterThanOrEqual(5);
    expect(outdated(files).map(({ path }) => path)).toEqual([]);
  });

  test('that differ from the disk are found', () => {
    const [first] = derivedFiles();
    const changed = { path: first?.path ?? '', text: `${first?.text ?? ''}# changed\n` };
    const missing = { path: `${root}/charts/absent.yaml`, text: '' };
    expect(outdated([changed, missing])).toEqual([changed, missing]);
  });
});

describe('the CRD template', () => {
  test('refuses a source without the text that it must replace', () => {
    expect(() => chartCrd('tabard.dev_tlspolicies.yaml', 'metadata:\n  name: x\n')).toThrow(
      'which the chart must replace',
    );
  });

  test('refuses a source that Helm would take for a template', () => {
    expect(() => chartCrd('x.yaml', 'description: "{{ a }}"\n')).toThrow('Helm would take');
  });

  test('carries the lower bound of lifetimes as a value, in the rule and in both texts', () => {
    const name = 'tabard.dev_tlspolicies.yaml';
    const template = chartCrd(name, readFileSync(`${root}/crds/${name}`, 'utf8'));
    expect(template.match(/\{\{ \.Values\.testing\.minimumLifetime \}\}/g)).toHaveLength(3);
    expect(template).not.toContain('from 10m');
    expect(template).not.toContain("duration('10m')");
  });
});

describe('the README of the chart', () => {
  test('has a row for each value, nested ones with their path', () => {
    const readme = chartReadme('# Values.\n\n# -- One.\na: 1\nb:\n  # -- A | b.\n  c: {d: [e]}\n  # -- F.\n  f: ""\n');
    expect(readme.split('\n').filter((line) => line.startsWith('| `'))).toEqual([
      '| `a` | `1` | One. |',
      '| `b.c` | `{"d":["e"]}` | A \\| b. |',
      '| `b.f` | `""` | F. |',
    ]);
  });

  test('refuses a value without a comment', () => {
    expect(() => chartReadme('# -- One.\na: 1\nb: 2\n')).toThrow('values.yaml: b needs a comment');
  });
});

describe('the schema of the values', () => {
  interface ValueSchema {
    readonly properties?: Readonly<Record<string, ValueSchema>>;
    readonly $ref?: string;
    readonly additionalProperties?: unknown;
    readonly definitions?: Readonly<Record<string, ValueSchema>>;
  }
  const whole = JSON.parse(readFileSync(`${root}/charts/tabard/values.schema.json`, 'utf8')) as ValueSchema;
  const resolved = (schema: ValueSchema): ValueSchema =>
    schema.$ref === undefined ? schema : (whole.definitions?.[schema.$ref.replace('#/definitions/', '')] ?? {});

  function leaves(schema: ValueSchema, prefix: string): string[] {
    return Object.entries(resolved(schema).properties ?? {}).flatMap(([name, inner]) =>
      resolved(inner).properties === undefined ? [`${prefix}${name}`] : leaves(inner, `${prefix}${name}.`),
    );
  }

  test('knows exactly the values that values.yaml documents', () => {
    const readme = chartReadme(readFileSync(`${root}/charts/tabard/values.yaml`, 'utf8'));
    const documented = [...readme.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] ?? '');
    const known = leaves(whole, '')
      .map((path) => path.replace(/\.resources\.\w+$/, '.resources'))
      .filter((path) => path !== 'global');
    expect([...new Set(known)].sort()).toEqual(documented.sort());
  });
});

describe('the API reference', () => {
  test('shows every field with its default and every rule', () => {
    const crd = {
      spec: {
        group: 'g',
        scope: 'Cluster',
        names: { kind: 'K', plural: 'ks', shortNames: ['k'] },
        versions: [
          {
            name: 'v1',
            schema: {
              openAPIV3Schema: {
                properties: {
                  spec: {
                    properties: {
                      list: {
                        description: 'A <list>.',
                        items: {
                          type: 'object',
                          properties: {
                            word: {
                              type: 'string',
                              default: 'a',
                              description: 'A word.',
                              'x-kubernetes-validations': [{ rule: 'true', message: 'must be a word' }],
                            },
                          },
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        ],
      },
    };
    const text = apiReference([JSON.stringify(crd)]);
    expect(text).toContain('| `list` | list of object |  | A &lt;list>. |');
    expect(text).toContain('| `list[].word` | string | `a` | A word. |');
    expect(text).toContain('- `spec.list[].word` must be a word');
    expect(parse(JSON.stringify(crd))).toBeDefined();
  });
});

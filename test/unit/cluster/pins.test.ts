// The pins of the embedded cluster's tools.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { KUBERNETES_VERSION, TOOLS } from '../../../hack/cluster/tools.ts';

const tools = resolve(import.meta.dirname, '../../../hack/cluster/tools');

/** Module to version, of the tool's go.mod. */
function pins(tool: string): ReadonlyMap<string, string> {
  const lines = readFileSync(join(tools, tool, 'go.mod'), 'utf8').matchAll(/^(?:\t|require )(\S+) (v\S+)/gm);
  return new Map([...lines].map((match) => [match[1] ?? '', match[2] ?? '']));
}

describe('pins', () => {
  test('reports the version of Kubernetes that is built', () => {
    expect(pins('kubernetes').get('k8s.io/kubernetes')).toBe(KUBERNETES_VERSION);
  });

  test.each(['etcd', 'containerd', 'coredns', 'purge', 'helm'])(
    'kubernetes and %s name the same version of what they share, so that it is compiled once',
    (tool) => {
      const other = pins(tool);
      const different = [...pins('kubernetes')].filter(([module, version]) => {
        // Staging modules are replaced in the Kubernetes module and carry v0.0.0 there.
        return version !== 'v0.0.0' && other.has(module) && other.get(module) !== version;
      });
      expect(different).toEqual([]);
    },
  );

  test('every tool has a module of its own with a Go version', () => {
    for (const { name } of Object.values(TOOLS)) {
      expect(readFileSync(join(tools, name, 'go.mod'), 'utf8')).toMatch(/^go 1\.\d+/m);
    }
  });
});

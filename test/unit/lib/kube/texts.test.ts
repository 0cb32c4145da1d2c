import { describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../../../../lib/kube/object.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { Texts } from '../../../../lib/kube/texts.ts';

const numbered = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `text number ${from + index}`);

describe('a pool of texts', () => {
  test('gives for any text one that is equal', () => {
    const texts = new Texts();
    const all = ['', 'short', 'x'.repeat(1_000), ...numbered(0, 40_000), ...numbered(0, 10)];
    expect(all.map((text) => texts.of(text))).toEqual(all);
  });

  test('changes nothing of what a store holds', () => {
    const object = (): KubeObject & { readonly spec: object } => ({
      apiVersion: 'v1',
      kind: 'Thing',
      metadata: {
        name: 'a',
        namespace: 'n',
        uid: 'u',
        resourceVersion: '1',
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      spec: { at: '2026-01-01T00:00:00Z', list: ['2026-01-01T00:00:00Z', 1, null, { deep: '2026-01-01T00:00:00Z' }] },
    });
    const store = new ObjectStore<KubeObject>({ texts: new Texts() });
    store.set(object());
    expect(store.get('n/a')).toEqual(object());
    expect(Object.isFrozen(store.get('n/a')?.metadata)).toBe(true);
  });
});

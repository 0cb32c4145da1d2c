// Where the API server serves what.
import { describe, expect, test } from '@jest/globals';
import { keyOf, refOf } from '../../../../lib/kube/object.ts';
import { apiVersionOf, metadataOf, pathOf, resourceName, resources } from '../../../../lib/kube/resources.ts';
import { acceptFor, queryText } from '../../../../lib/kube/wire.ts';

describe('the resources', () => {
  test.each([
    [pathOf(resources.pods), '/api/v1/pods'],
    [pathOf(resources.pods, { namespace: 'shop' }), '/api/v1/namespaces/shop/pods'],
    [pathOf(resources.pods, { namespace: 'shop', name: 'a' }, 'status'), '/api/v1/namespaces/shop/pods/a/status'],
    [pathOf(resources.namespaces, { name: 'shop' }), '/api/v1/namespaces/shop'],
    [pathOf(resources.nodes, { namespace: 'ignored', name: 'n' }), '/api/v1/nodes/n'],
    [
      pathOf(resources.tlspolicies, { namespace: 'shop', name: 'api' }),
      '/apis/tabard.dev/v1alpha1/namespaces/shop/tlspolicies/api',
    ],
    [
      pathOf(resources.leases, { namespace: 'x', name: 'a/../b?c' }),
      '/apis/coordination.k8s.io/v1/namespaces/x/leases/a%2F..%2Fb%3Fc',
    ],
  ])('%s', (path, expected) => {
    expect(path).toBe(expected);
  });

  test('have an apiVersion and a short name', () => {
    expect([apiVersionOf(resources.pods), resourceName(resources.pods)]).toEqual(['v1', 'pods']);
    expect([apiVersionOf(resources.tlsissuers), resourceName(resources.tlsissuers)]).toEqual([
      'tabard.dev/v1alpha1',
      'tlsissuers.tabard.dev',
    ]);
  });

  test('keys and names convert into each other', () => {
    for (const ref of [{ name: 'node-1' }, { namespace: 'shop', name: 'api' }]) expect(refOf(keyOf(ref))).toEqual(ref);
  });

  test('metadata alone is asked for by media type', () => {
    expect(acceptFor(resources.pods, true)).toBe('application/json');
    expect(acceptFor(metadataOf(resources.pods), true)).toBe(
      'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
    );
    expect(acceptFor(metadataOf(resources.pods), false)).toContain('as=PartialObjectMetadata;');
  });

  test('a query leaves out what is undefined and escapes the rest', () => {
    expect(queryText({})).toBe('');
    expect(queryText({ labelSelector: 'a=b,c in (d,e)', limit: 2, watch: true, continue: undefined })).toBe(
      '?labelSelector=a%3Db%2Cc+in+%28d%2Ce%29&limit=2&watch=true',
    );
  });
});

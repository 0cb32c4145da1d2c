// TLSPolicy objects for tests: complete metadata, any spec.
import type { TLSPolicy, TLSPolicySpec } from '../../lib/api/tlspolicy.ts';

/** A policy `shop/<name>`, made on the first of January 2026 unless said otherwise. */
export function testPolicy(
  name: string,
  spec: TLSPolicySpec = {},
  metadata: Partial<TLSPolicy['metadata']> = {},
): TLSPolicy {
  return {
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSPolicy',
    metadata: {
      name,
      namespace: 'shop',
      uid: `uid-${name}`,
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...metadata,
    },
    spec,
  };
}

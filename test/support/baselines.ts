// TLSBaseline and TLSRole objects for tests: complete metadata, any spec.
import type { TLSBaseline, TLSRole } from '../../lib/api/tlsbaseline.ts';

const metadata = (name: string): TLSBaseline['metadata'] => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: '1',
  generation: 1,
  creationTimestamp: '2026-01-01T00:00:00Z',
});

/** A baseline. */
export function testBaseline(name: string, spec: TLSBaseline['spec'] = {}): TLSBaseline {
  return { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSBaseline', metadata: metadata(name), spec };
}

/** A role. */
export function testRole(name: string, permissions: TLSRole['spec']['permissions']): TLSRole {
  return { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSRole', metadata: metadata(name), spec: { permissions } };
}

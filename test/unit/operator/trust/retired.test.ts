import { expect, test } from '@jest/globals';
import type { RotationPhase, TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import { retiredRoots } from '../../../../operator/trust/retired.ts';

const issuer = (phase: RotationPhase, ...retiring: readonly string[]): TLSIssuer => ({
  apiVersion: 'tabard.dev/v1alpha1',
  kind: 'TLSIssuer',
  metadata: { name: 'x', uid: 'x', resourceVersion: '1', creationTimestamp: '' },
  spec: { selfSigned: {} },
  status: {
    rotation: { phase },
    authorities: [
      { keyId: 'A', fingerprint: 'active', notAfter: '', role: 'Active' },
      ...retiring.map((fingerprint) => ({ keyId: 'B', fingerprint, notAfter: '', role: 'Retiring' as const })),
    ],
  },
});

test.each<[string, readonly TLSIssuer[], readonly string[]]>([
  ['a CA that has left the bundle is named', [issuer('Retiring', 'old')], ['old']],
  ['one that is still trusted is not', [issuer('Active', 'old')], []],
  ['none is, when nothing rotates', [issuer('Idle')], []],
  [
    'those of several issuers are, sorted and once',
    [issuer('Retiring', 'b', 'a'), issuer('Retiring', 'a')],
    ['a', 'b'],
  ],
])('%s', (_, issuers, expected) => {
  expect(retiredRoots(issuers)).toEqual(expected);
});

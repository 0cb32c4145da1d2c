import { describe, expect, test } from '@jest/globals';
import { issuerLines, issuerTable, kindOf, wasHandled } from '../../../cli/issuers.ts';
import { holdUp, planLines } from '../../../cli/plan.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { Pod } from '../../../lib/kube/object.ts';

const now = new Date('2026-01-01T00:00:00Z');
const metadata = { name: 'cluster', uid: '', resourceVersion: '', creationTimestamp: '' };

const issuer: TLSIssuer = {
  apiVersion: '',
  kind: 'TLSIssuer',
  metadata,
  spec: { selfSigned: { lifetime: '90d' }, rotation: { paused: true } },
  status: {
    conditions: [{ type: 'Ready', status: 'True', reason: 'CanSign', message: '', lastTransitionTime: '' }],
    caFingerprint: 'ab'.repeat(32),
    caNotAfter: '2026-02-15T00:00:00Z',
    authorities: [
      { keyId: 'AA'.repeat(20), fingerprint: 'ab'.repeat(32), notAfter: '2026-02-15T00:00:00Z', role: 'Active' },
      { keyId: 'BB'.repeat(20), fingerprint: 'cd'.repeat(32), notAfter: '2026-04-01T00:00:00Z', role: 'Next' },
    ],
    rotation: {
      phase: 'Prepared',
      reason: 'yearly',
      phaseSince: '2025-12-31T23:50:00Z',
      waitingFor: ['shop/web-1: its sidecar does not report'],
      waitingCount: 3,
      handledReasons: ['rotate:yearly'],
    },
  },
};

describe('an issuer', () => {
  test('is one line of the table', () => {
    expect(issuerTable([issuer], now)).toEqual([
      'ISSUER    KIND         READY   CA                 EXPIRES   ROTATION            WAITING',
      'cluster   selfSigned   True    abababababababab   in 45d    Prepared (paused)   3',
    ]);
  });

  test('is shown with every CA, whole fingerprints, and who is waited for', () => {
    const text = issuerLines(issuer, now).join('\n');
    expect(text).toContain('cd'.repeat(32));
    expect(text).toContain('rotation: Prepared, since 10m ago: yearly');
    expect(text).toContain('waits for 3:\n    shop/web-1: its sidecar does not report\n    and 2 more');
  });

  test('that has no status yet is shown, too', () => {
    const { status: _, ...fresh } = issuer;
    expect(issuerTable([fresh], now)[1]).toContain('Unknown');
    expect(issuerLines(fresh, now)).toEqual([]);
    expect(kindOf({ ...fresh, spec: {} })).toBe('none');
  });

  test('remembers the reasons that were acted on', () => {
    expect(wasHandled(issuer, 'rotate', 'yearly')).toBe(true);
    expect(wasHandled(issuer, 'undo', 'yearly')).toBe(false);
  });
});

function pod(ready: boolean | undefined, change: { label?: string; leaving?: boolean } = {}): Pod {
  const { label = 'true', leaving = false } = change;
  const proxy = { name: 'tabard-proxy', ready: ready ?? false, image: '', imageID: '', restartCount: 0 };
  const state = { running: { startedAt: '' } };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadata,
      name: 'web-1',
      namespace: 'shop',
      labels: { 'tabard.dev/injected': label },
      ...(leaving ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    status: { phase: 'Running', ...(ready === undefined ? {} : { initContainerStatuses: [{ ...proxy, state }] }) },
  };
}

describe('the plan of a rotation', () => {
  test.each<[string, Pod, string | undefined]>([
    ['a pod whose sidecar is ready', pod(true), undefined],
    ['a pod whose sidecar is not', pod(false), 'its sidecar is not ready'],
    ['a pod whose sidecar never started', pod(undefined), 'its sidecar does not run (Running)'],
    ['a pod that is leaving', pod(false, { leaving: true }), undefined],
    ['a pod without a sidecar', pod(undefined, { label: 'certificate' }), undefined],
  ])('%s', (_, each, why) => {
    expect(holdUp(each)).toBe(why);
  });

  test('counts certificates and names who would hold it up', () => {
    const { lines, lagging } = planLines([pod(true), pod(false), pod(undefined, { label: 'certificate' })], 120);
    expect(lagging).toBe(1);
    expect(lines).toEqual([
      '  2 pods with a sidecar have to report the new bundle before its CA signs',
      '  1 pods read files and do not report; they are given time instead',
      '  at least 120 certificates (those that policies list) are replaced, in some 3 s',
      '  1 pods would hold it up now:',
      '    shop/web-1: its sidecar is not ready',
    ]);
  });

  test('names no more than a screen holds', () => {
    const { lines } = planLines(
      Array.from({ length: 30 }, () => pod(false)),
      1,
    );
    expect(lines.at(-1)).toBe('    and 10 more');
    expect(lines.length).toBeLessThan(30);
  });
});

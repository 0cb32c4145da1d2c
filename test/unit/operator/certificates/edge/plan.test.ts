// What is done about an edge certificate, and when.
import { describe, expect, test } from '@jest/globals';
import { type EdgePlan, planEdge } from '../../../../../operator/certificates/edge/plan.ts';
import type { CurrentEdge, EdgeSnapshot, WantedEdge } from '../../../../../operator/certificates/edge/snapshot.ts';
import { wantedEdgeKey } from '../../../../../operator/certificates/edge/snapshot.ts';
import { renewalMoment } from '../../../../../operator/certificates/schedule.ts';
import type { CertificateFacts } from '../../../../../operator/certificates/snapshot.ts';

const now = new Date('2026-11-22T10:00:00Z');
const day = 86_400_000;
const days = (count: number): Date => new Date(now.getTime() + count * day);

const wanted: WantedEdge = { issuer: 'public', dnsNames: ['shop.example.com'], key: 'ECDSA-P256', renewAt: 66 };
const facts: CertificateFacts = {
  serial: '0A',
  notBefore: days(-10),
  notAfter: days(80),
  key: 'ECDSA-P256',
  uris: [],
  dnsNames: ['shop.example.com'],
  otherNames: 0,
  authorityKeyId: undefined,
};
const held = (changes: Partial<CertificateFacts> = {}, issuer = 'public'): CurrentEdge => ({
  kind: 'held',
  facts: { ...facts, ...changes },
  issuer,
  chain: '',
  owners: [],
});
const ready = {
  ready: true,
  keyId: undefined,
  mesh: false,
  notAfter: days(9_999),
  trustBundle: '',
  bundleFingerprint: '',
} as const;
const snapshot = (changes: Partial<EdgeSnapshot>): EdgeSnapshot => ({
  now,
  key: 'shop/web',
  pods: 2,
  reporting: 2,
  wanted,
  fault: undefined,
  current: held(),
  issuer: ready,
  advisedAt: undefined,
  failure: undefined,
  ...changes,
});

/** One word for a plan. */
function word({ action, blocked }: EdgePlan): string {
  if (blocked !== undefined) return blocked.reason;
  return action.kind === 'issue' ? action.reason : action.kind;
}

const ordered = (since: Date) => ({ wanted: wantedEdgeKey(wanted), since, waitsFor: 'the CA', settled: false });
const failure = { count: 3, lastAt: now, wantedKey: wantedEdgeKey(wanted), message: 'no' };

describe('the plan', () => {
  test.each<readonly [string, Partial<EdgeSnapshot>, string]>([
    ['all is well', {}, 'keep'],
    ['there is no Secret', { current: { kind: 'absent' } }, 'Missing'],
    ['the Secret is broken', { current: { kind: 'broken', detail: 'no key' } }, 'Broken'],
    ['the Secret is somebody else’s', { current: { kind: 'foreign' } }, 'SecretNotOurs'],
    ['the policy names another issuer', { current: held({}, 'other') }, 'IssuerChanged'],
    ['the policy wants another kind of key', { current: held({ key: 'RSA-2048' }) }, 'KeyAlgorithmChanged'],
    ['the names are others', { current: held({ dnsNames: ['old.example.com'] }) }, 'SansChanged'],
    ['it carries an identity', { current: held({ uris: ['spiffe://cluster.local/ns/a/svc/b'] }) }, 'SansChanged'],
    ['it expired', { current: held({ notAfter: days(-1) }) }, 'Expired'],
    [
      'two thirds of its life have passed',
      { current: held({ notBefore: days(-70), notAfter: days(20) }) },
      'NearingExpiry',
    ],
    ['the CA wants it to be renewed', { advisedAt: days(-1) }, 'NearingExpiry'],
    [
      'the CA wants it to be renewed later than the policy',
      { current: held({ notBefore: days(-70), notAfter: days(20) }), advisedAt: days(5) },
      'keep',
    ],
    [
      'the CA wants it to be renewed too late',
      { current: held({ notBefore: days(-88), notAfter: days(2) }), advisedAt: days(1.9) },
      'NearingExpiry',
    ],
    ['the names may not stand', { current: { kind: 'absent' }, fault: 'no' }, 'NamesRefused'],
    [
      'the issuer cannot sign',
      { current: { kind: 'absent' }, issuer: { ready: false, reason: 'IssuerNotReady', message: '' } },
      'IssuerNotReady',
    ],
    [
      'the issuer cannot sign but nothing is due',
      { issuer: { ready: false, reason: 'IssuerNotReady', message: '' } },
      'keep',
    ],
    ['it is revoked by its serial', { revoked: { identity: undefined, serial: 'stolen' } }, 'Revoked'],
    [
      'the identity of the service is revoked',
      { current: { kind: 'absent' }, revoked: { identity: 'compromised', serial: undefined } },
      'IdentityRevoked',
    ],
    ['the identity is revoked and nothing is due', { revoked: { identity: 'compromised', serial: undefined } }, 'keep'],
    ['no sidecar could answer', { current: { kind: 'absent' }, reporting: 0 }, 'NoSidecar'],
    ['it was ordered a moment ago', { current: { kind: 'absent' }, order: ordered(now) }, 'keep'],
    ['its order is open for long', { order: ordered(days(-1)), advisedAt: days(-2) }, 'OrderPending'],
    ['its order came to an end', { current: { kind: 'absent' }, order: { ...ordered(now), settled: true } }, 'Missing'],
    ['it failed just now', { current: { kind: 'absent' }, failure }, 'keep'],
    [
      'it failed with other names',
      { current: { kind: 'absent' }, failure: { ...failure, wantedKey: 'other' } },
      'Missing',
    ],
    ['nothing is asked for any more', { wanted: undefined }, 'delete'],
    [
      'nothing is asked for, and what is there is not ours',
      { wanted: undefined, current: { kind: 'foreign' } },
      'keep',
    ],
    ['there are no pods', { wanted: undefined, pods: 0 }, 'keep'],
  ])('when %s', (_, changes, expected) => {
    expect(word(planEdge(snapshot(changes)))).toBe(expected);
  });

  test('waits after failures from half a minute to an hour, and as long as the CA asked', () => {
    const next = (changes: Partial<typeof failure & { notBefore: Date }>): number => {
      const { nextCheck } = planEdge(snapshot({ current: { kind: 'absent' }, failure: { ...failure, ...changes } }));
      return ((nextCheck?.getTime() ?? 0) - now.getTime()) / 1_000;
    };
    expect([1, 2, 3, 30].map((count) => next({ count }))).toEqual([30, 60, 120, 3_600]);
    expect(next({ count: 1, notBefore: days(1) })).toBe(86_400);
  });
});

describe('the moment of renewal', () => {
  test('is the CA’s, else the policy’s, and never in the last tenth of the life', () => {
    expect(renewalMoment(facts, 66, days(3))).toEqual(days(3));
    const usual = renewalMoment(facts, 66, undefined).getTime();
    expect(usual).toBeGreaterThan(days(-10 + 0.55 * 90).getTime());
    expect(usual).toBeLessThanOrEqual(days(-10 + 0.67 * 90).getTime());
    expect(renewalMoment(facts, 66, days(79))).toEqual(days(71));
  });
});

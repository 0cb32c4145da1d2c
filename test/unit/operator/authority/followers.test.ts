// Who holds a CA of a signer elsewhere back.
import { describe, expect, test } from '@jest/globals';
import { followersOf } from '../../../../operator/authority/followers.ts';
import type { Peer } from '../../../../operator/authority/rotationview.ts';
import type { UpstreamAuthority } from '../../../../operator/issuers/staging.ts';

const now = new Date('2026-11-22T12:00:00Z');
const anchor = { fingerprint: 'aa', pem: '' };
const ca = {
  fingerprint: 'bb',
  keyId: 'BB',
  notBefore: now,
  notAfter: now,
  anchors: [anchor],
} as unknown as UpstreamAuthority;

const peer = (kind: Peer['kind'], trusts: Peer['trusts']): Peer => ({
  name: 'shop/web-1',
  kind,
  trusts,
  mine: true,
  signedBy: undefined,
});

const held = (peers: readonly Peer[]): readonly string[] =>
  followersOf({ of: () => peers, leaves: () => [] }, { now: () => now }, { filesMs: 180_000, settleMs: 0 }).untrusting(
    'corp',
    ca,
  );

describe('a CA of a signer elsewhere is held back', () => {
  test.each<readonly [string, Peer, boolean]>([
    ['by a sidecar that does not report', peer('sidecar', undefined), true],
    ['by a sidecar that does not trust it', peer('sidecar', new Map()), true],
    ['by a pod whose files do not have it', peer('files', new Map()), true],
    ['by a pod whose files have it for a moment', peer('files', new Map([['aa', now]])), true],
    ['by no pod whose files have it for long', peer('files', new Map([['aa', new Date(0)]])), false],
    ['by no pod without a Secret, which gets it with the certificate that waits', peer('files', undefined), false],
  ])('%s', (_, each, isHeld) => {
    expect(held([each]).length > 0).toBe(isHeld);
  });
});

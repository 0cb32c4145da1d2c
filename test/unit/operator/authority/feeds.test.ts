// When the CAs of an issuer are looked at: bursts are one look, and the own status is looked at once more.
import { expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import type { Secret } from '../../../../lib/kube/object.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { authorityFeeds } from '../../../../operator/authority/feeds.ts';
import { settle, TestClock } from '../../../support/clock.ts';

const issuer = (version: number, message: string): TLSIssuer => ({
  apiVersion: 'tabard.dev/v1alpha1',
  kind: 'TLSIssuer',
  metadata: {
    name: 'cluster',
    uid: 'uid-1',
    resourceVersion: String(version),
    creationTimestamp: '2026-01-01T00:00:00Z',
    generation: 1,
  },
  spec: { selfSigned: {} },
  status: { rotation: { message } } as NonNullable<TLSIssuer['status']>,
});

function standing(peerCount: number) {
  const clock = new TestClock();
  const issuers = new ObjectStore<TLSIssuer>();
  const state = { rotates: false, tell: () => undefined as void };
  const peers = {
    size: peerCount,
    subscribe: (changed: () => void) => {
      state.tell = changed;
      return () => undefined;
    },
    synced: () => Promise.resolve(),
  };
  const isRotating = () => state.rotates;
  const secrets = new ObjectStore<Secret>();
  const feeds = authorityFeeds({ issuers, secrets, namespace: 'tabard-system', clock, peers, changes: [], isRotating });
  const added: string[] = [];
  issuers.replace([issuer(1, 'at rest')]);
  for (const feed of feeds) feed.subscribe((key) => added.push(key));
  return { clock, issuers, state, added };
}

test('a thousand changes of peers are one look, the later the more peers there are', async () => {
  const { clock, state, added } = standing(30_000);
  await clock.advance(10_000);
  added.length = 0;
  state.tell();
  await clock.advance(10_000);
  expect(added).toEqual([]);
  state.rotates = true;
  for (let change = 0; change < 1_000; change += 1) state.tell();
  await clock.advance(2_900);
  expect(added).toEqual([]);
  await clock.advance(200);
  expect(added).toEqual(['cluster']);
});

test('an own status that is back is looked at once more, for it was perhaps compared with an older one', async () => {
  const { clock, issuers, added } = standing(10);
  await clock.advance(1_000);
  added.length = 0;
  issuers.set(issuer(2, 'waiting'));
  issuers.set(issuer(3, 'at rest'));
  await settle();
  expect(added).toEqual([]);
  await clock.advance(250);
  expect(added).toEqual(['cluster']);
});

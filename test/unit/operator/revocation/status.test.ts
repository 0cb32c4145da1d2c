// What a TLSRevocation says of itself, and who is waited for.
import { describe, expect, test } from '@jest/globals';
import type { TLSRevocationStatus } from '../../../../lib/api/tlsrevocation.ts';
import type { Pod } from '../../../../lib/kube/object.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { enforcers } from '../../../../operator/revocation/enforcers.ts';
import { type RevocationStatusInput, revocationStatus } from '../../../../operator/revocation/status.ts';
import { injectedPod, revocation } from '../../../support/revocations.ts';

const now = new Date('2026-06-01T12:00:00Z');
const web = 'spiffe://cluster.local/ns/shop/svc/web';

function statusOf(
  change: Partial<RevocationStatusInput> & { readonly status?: TLSRevocationStatus } = {},
): TLSRevocationStatus {
  const { status, ...rest } = change;
  const object = revocation('a', { identity: web }, { version: 41, ...(status === undefined ? {} : { status }) });
  return revocationStatus({ object, standing: 'holds', serials: [], required: 41, sidecars: [], now, ...rest });
}

const reason = (status: TLSRevocationStatus): string =>
  `${status.conditions?.[0]?.status} ${status.conditions?.[0]?.reason}`;
const sidecar = (name: string, number?: number) => ({ name: `shop/${name}`, number });

describe('the status', () => {
  test('names a slow sidecar, and counts those that enforce it', () => {
    const status = statusOf({
      sidecars: [sidecar('quick', 41), sidecar('ahead', 50), sidecar('slow', 40), sidecar('old')],
    });
    expect(status).toMatchObject({
      sidecars: { total: 4, enforcing: 2 },
      enforced: '2/4',
      lagging: ['shop/old', 'shop/slow'],
      number: 41,
    });
    expect(reason(status)).toBe('False Spreading');
    expect(status.conditions?.[0]?.message).toContain('shop/old, shop/slow');
    expect(status.enforcedAt).toBeUndefined();
  });

  test('names at most twenty, and says how many more there are', () => {
    const status = statusOf({ sidecars: Array.from({ length: 30 }, (_, index) => sidecar(`p${index}`, 1)) });
    expect(status.lagging).toHaveLength(20);
    expect(status.conditions?.[0]?.message).toMatch(/and 10 more$/);
  });

  test('says when the last of them enforced it', () => {
    const status = statusOf({ sidecars: [sidecar('a', 41), sidecar('b', 41)] });
    expect(status).toMatchObject({ enforcedAt: '2026-06-01T12:00:00Z', enforced: '2/2', lagging: [] });
    expect(reason(status)).toBe('True Enforced');
  });

  test('does not change any more once all enforced it: pods that come later knew it before they served', () => {
    const status = statusOf({ sidecars: [sidecar('a', 41)] });
    const again = statusOf({
      status,
      sidecars: [sidecar('a', 41), sidecar('new', 3)],
      now: new Date(now.getTime() + 60_000),
    });
    expect(again).toEqual(status);
  });

  test('begins anew when the end was changed', () => {
    const status = { ...statusOf({ sidecars: [sidecar('a', 41)] }), observedGeneration: 0 };
    expect(reason(statusOf({ status, sidecars: [sidecar('a', 40)] }))).toBe('False Spreading');
  });

  test('counts nobody before the serials of a pod are written down', () => {
    const status = statusOf({ required: undefined, serials: ['AB'], sidecars: [sidecar('a', 99)] });
    expect(status).toMatchObject({ serials: ['AB'], sidecars: { total: 1, enforcing: 0 } });
    expect(status.number).toBeUndefined();
  });

  test.each([
    ['ended', 'Ended'],
    ['expired', 'Expired'],
    ['unresolved', 'PodUnknown'],
    ['refused', 'OperatorIdentity'],
  ] as const)('of one that is %s says so', (standing, word) => {
    expect(reason(statusOf({ standing }))).toBe(`False ${word}`);
  });
});

describe('those who are waited for', () => {
  const store = (...pods: readonly Pod[]): ObjectStore<Pod> => {
    const pods_ = new ObjectStore<Pod>();
    pods_.replace(pods, '1');
    return pods_;
  };
  const report = (serial: string, revocations: number, ageMs = 0) => ({
    receivedAt: new Date(now.getTime() - ageMs),
    report: { serial, revocations },
  });
  const change = (pod: Pod, metadata: object, status: object = {}): Pod => ({
    ...pod,
    metadata: { ...pod.metadata, ...metadata },
    status: { ...pod.status, ...status },
  });
  const named = (
    pods: ObjectStore<Pod>,
    reports: Record<string, ReturnType<typeof report>>,
    revoked: readonly string[] = [],
  ) =>
    enforcers(
      {
        pods,
        reports: { ofPod: (uid) => reports[uid] },
        trustDomain: 'cluster.local',
        find: ({ identity, serial }) => [identity, serial].find((each) => revoked.includes(each)),
      },
      now,
    );

  test('are all pods with a sidecar that serve or were heard of', () => {
    const ready = injectedPod('ready', 'web');
    const starting = change(injectedPod('starting', 'web'), {}, { conditions: [] });
    const heard = change(injectedPod('heard', 'web'), {}, { conditions: [] });
    const done = change(injectedPod('done', 'web'), {}, { phase: 'Succeeded' });
    const alone = change(injectedPod('alone', 'web'), { labels: { 'tabard.dev/injected': 'certificate' } });
    const found = named(store(ready, starting, heard, done, alone), { 'uid-heard': report('01', 7) });
    expect(found).toEqual([
      { name: 'shop/ready', number: undefined },
      { name: 'shop/heard', number: 7 },
    ]);
  });

  test('are not those that are revoked themselves, by identity or by the certificate that they showed', () => {
    const pods = store(injectedPod('web-0', 'web'), injectedPod('api-0', 'api'), injectedPod('db-0', 'db'));
    const reports = { 'uid-api-0': report('AB', 7), 'uid-db-0': report('CD', 7) };
    expect(named(pods, reports, [web, 'AB'])).toEqual([{ name: 'shop/db-0', number: 7 }]);
  });

  test('are those that are being deleted for as long as they report', () => {
    const leaving = (name: string) => change(injectedPod(name, 'web'), { deletionTimestamp: '2026-06-01T11:59:00Z' });
    const found = named(store(leaving('talks'), leaving('silent')), {
      'uid-talks': report('01', 7, 20_000),
      'uid-silent': report('01', 7, 90_000),
    });
    expect(found.map(({ name }) => name)).toEqual(['shop/talks']);
  });
});

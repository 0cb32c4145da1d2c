import { describe, expect, test } from '@jest/globals';
import type { OwnerReference } from '../../../../lib/api/tlspolicy.ts';
import { type Action, planFor } from '../../../../operator/certificates/plan.ts';
import { renewalTime } from '../../../../operator/certificates/schedule.ts';
import {
  type CurrentSecret,
  type Failure,
  type Snapshot,
  type Wanted,
  wantedKey,
} from '../../../../operator/certificates/snapshot.ts';
import type { IssuerState } from '../../../../operator/issuers/issuer.ts';
import type { OpenOrder } from '../../../../operator/issuers/orders.ts';

type Held = Extract<CurrentSecret, { kind: 'held' }>;

const hour = 3_600_000;
const day = 24 * hour;
/** When the certificate of these tests was issued. */
const issued = new Date('2026-11-22T12:00:00Z');
const at = (ms: number): Date => new Date(issued.getTime() + ms);

const deployment: OwnerReference = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'deployment' };
const job: OwnerReference = { apiVersion: 'batch/v1', kind: 'Job', name: 'import', uid: 'job' };

const wanted: Wanted = {
  issuer: 'cluster',
  uri: 'spiffe://cluster.local/ns/shop/svc/web',
  dnsNames: ['web', 'web.shop', 'web.shop.svc'],
  key: 'ECDSA-P256',
  lifetimeMs: day,
  renewAt: 66,
  owners: [deployment],
};

const facts: Held['facts'] = {
  serial: 'AB12',
  notBefore: at(-120_000),
  notAfter: at(day),
  key: 'ECDSA-P256',
  uris: [wanted.uri],
  dnsNames: wanted.dnsNames,
  otherNames: 0,
  authorityKeyId: 'CA1',
};
const renewAt = renewalTime(facts, 66);

const held: Held = {
  kind: 'held',
  facts,
  issuer: 'cluster',
  lifetimeMs: day,
  renewAt,
  bundleFingerprint: 'bundle',
  trusted: true,
  owners: [deployment],
};

const issuer: IssuerState = {
  ready: true,
  keyId: 'CA1',
  notAfter: at(3_650 * day),
  trustBundle: 'PEM',
  bundleFingerprint: 'bundle',
  mesh: true,
};
const missing: IssuerState = { ready: false, reason: 'IssuerMissing', message: 'there is none' };
const notReady: IssuerState = { ready: false, reason: 'IssuerNotReady', message: 'it cannot' };
const broken: CurrentSecret = {
  kind: 'broken',
  detail: 'the key is of another certificate',
  recreate: false,
  owners: [],
};

const base: Snapshot = {
  now: at(hour),
  key: 'shop/web',
  pods: 2,
  leaving: 0,
  idleSince: undefined,
  wanted,
  current: held,
  issuer,
  failure: undefined,
  keystores: { kind: 'none' },
};

const of = (change: Partial<Held['facts']>, rest: Partial<Held> = {}): Held => ({
  ...held,
  ...rest,
  facts: { ...facts, ...change },
});
const want = (change: Partial<Wanted>): Wanted => ({ ...wanted, ...change });
const outside: IssuerState = { ...issuer, keyId: undefined, mesh: false };
const ordered = (change: Partial<OpenOrder> = {}): OpenOrder => ({
  wanted: wantedKey(wanted),
  since: at(hour),
  waitsFor: 'a person',
  settled: false,
  ...change,
});

const failed = (change: Partial<Failure> = {}): Failure => ({
  count: 1,
  lastAt: at(hour),
  wantedKey: wantedKey(wanted),
  message: 'no',
  ...change,
});
const idle = { pods: 0, wanted: undefined, idleSince: at(0) };

/** `issue Missing`, `rewrite OwnerChanged`, `delete Orphaned`, `keep`, `blocked SecretNotOurs`. */
function outcome(change: Partial<Snapshot>): string {
  const { action, blocked } = planFor({ ...base, ...change });
  if (blocked !== undefined) return `blocked ${blocked.reason}`;
  return action.kind === 'keep' ? 'keep' : `${action.kind} ${action.reason}`;
}

describe('the plan for a service with pods', () => {
  test.each<[string, Partial<Snapshot>, string]>([
    ['keeps a certificate that is as wanted', {}, 'keep'],
    ['keeps it until just before its time of renewal', { now: new Date(renewAt.getTime() - 1) }, 'keep'],
    ['issues the first certificate', { current: { kind: 'absent' } }, 'issue Missing'],
    ['replaces a Secret whose content is broken', { current: broken }, 'issue Broken'],
    [
      'replaces a certificate whose signature does not verify',
      { current: { ...held, trusted: false } },
      'issue Broken',
    ],
    ['renews at the time of renewal', { now: renewAt }, 'issue NearingExpiry'],
    ['renews later when it was away', { now: at(day - 1_000) }, 'issue NearingExpiry'],
    ['replaces a certificate at the very moment it expires', { now: at(day) }, 'issue Expired'],
    ['replaces a certificate that expired long ago', { now: at(30 * day) }, 'issue Expired'],
    ['replaces a certificate that is not valid yet', { now: at(-2 * hour) }, 'issue NotYetValid'],
    ['follows the policy to another issuer', { wanted: want({ issuer: 'own' }) }, 'issue IssuerChanged'],
    ['follows the issuer to another CA', { issuer: { ...issuer, keyId: 'CA2' } }, 'issue IssuerChanged'],
    [
      'replaces a certificate that does not say which CA signed it',
      { current: of({ authorityKeyId: undefined }) },
      'issue IssuerChanged',
    ],
    ['changes the kind of key', { wanted: want({ key: 'RSA-2048' }) }, 'issue KeyAlgorithmChanged'],
    ['replaces a key of an unknown kind', { current: of({ key: undefined }) }, 'issue KeyAlgorithmChanged'],
    [
      'adds the names of a new Service',
      { wanted: want({ dnsNames: [...wanted.dnsNames, 'www'] }) },
      'issue SansChanged',
    ],
    ['drops the names of a Service that is gone', { wanted: want({ dnsNames: ['web'] }) }, 'issue SansChanged'],
    ['drops the last DNS name', { wanted: want({ dnsNames: [] }) }, 'issue SansChanged'],
    [
      'replaces a certificate with another identity',
      { current: of({ uris: ['spiffe://cluster.local/ns/shop/svc/api'] }) },
      'issue SansChanged',
    ],
    ['replaces a certificate without an identity', { current: of({ uris: [] }) }, 'issue SansChanged'],
    [
      'replaces a certificate with two identities',
      { current: of({ uris: [wanted.uri, wanted.uri] }) },
      'issue SansChanged',
    ],
    ['replaces a certificate with names of other kinds', { current: of({ otherNames: 1 }) }, 'issue SansChanged'],
    ['follows a shorter lifetime', { wanted: want({ lifetimeMs: hour * 12 }) }, 'issue LifetimeChanged'],
    ['follows a longer lifetime', { wanted: want({ lifetimeMs: 2 * day }) }, 'issue LifetimeChanged'],
    ['keeps a life that the CA cut short', { current: of({ notAfter: at(2 * hour) }) }, 'keep'],
    [
      'without a record, judges the lifetime by the certificate',
      { current: of({}, { lifetimeMs: undefined }) },
      'keep',
    ],
    [
      'without a record, follows another lifetime',
      { current: of({}, { lifetimeMs: undefined }), wanted: want({ lifetimeMs: hour }) },
      'issue LifetimeChanged',
    ],
    [
      'without a record, keeps a life that the CA cut short',
      {
        current: of({ notAfter: at(5 * hour) }, { lifetimeMs: undefined }),
        issuer: { ...issuer, notAfter: at(5 * hour) },
      },
      'keep',
    ],
    ['does not issue anew when only the time of renewal changes', { wanted: want({ renewAt: 90 }) }, 'keep'],
    [
      'renews at once when the time of renewal was moved to before now',
      { now: at(day / 2), wanted: want({ renewAt: 40 }) },
      'issue NearingExpiry',
    ],
    [
      'gives expiry as the reason when more is wrong',
      { now: at(day), wanted: want({ key: 'Ed25519' }) },
      'issue Expired',
    ],
    [
      'names a change before a renewal that is due',
      { now: renewAt, wanted: want({ dnsNames: [] }) },
      'issue SansChanged',
    ],
    ['makes a further workload an owner', { wanted: want({ owners: [deployment, job] }) }, 'rewrite OwnerChanged'],
    [
      'makes a workload that was made anew an owner',
      { wanted: want({ owners: [{ ...deployment, uid: 'again' }] }) },
      'rewrite OwnerChanged',
    ],
    [
      'leaves owners alone while they cannot be found out',
      { wanted: want({ owners: undefined }), current: { ...held, owners: [] } },
      'keep',
    ],
    ['leaves an owner without pods of its own', { current: { ...held, owners: [deployment, job] } }, 'keep'],
    ['writes a changed trust bundle', { issuer: { ...issuer, bundleFingerprint: 'other' } }, 'rewrite BundleChanged'],
    [
      'writes a trust bundle over one that cannot be read',
      { current: { ...held, bundleFingerprint: undefined } },
      'rewrite BundleChanged',
    ],
    [
      'issues rather than rewrites when both are needed',
      { now: renewAt, wanted: want({ owners: [job] }) },
      'issue NearingExpiry',
    ],
    ['never touches a Secret of somebody else', { current: { kind: 'foreign' } }, 'blocked SecretNotOurs'],
    [
      'never touches it, whatever the issuer',
      { current: { kind: 'foreign' }, issuer: missing },
      'blocked SecretNotOurs',
    ],
    ['keeps a valid certificate although its issuer is missing', { issuer: missing }, 'keep'],
    ['keeps a valid certificate although its issuer cannot sign', { issuer: notReady }, 'keep'],
    [
      'says that a first certificate waits for a missing issuer',
      { current: { kind: 'absent' }, issuer: missing },
      'blocked IssuerMissing',
    ],
    ['says that a renewal waits for its issuer', { now: renewAt, issuer: notReady }, 'blocked IssuerNotReady'],
    [
      'says that a move waits for the new issuer',
      { wanted: want({ issuer: 'own' }), issuer: missing },
      'blocked IssuerMissing',
    ],
    [
      'does not renew for nothing when the CA is at its end',
      { now: renewAt, issuer: { ...issuer, notAfter: at(day) } },
      'blocked IssuerExpiring',
    ],
    [
      'renews for a little when it is worth it',
      { now: renewAt, issuer: { ...issuer, notAfter: at(day * 1.06) } },
      'issue NearingExpiry',
    ],
    [
      'renews when a CA of the outside says, sooner than the policy would',
      { advisedAt: at(hour / 2), issuer: outside },
      'issue NearingExpiry',
    ],
    ['keeps while the CA says later', { now: renewAt, advisedAt: at(day * 0.8), issuer: outside }, 'keep'],
    [
      'never waits for the CA into the last tenth',
      { now: at(day * 0.91), advisedAt: at(day * 0.95), issuer: outside },
      'issue NearingExpiry',
    ],
    [
      'says for what a first certificate waits',
      { current: { kind: 'absent' }, order: ordered() },
      'blocked OrderPending',
    ],
    ['says nothing of a renewal that waits for a moment', { now: renewAt, order: ordered({ since: renewAt }) }, 'keep'],
    [
      'says that a renewal has waited for long',
      { now: new Date(renewAt.getTime() + 600_000), order: ordered({ since: renewAt }) },
      'blocked OrderPending',
    ],
    [
      'says of a short life that waits when half of what was left is over, so that somebody can act',
      {
        now: new Date(at(hour).getTime() - 59_000),
        current: of({ notAfter: at(hour) }, { lifetimeMs: hour }),
        wanted: want({ lifetimeMs: hour }),
        order: ordered({
          wanted: wantedKey(want({ lifetimeMs: hour })),
          since: new Date(at(hour).getTime() - 120_000),
        }),
      },
      'blocked OrderPending',
    ],
    [
      'leaves an order open while its issuer is unwell',
      { current: { kind: 'absent' }, order: ordered(), issuer: notReady },
      'blocked OrderPending',
    ],
    [
      'fetches what an order came to, whatever failed before',
      { current: { kind: 'absent' }, order: ordered({ settled: true }), failure: failed() },
      'issue Missing',
    ],
    [
      'does not wait for an order of something else',
      { current: { kind: 'absent' }, order: ordered({ wanted: 'another' }) },
      'issue Missing',
    ],
    ['waits after a failure', { current: { kind: 'absent' }, failure: failed() }, 'keep'],
    [
      'tries again after the wait',
      { current: { kind: 'absent' }, failure: failed(), now: at(hour + 2_000) },
      'issue Missing',
    ],
    [
      'waits as long as the API server asked',
      { current: { kind: 'absent' }, failure: failed({ notBefore: at(hour + 60_000) }), now: at(hour + 2_000) },
      'keep',
    ],
    [
      'does not wait when something else is wanted now',
      { current: { kind: 'absent' }, failure: failed(), wanted: want({ issuer: 'other' }) },
      'issue Missing',
    ],
    ['a failure to rewrite waits, too', { wanted: want({ owners: [job] }), failure: failed() }, 'keep'],
    ['issues although another pod is leaving', { current: { kind: 'absent' }, leaving: 3 }, 'issue Missing'],
  ])('%s', (_, change, expected) => {
    expect(outcome(change)).toBe(expected);
  });

  test('looks again when the certificate is to be renewed, and says when that is', () => {
    expect(planFor(base)).toMatchObject({ nextCheck: renewAt, renewAt });
  });

  test('follows a changed time of renewal without a new certificate', () => {
    const moved = renewalTime(facts, 90);
    expect(planFor({ ...base, wanted: want({ renewAt: 90 }) })).toMatchObject({ nextCheck: moved, renewAt: moved });
  });

  test('an issue carries what is wanted', () => {
    const { action } = planFor({ ...base, current: { kind: 'absent' } });
    expect(action).toMatchObject({ kind: 'issue', wanted } satisfies Partial<Action>);
  });

  test('the same snapshot gives the same plan', () => {
    for (const now of [at(0), renewAt, at(day)]) {
      expect(planFor({ ...base, now })).toEqual(planFor({ ...base, now }));
    }
  });
});

describe('a renewal that keeps failing', () => {
  test('is tried at least twenty times, with waits of at most a twentieth of the life that is left', () => {
    let now = renewAt;
    let failure: Failure | undefined;
    let tries = 0;
    while (now < facts.notAfter) {
      const { action, nextCheck } = planFor({ ...base, now, failure });
      if (action.kind === 'issue') {
        tries += 1;
        failure = { count: tries, lastAt: now, wantedKey: wantedKey(wanted), message: 'no' };
        continue;
      }
      if (nextCheck === undefined) throw new Error('nobody would look again');
      const leftMs = facts.notAfter.getTime() - now.getTime();
      expect(nextCheck.getTime() - now.getTime()).toBeLessThanOrEqual(Math.max(leftMs / 20, 100));
      now = nextCheck;
    }
    expect(tries).toBeGreaterThan(100);
  });
});

describe('the plan for a service without pods', () => {
  const ownerless: CurrentSecret = { ...held, owners: [] };
  test.each<[string, Partial<Snapshot>, string]>([
    ['makes nothing where there is nothing', { current: { kind: 'absent' } }, 'keep'],
    ['makes nothing for pods that are leaving', { current: { kind: 'absent' }, leaving: 2 }, 'keep'],
    ['leaves a foreign Secret alone, without a complaint', { current: { kind: 'foreign' } }, 'keep'],
    ['leaves a broken Secret until somebody needs it', { current: broken }, 'keep'],
    ['keeps the Secret of a workload that may come back', { now: at(0.5 * day) }, 'keep'],
    ['renews it as it was, so that pods that come back find it fresh', { now: renewAt }, 'issue NearingExpiry'],
    ['issues it again after it expired', { now: at(3 * day) }, 'issue Expired'],
    ['does not renew what a finished Job left', { now: renewAt, current: { ...held, owners: [job] } }, 'keep'],
    ['follows its issuer to another CA', { issuer: { ...issuer, keyId: 'CA2' } }, 'issue IssuerChanged'],
    ['writes a changed trust bundle', { issuer: { ...issuer, bundleFingerprint: 'other' } }, 'rewrite BundleChanged'],
    ['keeps it when its issuer is gone', { issuer: missing }, 'keep'],
    ['keeps a Secret without an owner for ten minutes', { current: ownerless, now: at(600_000 - 1) }, 'keep'],
    [
      'deletes a Secret without an owner after ten minutes',
      { current: ownerless, now: at(600_000) },
      'delete Orphaned',
    ],
    ['keeps it while the last pod is leaving', { current: ownerless, now: at(hour), leaving: 1 }, 'keep'],
    [
      'counts the ten minutes from when it first saw the service',
      { current: ownerless, idleSince: undefined, now: at(hour) },
      'keep',
    ],
  ])('%s', (_, change, expected) => {
    expect(outcome({ ...idle, ...change })).toBe(expected);
  });

  test('asks for the same names, key and lifetime as before', () => {
    const own = of({ dnsNames: ['a', 'b'], key: 'RSA-3072' }, { lifetimeMs: 7 * day });
    const { action } = planFor({ ...base, ...idle, now: at(30 * day), current: own });
    expect(action).toMatchObject({
      wanted: { dnsNames: ['a', 'b'], key: 'RSA-3072', lifetimeMs: 7 * day, issuer: 'cluster' },
    });
  });

  test('looks again when the grace ends', () => {
    const { nextCheck } = planFor({ ...base, ...idle, current: ownerless, now: at(0) });
    expect(nextCheck).toEqual(at(600_000));
  });
});

describe('the next check of any plan', () => {
  const changes: readonly Partial<Snapshot>[] = [
    {},
    { current: { kind: 'foreign' } },
    { current: { kind: 'absent' }, issuer: missing },
    { current: { kind: 'absent' }, failure: failed() },
    { wanted: want({ owners: [job] }), failure: failed() },
    { now: renewAt, issuer: { ...issuer, notAfter: at(day) } },
    { ...idle },
    { ...idle, current: { ...held, renewAt: undefined } },
    { ...idle, idleSince: at(hour), current: { ...held, owners: [] } },
  ];

  test('lies in the future when nothing is done, so that no controller spins', () => {
    for (const change of changes) {
      const snapshot = { ...base, ...change };
      const { action, nextCheck } = planFor(snapshot);
      expect(action.kind).toBe('keep');
      expect(nextCheck?.getTime()).toBeGreaterThan(snapshot.now.getTime());
    }
  });
});

import { beforeEach, describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import { KubeError } from '../../../../lib/kube/errors.ts';
import type { Secret } from '../../../../lib/kube/object.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { parseCertificates } from '../../../../lib/pki/bundle.ts';
import { createLogger } from '../../../../lib/runtime/logger.ts';
import { authoritySecret, ClusterAuthority, newlyTrusted } from '../../../../operator/authority/authority.ts';
import { AuthorityKeeper } from '../../../../operator/authority/keeper.ts';
import { MemoryKube } from '../../../support/kube.ts';
import { StoodClock } from '../../../support/meshbench.ts';
import { DAY_MS, testAuthority } from '../../../support/pki.ts';

const namespace = 'tabard-system';
const signal = new AbortController().signal;

/** One replica: its own stores and memory, on a cluster that it may share with another. */
class Replica {
  readonly secrets = new ObjectStore<Secret>();
  readonly issuers = new ObjectStore<TLSIssuer>();
  readonly authority = new ClusterAuthority(namespace, 'cluster.local');
  readonly events: string[] = [];
  readonly keeper: AuthorityKeeper;
  readonly #kube: MemoryKube;

  constructor(kube: MemoryKube, clock: StoodClock, defaultIssuer: { lifetimeMs: number } | undefined) {
    this.#kube = kube;
    this.authority.follow(this.secrets);
    this.keeper = new AuthorityKeeper({
      client: kube,
      clock,
      logger: createLogger({ name: 'operator', level: 'silent' }),
      events: { record: (subject, facts) => this.events.push(`${facts.type} ${subject.name} ${facts.reason}`) },
      issuers: this.issuers,
      secrets: this.secrets,
      authority: this.authority,
      namespace,
      trustDomain: 'cluster.local',
      defaultIssuer,
    });
  }

  /** What the watches would bring. */
  see(): void {
    this.secrets.replace(
      this.#kube
        .all(resources.secrets)
        .filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/managed-by'] === 'tabard'),
    );
    this.issuers.replace(this.#kube.all(resources.tlsissuers));
  }

  async reconcile(name = 'cluster'): Promise<void> {
    this.see();
    await this.keeper.reconcile(name, signal);
    this.see();
  }
}

describe('the keeper of the CA', () => {
  let kube: MemoryKube;
  let clock: StoodClock;
  let replica: Replica;
  const another = (): Replica => new Replica(kube, clock, { lifetimeMs: 100 * DAY_MS });
  const secret = (): Secret | undefined =>
    kube.all(resources.secrets).find(({ metadata }) => metadata.name === 'tabard-ca');
  const ready = (name = 'cluster') => {
    const issuer = kube.all(resources.tlsissuers).find(({ metadata }) => metadata.name === name);
    const condition = issuer?.status?.conditions?.find(({ type }) => type === 'Ready');
    return [condition?.status, condition?.reason];
  };

  beforeEach(() => {
    kube = new MemoryKube();
    clock = new StoodClock();
    replica = another();
  });

  test('makes issuer and CA on an empty cluster, and says so', async () => {
    await replica.reconcile();
    await replica.reconcile();
    const current = replica.authority.current();
    expect(current?.authority.notAfter).toEqual(new Date(clock.ms + 100 * DAY_MS));
    expect(Object.keys(secret()?.data ?? {})).toEqual(['tls.crt', 'tls.key', 'ca.crt']);
    expect(ready()).toEqual(['True', 'CanSign']);
    const status = kube.all(resources.tlsissuers)[0]?.status;
    expect(status?.caFingerprint).toBe(current?.authority.fingerprint);
    expect(status?.caNotAfter).toBe(current?.authority.notAfter.toISOString().replace('.000Z', 'Z'));
    expect(replica.events).toEqual(['Normal cluster CanSign']);
  });

  test('writes nothing the second time', async () => {
    await replica.reconcile();
    await replica.reconcile();
    const calls: string[] = [];
    kube.onCall = ({ verb, resource }) => void calls.push(`${verb} ${resource}`);
    await replica.reconcile();
    expect(calls).toEqual([]);
  });

  test('takes the lifetime from the issuer when there is one', async () => {
    kube.seed(resources.tlsissuers, { metadata: { name: 'cluster' }, spec: { selfSigned: { lifetime: '30d' } } });
    await replica.reconcile();
    expect(replica.authority.current()?.authority.notAfter).toEqual(new Date(clock.ms + 30 * DAY_MS));
  });

  test('makes no issuer where the chart says so, and the CA all the same', async () => {
    replica = new Replica(kube, clock, undefined);
    await replica.reconcile();
    expect(kube.all(resources.tlsissuers)).toEqual([]);
    expect(replica.authority.current()).toBeDefined();
  });

  test('two replicas that start at once end with one CA', async () => {
    const second = another();
    await Promise.all([replica.reconcile(), second.reconcile()]);
    replica.see();
    second.see();
    expect(second.authority.current()?.authority.fingerprint).toBe(replica.authority.current()?.authority.fingerprint);
    expect(kube.all(resources.secrets)).toHaveLength(1);
  });

  test('uses the CA of another replica that was quicker than its own watch', async () => {
    const second = another();
    await second.reconcile();
    await replica.keeper.reconcile('cluster', signal);
    expect(replica.authority.current()?.authority.fingerprint).toBe(second.authority.current()?.authority.fingerprint);
  });

  test('a restart keeps the CA', async () => {
    await replica.reconcile();
    const restarted = another();
    await restarted.reconcile();
    expect(restarted.authority.current()?.authority.fingerprint).toBe(
      replica.authority.current()?.authority.fingerprint,
    );
  });

  test('writes the same CA back when its Secret was deleted', async () => {
    await replica.reconcile();
    const before = secret()?.data;
    await kube.delete(resources.secrets, { namespace, name: 'tabard-ca' });
    await replica.reconcile();
    expect(secret()?.data).toEqual(before);
  });

  test('makes a new CA when an expired one was deleted', async () => {
    await replica.reconcile();
    const before = replica.authority.current()?.authority.fingerprint;
    clock.ms += 101 * DAY_MS;
    await replica.reconcile();
    expect(ready()).toEqual(['False', 'AuthorityExpired']);
    await kube.delete(resources.secrets, { namespace, name: 'tabard-ca' });
    await replica.reconcile();
    expect(replica.authority.current()?.authority.fingerprint).not.toBe(before);
    expect(ready()).toEqual(['True', 'CanSign']);
  });

  test('a Secret that becomes garbage is left alone, reported, and does not take the CA away', async () => {
    await replica.reconcile();
    const good = replica.authority.current();
    const live = secret();
    kube.seed(resources.secrets, {
      ...live,
      metadata: { ...live?.metadata, name: 'tabard-ca' },
      data: { 'tls.crt': 'AAAA' },
    });
    await replica.reconcile();
    expect(replica.authority.current()).toBe(good);
    expect(ready()).toEqual(['False', 'AuthorityBroken']);
    expect(secret()?.data).toEqual({ 'tls.crt': 'AAAA' });
    expect(replica.events.at(-1)).toBe('Warning cluster AuthorityBroken');
  });

  test('a replica that never saw a good CA says that the Secret is broken', async () => {
    kube.seed(resources.secrets, {
      metadata: { name: 'tabard-ca', namespace, labels: { 'app.kubernetes.io/managed-by': 'tabard' } },
      data: {},
    });
    await replica.reconcile();
    await replica.reconcile();
    expect(replica.authority.current()).toBeUndefined();
    expect(ready()).toEqual(['False', 'AuthorityBroken']);
  });

  test('a CA that was restored without its label is used and labelled', async () => {
    const restored = newlyTrusted(await testAuthority());
    const input = authoritySecret(namespace, restored);
    kube.seed(resources.secrets, { ...input, metadata: { name: 'tabard-ca', namespace } });
    await replica.reconcile();
    expect(replica.authority.current()?.authority.fingerprint).toBe(restored.authority.fingerprint);
    expect(secret()?.metadata.labels).toEqual({ 'app.kubernetes.io/managed-by': 'tabard' });
  });

  test('a CA of another trust domain is refused', async () => {
    const foreign = newlyTrusted(await testAuthority({ trustDomain: 'other.example' }));
    kube.seed(resources.secrets, authoritySecret(namespace, foreign));
    await replica.reconcile();
    await replica.reconcile();
    expect(replica.authority.current()).toBeUndefined();
    expect(ready()).toEqual(['False', 'AuthorityBroken']);
  });

  test('the bundle holds what else is in ca.crt, its own CA first', async () => {
    const [own, old] = [await testAuthority(), await testAuthority()];
    const input = authoritySecret(namespace, { ...newlyTrusted(own), trustBundle: old.certificate });
    kube.seed(resources.secrets, input);
    replica.see();
    const bundle = parseCertificates(replica.authority.current()?.trustBundle ?? '');
    expect(bundle.map((each) => each.toString())).toEqual([own.certificate, old.certificate]);
  });

  test('tells listeners of a new CA once', async () => {
    const told: string[] = [];
    replica.authority.subscribe(({ authority }) => told.push(authority.fingerprint));
    await replica.reconcile();
    replica.see();
    expect(told).toEqual([replica.authority.current()?.authority.fingerprint]);
  });

  test.each([
    ['a second self-signed issuer', 'own', { selfSigned: {} }],
    ['an issuer of a later kind', 'vault', { vault: {} }],
    ['an issuer of no kind', 'none', {}],
  ])('%s says that it is not supported', async (_, name, spec) => {
    kube.seed(resources.tlsissuers, { metadata: { name }, spec });
    await replica.reconcile(name);
    expect(ready(name)).toEqual(['False', 'NotSupported']);
  });

  test('fails when the API server does, without a CA of its own making left in memory', async () => {
    kube.onCall = ({ verb, resource }) => {
      if (verb === 'create' && resource === 'secrets') throw new KubeError('Unavailable', 'no');
    };
    await expect(replica.reconcile()).rejects.toMatchObject({ kind: 'Unavailable' });
    expect(replica.authority.current()).toBeUndefined();
  });

  test('its controller looks at `cluster` although no issuer exists', () => {
    const keys = replica.keeper.feeds().flatMap((feed) => [...feed.keys()]);
    expect(keys).toEqual(['cluster']);
  });
});

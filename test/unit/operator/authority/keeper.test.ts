import { beforeEach, describe, expect, test } from '@jest/globals';
import { KubeError } from '../../../../lib/kube/errors.ts';
import type { Secret } from '../../../../lib/kube/object.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { parseCertificates } from '../../../../lib/pki/bundle.ts';
import { madeGeneration, type Ring, ringSecret } from '../../../../operator/authority/ring.ts';
import { firstRing } from '../../../../operator/authority/turn.ts';
import { KeeperBench, type KeeperReplica, system } from '../../../support/authority.ts';
import { DAY_MS, testAuthority } from '../../../support/pki.ts';

const namespace = system;
const ringOf = async (trustDomain = 'cluster.local'): Promise<Ring> =>
  firstRing(madeGeneration(await testAuthority({ trustDomain })));

describe('the keeper of the CA', () => {
  let bench: KeeperBench;
  let kube: KeeperBench['kube'];
  let clock: KeeperBench['clock'];
  let replica: KeeperReplica;
  const another = (): KeeperReplica => bench.replica({ defaultIssuer: { lifetimeMs: 100 * DAY_MS } });
  const secret = (): Secret | undefined => bench.secret('tabard-ca');
  const ready = (name = 'cluster') => bench.condition('Ready', name).split(' ');

  beforeEach(() => {
    bench = new KeeperBench();
    ({ kube, clock } = bench);
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
    replica = bench.replica();
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
    await replica.keeper.reconcile('cluster', new AbortController().signal);
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

  test('a CA that has expired is followed by a new one at once, without a hand', async () => {
    await replica.reconcile();
    const before = replica.authority.current()?.authority.fingerprint;
    clock.ms += 101 * DAY_MS;
    await replica.reconcile();
    expect(replica.authority.current()?.authority.fingerprint).not.toBe(before);
    expect(ready()).toEqual(['True', 'CanSign']);
    expect(replica.events).toContain('Warning cluster AuthorityReplaced');
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
    const restored = await ringOf();
    const input = ringSecret(namespace, 'cluster', restored);
    kube.seed(resources.secrets, { ...input, metadata: { name: 'tabard-ca', namespace } });
    await replica.reconcile();
    expect(replica.authority.current()?.authority.fingerprint).toBe(restored.active.authority.fingerprint);
    expect(secret()?.metadata.labels).toEqual({ 'app.kubernetes.io/managed-by': 'tabard' });
  });

  test('a CA of another trust domain is refused', async () => {
    kube.seed(resources.secrets, ringSecret(namespace, 'cluster', await ringOf('other.example')));
    await replica.reconcile();
    await replica.reconcile();
    expect(replica.authority.current()).toBeUndefined();
    expect(ready()).toEqual(['False', 'AuthorityBroken']);
  });

  test('the bundle holds what else is in ca.crt, its own CA first', async () => {
    const [own, old] = [await ringOf(), await ringOf()];
    kube.seed(resources.secrets, ringSecret(namespace, 'cluster', { ...own, trusted: old.trusted }));
    replica.see();
    const bundle = parseCertificates(replica.authority.current()?.trustBundle ?? '');
    expect(bundle.map((each) => each.toString())).toEqual([own, old].map(({ active }) => active.authority.certificate));
  });

  test('tells listeners of a new CA once', async () => {
    const told: string[] = [];
    replica.authority.subscribe(({ authority }) => told.push(authority.fingerprint));
    await replica.reconcile();
    replica.see();
    expect(told).toEqual([replica.authority.current()?.authority.fingerprint]);
  });

  test.each([
    ['an issuer of a kind at which nothing works', 'vault', { vault: {} }],
    ['an issuer of no kind', 'none', {}],
  ])('%s says that it is not supported', async (_, name, spec) => {
    kube.seed(resources.tlsissuers, { metadata: { name }, spec });
    await replica.reconcile(name);
    expect(ready(name)).toEqual(['False', 'NotSupported']);
  });

  test('a second self-signed issuer has a CA and a Secret of its own, which goes with it', async () => {
    await replica.reconcile();
    bench.issuer('own', { selfSigned: { lifetime: '30d' } });
    await replica.reconcile('own');
    const own = replica.authorities.of('own').current()?.authority;
    expect(own?.notAfter).toEqual(new Date(clock.ms + 30 * DAY_MS));
    expect(own?.fingerprint).not.toBe(replica.authority.current()?.authority.fingerprint);
    expect(bench.secret('tabard-ca-own')?.metadata.ownerReferences).toMatchObject([{ kind: 'TLSIssuer', name: 'own' }]);
    expect(secret()?.metadata.ownerReferences).toBeUndefined();
    expect(bench.status('own')?.trustBundle).toBe(own?.certificate);
  });

  test('fails when the API server does, without a CA of its own making left in memory', async () => {
    kube.onCall = ({ verb, resource }) => {
      if (verb === 'create' && resource === 'secrets') throw new KubeError('Unavailable', 'no');
    };
    await expect(replica.reconcile()).rejects.toMatchObject({ kind: 'Unavailable' });
    expect(replica.authority.current()).toBeUndefined();
  });
});

import { describe, expect, test } from '@jest/globals';
import type { OwnerReference, TLSPolicy } from '../../../../lib/api/tlspolicy.ts';
import { KubeError } from '../../../../lib/kube/errors.ts';
import type { Pod, Secret, Service } from '../../../../lib/kube/object.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { Cluster, clusterIndexes } from '../../../../operator/certificates/cluster.ts';
import { Owners } from '../../../../operator/certificates/owners.ts';
import { RecentSecrets } from '../../../../operator/certificates/recent.ts';
import { TestClock } from '../../../support/clock.ts';
import { MemoryKube } from '../../../support/kube.ts';
import { pod, service } from '../../../support/meshbench.ts';
import { testPolicy } from '../../../support/policies.ts';

const signal = new AbortController().signal;

describe('the cluster as certificates see it', () => {
  const stores = {
    pods: new ObjectStore<Pod>(clusterIndexes.pods),
    services: new ObjectStore<Service>(clusterIndexes.services),
    policies: new ObjectStore<TLSPolicy>(clusterIndexes.policies),
  };
  const cluster = new Cluster(stores);
  stores.pods.replace([
    pod({ name: 'web-1' }),
    pod({ name: 'web-2', leaving: true }),
    pod({ name: 'web-3', phase: 'Succeeded' }),
    pod({ name: 'api-1', namespace: 'other' }),
    pod({ name: 'host-1', hostNetwork: true }),
    pod({ name: 'plain-1', injected: false }),
    pod({ name: 'sly-1', service: 'web/../../ca' }),
  ]);
  stores.services.replace([
    service({ name: 'web', ports: [{ port: 80, targetPort: 8080, appProtocol: 'http', protocol: 'TCP' }] }),
    service({ name: 'db', selector: { app: 'web' }, spec: { clusterIP: 'None' } }),
    service({ name: 'alias', selector: { app: 'web' }, spec: { type: 'ExternalName' } }),
    service({ name: 'manual', selector: {} }),
    service({ name: 'web', namespace: 'other' }),
  ]);
  stores.policies.replace([
    testPolicy('web', { selector: { matchLabels: { app: 'web' } } }),

    testPolicy('all', { mode: 'Permissive' }),
    testPolicy('far', {}, { namespace: 'elsewhere' }),
  ]);
  const podNames = (pods: readonly Pod[]): string[] => pods.map(({ metadata }) => metadata.name);

  test('counts pods that run apart from those that leave, and none that finished', () => {
    const { live, leaving } = cluster.podsOf('shop/web');
    expect([podNames(live), podNames(leaving)]).toEqual([['web-1'], ['web-2']]);
  });

  test('knows services by namespace, without pods that are not injected', () => {
    expect(cluster.servicesIn('shop')).toEqual(['shop/web']);
    expect([...new Set(cluster.services())]).toEqual(['shop/web', 'other/api']);
  });

  test('the policy of a service is the first, by precedence, of those that govern its pods', () => {
    expect(cluster.policyOf(cluster.podsOf('shop/web').live)?.metadata.name).toBe('web');
    const both = [pod({ name: 'x-1', labels: { app: 'other' } }), pod({ name: 'x-2', labels: { app: 'web' } })];
    expect(cluster.policyOf(both)?.metadata.name).toBe('web');
    expect(cluster.policyOf(both.slice(0, 1))?.metadata.name).toBe('all');
    expect(cluster.policyOf(cluster.podsOf('other/api').live)).toBeUndefined();
  });

  test('names the Services that select the pods, of their own namespace', () => {
    const named = cluster.servicesOf(cluster.podsOf('shop/web').live);
    expect(named).toEqual([
      { name: 'db', headless: true },
      { name: 'web', headless: false },
    ]);
  });
});

describe('a pod with more Services than a certificate can name', () => {
  test('is named by the first of them', () => {
    const crowd = {
      pods: new ObjectStore<Pod>(clusterIndexes.pods),
      services: new ObjectStore<Service>(clusterIndexes.services),
      policies: new ObjectStore<TLSPolicy>(clusterIndexes.policies),
    };
    crowd.services.replace(
      Array.from({ length: 200 }, (_, index) => service({ name: `s${1_000 + index}`, selector: { app: 'web' } })),
    );
    const named = new Cluster(crowd).servicesOf([pod({ name: 'web-1' })]);
    expect([named.length, named[0]?.name, named.at(-1)?.name]).toEqual([64, 's1000', 's1063']);
  });
});

describe('the workload behind a pod', () => {
  const controlled = (by: OwnerReference | undefined): Pod => {
    const plain = pod({ name: 'web-1' });
    const ownerReferences = by === undefined ? [] : [{ ...by, controller: true }];
    return { ...plain, metadata: { ...plain.metadata, ownerReferences } };
  };
  const kube = new MemoryKube();
  const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'dep', controller: true };
  const cronJob = { apiVersion: 'batch/v1', kind: 'CronJob', name: 'nightly', uid: 'cron', controller: true };
  kube.seed(resources.replicasets, {
    metadata: { name: 'web-set', namespace: 'shop', uid: 'set', ownerReferences: [deployment] },
  });
  kube.seed(resources.replicasets, { metadata: { name: 'bare-set', namespace: 'shop', uid: 'bare' } });
  kube.seed(resources.jobs, {
    metadata: { name: 'nightly-1', namespace: 'shop', uid: 'job', ownerReferences: [cronJob] },
  });

  test.each<[string, OwnerReference | undefined, readonly string[]]>([
    [
      'a Deployment behind its ReplicaSet',
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-set', uid: 'set' },
      ['Deployment/web'],
    ],
    [
      'a ReplicaSet of its own',
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'bare-set', uid: 'bare' },
      ['ReplicaSet/bare-set'],
    ],
    [
      'a CronJob behind its Job',
      { apiVersion: 'batch/v1', kind: 'Job', name: 'nightly-1', uid: 'job' },
      ['CronJob/nightly'],
    ],
    ['a StatefulSet', { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db', uid: 'sts' }, ['StatefulSet/db']],
    ['a kind of somebody else', { apiVersion: 'example.com/v1', kind: 'Thing', name: 't', uid: 't' }, ['Thing/t']],
    ['the pod itself when nothing made it', undefined, ['Pod/web-1']],
    [
      'nobody when the ReplicaSet is gone',
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'gone', uid: 'gone' },
      [],
    ],
    [
      'nobody when another ReplicaSet has its name now',
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'bare-set', uid: 'old' },
      [],
    ],
  ])('is %s', async (_, by, expected) => {
    const owners = await new Owners(kube, new TestClock()).of([controlled(by)], signal);
    expect(owners.map(({ kind, name }) => `${kind}/${name}`)).toEqual(expected);
  });

  test('is asked for once, and each workload is listed once', async () => {
    let calls = 0;
    kube.onCall = () => void (calls += 1);
    const owners = new Owners(kube, new TestClock());
    const one = controlled({ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-set', uid: 'set' });
    expect(await owners.of([one, one, one], signal)).toHaveLength(1);
    await owners.of([one], signal);
    expect(calls).toBe(1);
  });

  describe('of many pods that are seen for the first time', () => {
    const many = Array.from({ length: 100 }, (_, index) => `many-${index}`);
    const podOf = (name: string): Pod =>
      controlled({ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${name}-set`, uid: `${name}-set` });
    const filled = (): MemoryKube => {
      const crowd = new MemoryKube();
      for (const name of many) {
        const ownerReferences = [{ apiVersion: 'apps/v1', kind: 'Deployment', name, uid: name, controller: true }];
        crowd.seed(resources.replicasets, {
          metadata: { name: `${name}-set`, namespace: 'shop', uid: `${name}-set`, ownerReferences },
        });
      }
      return crowd;
    };
    const namesOf = async (owners: Owners): Promise<readonly (string | undefined)[]> =>
      Promise.all(many.map(async (name) => (await owners.of([podOf(name)], signal))[0]?.name));

    test('is listed with the whole namespace after the first few', async () => {
      const crowd = filled();
      const calls: string[] = [];
      crowd.onCall = ({ verb }) => void calls.push(verb);
      expect(await namesOf(new Owners(crowd, new TestClock()))).toEqual(many);
      expect(calls.filter((verb) => verb === 'list').length).toBe(1);
      expect(calls.length).toBeLessThan(10);
    });

    test('is asked for one by one where the list is not given', async () => {
      const crowd = filled();
      crowd.onCall = ({ verb }) => {
        if (verb === 'list') throw new KubeError('Forbidden', 'no');
      };
      expect(await namesOf(new Owners(crowd, new TestClock()))).toEqual(many);
    });

    test('is asked for again when it came after the list', async () => {
      const crowd = filled();
      const owners = new Owners(crowd, new TestClock());
      await namesOf(owners);
      crowd.seed(resources.replicasets, { metadata: { name: 'new-set', namespace: 'shop', uid: 'new-set' } });
      expect(await owners.of([podOf('new')], signal)).toMatchObject([{ kind: 'ReplicaSet', name: 'new-set' }]);
    });
  });

  test('is not guessed when the API server cannot be asked', async () => {
    kube.onCall = () => {
      throw new KubeError('Forbidden', 'no');
    };
    const one = controlled({ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-set', uid: 'set' });
    await expect(new Owners(kube, new TestClock()).of([one], signal)).rejects.toMatchObject({ kind: 'Forbidden' });
  });
});

describe('Secrets that were just written', () => {
  const version = (resourceVersion: string, uid = 'u'): Secret => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'tabard-web',
      namespace: 'shop',
      uid,
      resourceVersion,
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
  });
  const key = 'shop/tabard-web';
  const bench = () => {
    const store = new ObjectStore<Secret>();
    const clock = new TestClock();
    const recent = new RecentSecrets(store, clock);
    recent.follow();
    const seen = (): string | undefined => recent.get(key)?.metadata.resourceVersion;
    return { store, clock, recent, seen };
  };

  test('are seen before the watch shows them, and the watch is believed from then on', () => {
    const { store, recent, seen } = bench();
    recent.note(key, version('5'));
    expect(seen()).toBe('5');
    store.set(version('4'));
    expect(seen()).toBe('5');
    store.set(version('5'));
    store.set(version('6'));
    expect(seen()).toBe('6');
  });

  test('that were deleted are gone', () => {
    const { store, recent, seen } = bench();
    store.set(version('4'));
    recent.note(key, version('5'));
    store.delete(key, version('6'));
    expect(seen()).toBeUndefined();
  });

  test('are given up for the watch after ten seconds', async () => {
    const { store, clock, recent, seen } = bench();
    recent.note(key, version('5'));
    store.set(version('9'));
    expect(seen()).toBe('5');
    await clock.advance(10_000);
    expect(seen()).toBe('9');
  });

  test('that turned out to be old are dropped, and those that the watch has are not noted', () => {
    const { store, recent, seen } = bench();
    recent.note(key, version('5'));
    recent.drop(key);
    expect(seen()).toBeUndefined();
    store.set(version('6'));
    recent.note(key, version('6'));
    store.set(version('7'));
    expect(seen()).toBe('7');
  });
});

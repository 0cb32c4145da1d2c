// What the operator keeps of the cluster, and when that may be relied on.
import { afterEach, describe, expect, test } from '@jest/globals';
import { KubeError } from '../../../lib/kube/errors.ts';
import type { KubeObject } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { Lifecycle } from '../../../lib/runtime/lifecycle.ts';
import { createCaches } from '../../../operator/caches.ts';
import { ClusterRanges } from '../../../operator/ranges.ts';
import { settle } from '../../support/clock.ts';
import { kubeDeps } from '../../support/kubedeps.ts';

const running: Lifecycle[] = [];
afterEach(async () => {
  for (const life of running.splice(0)) {
    life.stop('end of the test');
    await life.finished();
  }
});

function started() {
  const deps = kubeDeps();
  const life = new Lifecycle(deps);
  running.push(life);
  const stage = life.stage('caches');
  const caches = createCaches({ ...deps, namespace: 'tabard-system' });
  return { ...deps, stage, caches };
}

describe('the caches', () => {
  test('hold injected pods, our Secrets and all of the rest', async () => {
    const { client, caches, stage } = started();
    const injected = { 'tabard.dev/injected': 'true' };
    client.seed(resources.pods, { metadata: { namespace: 'shop', name: 'in', labels: injected } });
    const bare = { 'tabard.dev/injected': 'certificate' };
    client.seed(resources.pods, { metadata: { namespace: 'shop', name: 'bare', labels: bare } });
    client.seed(resources.pods, { metadata: { namespace: 'shop', name: 'out' } });
    client.seed(resources.pods, {
      metadata: { namespace: 'shop', name: 'no', labels: { 'tabard.dev/injected': 'false' } },
    });
    const ours = { 'app.kubernetes.io/managed-by': 'tabard' };
    client.seed(resources.secrets, { metadata: { namespace: 'shop', name: 'tabard-web', labels: ours } });
    client.seed(resources.secrets, { metadata: { namespace: 'shop', name: 'password' } });
    client.seed(resources.secrets, { metadata: { namespace: 'tabard-system', name: 'vault' } });
    client.seed(resources.configmaps, { metadata: { namespace: 'tabard-system', name: 'roots' } });
    client.seed(resources.configmaps, { metadata: { namespace: 'shop', name: 'roots' } });
    client.seed(resources.services, { metadata: { namespace: 'shop', name: 'web' } });
    client.seed(resources.tlspolicies, { metadata: { namespace: 'shop', name: 'api' }, spec: {} });
    caches.start(stage);
    await settle();
    const { stores } = caches;
    const all: readonly (readonly [string, Store<KubeObject>])[] = Object.entries(stores);
    const named = all.map(([kind, store]) => [kind, store.list().map(({ metadata }) => metadata.name)] as const);
    expect(Object.fromEntries(named.filter(([, found]) => found.length > 0))).toEqual({
      pods: ['bare', 'in'],
      services: ['web'],
      policies: ['api'],
      secrets: ['tabard-web'],
      ownSecrets: ['vault'],
      ownConfigMaps: ['roots'],
    });
    expect(stores.policies.byIndex('namespace', 'shop')).toHaveLength(1);
    expect(caches.notReady()).toEqual([]);
  });

  test('say which kinds are not listed yet', async () => {
    const { client, caches, stage } = started();
    client.onCall = ({ resource }) => {
      if (resource === 'tlspolicies') throw new KubeError('NotFound', 'no such kind', { status: 404 });
    };
    caches.start(stage);
    await settle();
    expect(caches.notReady()).toEqual(['tlspolicies.tabard.dev: not listed yet']);
  });

  test('do without ServiceCIDRs where the API server has none', async () => {
    const { client, caches, stage, clock } = started();
    client.onCall = ({ resource }) => {
      if (resource === 'servicecidrs') throw new KubeError('NotFound', 'no such kind', { status: 404 });
    };
    caches.start(stage);
    await settle();
    expect(caches.notReady()).toEqual([]);
    client.bookmark();
    await clock.advance(290_000);
    client.bookmark();
    await clock.advance(100_000);
    expect(caches.notReady()).toEqual([]);
  });

  test('are no longer relied on after five minutes without a word', async () => {
    const { caches, stage, clock } = started();
    caches.start(stage);
    await clock.advance(300_000);
    expect(caches.notReady()).toEqual([]);
    await clock.advance(1_000);
    expect(caches.notReady()).toHaveLength(Object.keys(caches.stores).length);
    expect(caches.notReady()[0]).toBe('pods: nothing heard from the API server for 301 s');
  });
});

describe('the ranges', () => {
  test('are none until everything is listed, then follow nodes, Services and pods', async () => {
    const { client, caches, stage, clock } = started();
    client.seed(resources.nodes, { metadata: { name: 'n1' }, spec: { podCIDRs: ['10.244.0.0/24'] } });
    client.seed(resources.servicecidrs, { metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.96.0.0/16'] } });
    const ranges = new ClusterRanges({ configured: [], clock, ...caches.stores });
    let told = 0;
    ranges.subscribe(() => (told += 1));
    stage.run('ranges', (signal) => ranges.run(signal));
    await settle();
    expect(ranges.current()).toEqual([]);
    caches.start(stage);
    await settle();
    expect(ranges.current()).toEqual(['10.96.0.0/16', '10.244.0.0/24']);
    client.seed(resources.nodes, { metadata: { name: 'n2' }, spec: { podCIDRs: ['10.244.1.0/24'] } });
    client.seed(resources.services, { metadata: { namespace: 'a', name: 's' }, spec: { clusterIPs: ['172.20.0.9'] } });
    await clock.advance(1_000);
    expect(ranges.current()).toEqual(['10.96.0.0/16', '10.244.0.0/23', '172.20.0.0/24']);
    expect(told).toBe(2);
  });

  test('are not told again when nothing about them changed', async () => {
    const { client, caches, stage, clock } = started();
    const ranges = new ClusterRanges({ configured: ['10.0.0.0/8'], clock, ...caches.stores });
    let told = 0;
    ranges.subscribe(() => (told += 1));
    caches.start(stage);
    stage.run('ranges', (signal) => ranges.run(signal));
    await clock.advance(5_000);
    client.seed(resources.services, { metadata: { namespace: 'a', name: 's' }, spec: { clusterIPs: ['10.1.2.3'] } });
    await clock.advance(5_000);
    expect([ranges.current(), told]).toEqual([['10.0.0.0/8'], 1]);
  });
});

import { afterEach, describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import type { EventFacts, EventSubject } from '../../../../lib/kube/events.ts';
import type { ClusterTrustBundle, ConfigMap, KubeObject } from '../../../../lib/kube/object.ts';
import { Reflector } from '../../../../lib/kube/reflector.ts';
import { metadataOf, type Resource, resources } from '../../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { createAuthority } from '../../../../lib/pki/ca.ts';
import { TrustBundles } from '../../../../operator/delivery/trustbundles.ts';
import { TrustMaps } from '../../../../operator/delivery/trustmaps.ts';
import { bundleOf, type TrustBundle } from '../../../../operator/trust/mesh.ts';
import { settle } from '../../../support/clock.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';

const authorityPem = async (): Promise<string> =>
  (
    await createAuthority({
      trustDomain: 'cluster.local',
      lifetimeMs: 86_400_000,
      now: new Date('2026-01-01T00:00:00Z'),
    })
  ).certificate;
const [first, second] = [await authorityPem(), await authorityPem()];

let stop: AbortController | undefined;
afterEach(() => stop?.abort(new Error('the test is over')));

/** Both controllers over a cluster in memory, as the operator's caches show it to them. */
async function started() {
  stop = new AbortController();
  const { signal } = stop;
  const { metrics: kubeMetrics, ...deps } = kubeDeps();
  const { client, clock, logger } = deps;
  const events: string[] = [];
  const record = ({ kind, name }: EventSubject, { type, reason }: EventFacts): void => {
    events.push(`${type} ${reason} ${kind}/${name}`);
  };
  const store = <T extends KubeObject>(resource: Resource<T>, labelSelector?: string) => {
    const kept = new ObjectStore<T>({ onListenerError: (error) => events.push(String(error)) });
    const selection = labelSelector === undefined ? {} : { selection: { labelSelector } };
    const reflector = new Reflector<T>({
      client,
      clock,
      logger,
      metrics: kubeMetrics,
      resource,
      store: kept,
      ...selection,
    });
    reflector.run(signal).catch(() => undefined);
    return kept;
  };
  const ours = 'app.kubernetes.io/managed-by=tabard';
  let current: TrustBundle | undefined;
  const listeners = new Set<(bundle: TrustBundle) => void>();
  const trust = {
    current: () => current,
    subscribe: (listener: (bundle: TrustBundle) => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const shared = { client, clock, logger, kubeMetrics, events: { record } };
  const maps = new TrustMaps({
    ...shared,
    trust,
    trustNamespaces: store(metadataOf(resources.namespaces), 'tabard.dev/trust-bundle=enabled'),
    trustMaps: store<ConfigMap>(resources.configmaps, ours),
  });
  const bundles = new TrustBundles({
    ...shared,
    issuers: store<TLSIssuer>(resources.tlsissuers),
    clusterTrustBundles: store<ClusterTrustBundle>(resources.clustertrustbundles, ours),
  });
  for (const part of [maps, bundles]) part.run(signal).catch(() => undefined);
  await settle();
  const namespace = (name: string, isAsking: boolean) =>
    client.seed(resources.namespaces, {
      metadata: { name, ...(isAsking ? { labels: { 'tabard.dev/trust-bundle': 'enabled' } } : {}) },
    });
  return {
    client,
    clock,
    events,
    namespace,
    trusting: async (...pems: readonly string[]) => {
      current = bundleOf(pems);
      for (const listener of listeners) listener(current);
      await clock.advance(1_000);
    },
    map: (name: string) => client.all(resources.configmaps).find(({ metadata }) => metadata.namespace === name),
    issuer: (name: string, spec: TLSIssuer['spec'], trustBundle?: string) =>
      client.seed(resources.tlsissuers, {
        metadata: { name },
        spec,
        ...(trustBundle ? { status: { trustBundle } } : {}),
      }),
    bundles: () =>
      client.all(resources.clustertrustbundles).map(({ metadata, spec }) => [metadata.name, spec.trustBundle]),
  };
}

describe('the trust bundle as a ConfigMap', () => {
  test('is in every namespace that asks, and in no other', async () => {
    const { trusting, namespace, map, clock } = await started();
    namespace('shop', true);
    namespace('other', false);
    await trusting(first);
    expect(map('shop')).toMatchObject({
      metadata: { name: 'tabard-trust', labels: { 'app.kubernetes.io/managed-by': 'tabard' } },
      data: { 'ca.crt': first },
    });
    expect(map('other')).toBeUndefined();
    namespace('late', true);
    await clock.advance(1_000);
    expect(map('late')?.data).toEqual({ 'ca.crt': first });
  });

  test('is not written before the bundle is known', async () => {
    const { namespace, map, clock } = await started();
    namespace('shop', true);
    await clock.advance(5_000);
    expect(map('shop')).toBeUndefined();
  });

  test('follows the bundle', async () => {
    const { trusting, namespace, map } = await started();
    namespace('shop', true);
    await trusting(first);
    await trusting(first, second);
    expect(map('shop')?.data).toEqual({ 'ca.crt': first + second });
  });

  test('is written once, not at every look', async () => {
    const { trusting, namespace, client, clock } = await started();
    const writes: string[] = [];
    client.onCall = ({ verb, resource }) => {
      if (resource === 'configmaps' && verb !== 'watch' && verb !== 'list') writes.push(verb);
    };
    namespace('shop', true);
    await trusting(first);
    await trusting(first);
    await clock.advance(7_200_000);
    expect(writes).toEqual(['create']);
  });

  test('goes when the label goes', async () => {
    const { trusting, namespace, map, clock } = await started();
    namespace('shop', true);
    await trusting(first);
    namespace('shop', false);
    await clock.advance(1_000);
    expect(map('shop')).toBeUndefined();
  });

  test('comes back when it is deleted or changed by hand, and what others add to it stays', async () => {
    const { trusting, namespace, map, client, clock } = await started();
    namespace('shop', true);
    await trusting(first);
    await client.delete(resources.configmaps, { namespace: 'shop', name: 'tabard-trust' });
    await clock.advance(1_000);
    expect(map('shop')?.data).toEqual({ 'ca.crt': first });
    await client.patch(
      resources.configmaps,
      { namespace: 'shop', name: 'tabard-trust' },
      { data: { 'ca.crt': 'x', note: 'mine' } },
    );
    await clock.advance(1_000);
    expect(map('shop')?.data).toEqual({ 'ca.crt': first, note: 'mine' });
  });

  test('leaves one that is not ours alone, says so, and takes its place once it is gone', async () => {
    const { trusting, namespace, map, client, events, clock } = await started();
    client.seed(resources.configmaps, { metadata: { namespace: 'shop', name: 'tabard-trust' }, data: { mine: 'x' } });
    namespace('shop', true);
    await trusting(first);
    expect(map('shop')?.data).toEqual({ mine: 'x' });
    expect(events).toEqual(['Warning TrustBundleNotOurs Namespace/shop']);
    await client.delete(resources.configmaps, { namespace: 'shop', name: 'tabard-trust' });
    await clock.advance(60_000);
    expect(map('shop')?.data).toEqual({ 'ca.crt': first });
  });
});

describe('the trust bundle as a ClusterTrustBundle', () => {
  test('is there for every issuer of the mesh, each CA once', async () => {
    const { issuer, bundles, clock } = await started();
    issuer('cluster', { selfSigned: {} }, `# a comment\n${first}${second}${first}`);
    issuer('corporate', { ca: { secretRef: { name: 'ca' } } }, second);
    issuer('edge', { acme: { server: 'x', accountKeySecretRef: { name: 'k' }, solvers: [] } }, first);
    await clock.advance(1_000);
    expect(bundles()).toEqual([
      ['tabard.dev:mesh:cluster', first + second],
      ['tabard.dev:mesh:corporate', second],
    ]);
  });

  test('stays while its issuer says nothing, and goes with the issuer', async () => {
    const { issuer, bundles, client, clock } = await started();
    issuer('cluster', { selfSigned: {} }, first);
    await clock.advance(1_000);
    issuer('cluster', { selfSigned: {} });
    await clock.advance(1_000);
    expect(bundles()).toEqual([['tabard.dev:mesh:cluster', first]]);
    await client.delete(resources.tlsissuers, { name: 'cluster' });
    await clock.advance(1_000);
    expect(bundles()).toEqual([]);
  });

  test('leaves one that is not ours alone and says so', async () => {
    const { issuer, bundles, client, events, clock } = await started();
    client.seed(resources.clustertrustbundles, {
      metadata: { name: 'tabard.dev:mesh:cluster' },
      spec: { trustBundle: 'other' },
    });
    issuer('cluster', { selfSigned: {} }, first);
    await clock.advance(1_000);
    expect(bundles()).toEqual([['tabard.dev:mesh:cluster', 'other']]);
    expect(events).toEqual(['Warning TrustBundleNotOurs TLSIssuer/cluster']);
  });
});

// Two configurations, one of which a cluster may do without: on a still clock and a cluster in memory.
import { describe, expect, test } from '@jest/globals';
import { names } from '../../../lib/api/contract.ts';
import { KubeError } from '../../../lib/kube/errors.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { webhookEntries } from '../../../webhook/configuration.ts';
import { afterStep } from '../../../webhook/material.ts';
import { policyEntries } from '../../../webhook/policyentries.ts';
import { CaPublisher, type CaPublisherOptions } from '../../../webhook/publisher.ts';
import { Publishers } from '../../../webhook/publishers.ts';
import { kubeDeps } from '../../support/kubedeps.ts';

const namespace = 'tabard-system';
const metadata = { name: names.webhookConfiguration };
const { signal } = new AbortController();
const { validatingwebhookconfigurations: validating, mutatingwebhookconfigurations: mutating } = resources;
const settings = {
  namespace,
  trustDomain: 'cluster.local',
  clusterDomain: 'cluster.local',
  extraNames: [],
  caLifetimeMs: 1e12,
  certificateLifetimeMs: 1e9,
  overlapMs: 1e6,
};

/** What both publishers make of a cluster. `refuse`: what becomes of writes to the configuration that checks policies. */
async function bench({ checking = true, refuse }: { readonly checking?: boolean; readonly refuse?: Error } = {}) {
  const deps = kubeDeps();
  const { client, clock, logger } = deps;
  await client.create(mutating, { metadata, webhooks: [...webhookEntries(namespace)] });
  if (checking) await client.create(validating, { metadata, webhooks: [...policyEntries(namespace)] });
  const guarded: CaPublisherOptions['client'] = {
    get: (...args) => client.get(...args),
    patch: (resource, ...rest) =>
      refuse !== undefined && resource.kind === validating.kind
        ? Promise.reject(refuse)
        : client.patch(resource, ...rest),
  };
  const publisher = (entries: readonly { readonly name: string }[], more: object = {}) =>
    new CaPublisher({
      client: guarded,
      clock,
      logger,
      overlapMs: settings.overlapMs,
      entries: entries.map(({ name }) => name),
      ...more,
    });
  const beside = publisher(policyEntries(namespace), { resource: validating });
  const both = new Publishers(publisher(webhookEntries(namespace)), beside, logger);
  const material = await afterStep('create', undefined, settings, clock.now());
  const publish = async (): Promise<void> => {
    await both.read(signal);
    await both.publish(material, signal);
  };
  const print = material.authority.fingerprint;
  return { both, publish, print, client };
}

describe('the CA', () => {
  test('is in both configurations before it counts as published', async () => {
    const { both, publish, print, client } = await bench();
    await both.read(signal);
    expect(both.publishedForMs(print)).toBeUndefined();
    await publish();
    expect([[...both.published], both.publishedForMs(print)]).toEqual([[print], 0]);
    const { webhooks = [] } = await client.get(validating, metadata);
    expect(webhooks.map(({ clientConfig }) => clientConfig.caBundle)).toEqual([expect.stringMatching(/^LS0t/)]);
    await client.patch(validating, metadata, { webhooks: [...policyEntries(namespace)] });
    await both.read(signal);
    expect([[...both.published], both.publishedForMs(print)]).toEqual([[], undefined]);
  });

  test.each<readonly [string, Parameters<typeof bench>[0]]>([
    ['nobody checks policies', { checking: false }],
    ['it may not be written there', { refuse: new KubeError('Forbidden', 'no') }],
  ])('is published all the same where %s', async (_, options) => {
    const { both, publish, print } = await bench(options);
    await publish();
    expect([[...both.published], both.publishedForMs(print)]).toEqual([[print], 0]);
  });

  test('is tried again where somebody else was first', async () => {
    const { publish } = await bench({ refuse: new KubeError('Conflict', 'again') });
    await expect(publish()).rejects.toThrow('again');
  });
});

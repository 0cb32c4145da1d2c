// The life of the webhook's certificate on a still clock and a cluster in memory: what is served is at every moment signed by a CA
// that the API server was told of before.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { names } from '../../../lib/api/contract.ts';
import { KubeError } from '../../../lib/kube/errors.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { fingerprint } from '../../../lib/pki/bundle.ts';
import { createAuthority } from '../../../lib/pki/ca.ts';
import { certificatesOf, commonCas } from '../../../webhook/cabundle.ts';
import { webhookEntries } from '../../../webhook/configuration.ts';
import { CaPublisher } from '../../../webhook/publisher.ts';
import { ServingCertificate, type ServingCredentials } from '../../../webhook/serving.ts';
import { settle } from '../../support/clock.ts';
import { kubeDeps } from '../../support/kubedeps.ts';

const namespace = 'tabard-system';
const secretRef = { namespace, name: names.webhookSecret };
const configurationRef = { name: names.webhookConfiguration };
const entries = webhookEntries(namespace);
const minute = 60_000;
const settings = {
  namespace,
  trustDomain: 'cluster.local',
  clusterDomain: 'cluster.local',
  extraNames: [],
  caLifetimeMs: 300 * minute,
  certificateLifetimeMs: 30 * minute,
  overlapMs: 10 * minute,
};
/** A CA of somebody else, until 2126. */
const company = `-----BEGIN CERTIFICATE-----
MIIBnTCCAUOgAwIBAgIUWYd4nWGPuVHLdMwXMLxkkCqvYUYwCgYIKoZIzj0EAwIw
IzENMAsGA1UECgwEU2hvcDESMBAGA1UEAwwJU2hvcCBSb290MCAXDTI2MTEyMjA3
MjQwM1oYDzIxMjYxMDI5MDcyNDAzWjAjMQ0wCwYDVQQKDARTaG9wMRIwEAYDVQQD
DAlTaG9wIFJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT4+CywKCJZHENO
gPnjNsGTCnqfbYDRfjV40R4SmWlzpHKDYxh0KOBacd1xyoNVMdQDpyY10I8pDrMy
YM/OnKlGo1MwUTAdBgNVHQ4EFgQU+DHRcWfOnXF8vQNJli1MYzLN1hAwHwYDVR0j
BBgwFoAU+DHRcWfOnXF8vQNJli1MYzLN1hAwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiEApufD6zrw4pM4W1I9q/HQzBywlrUl4zUn2VzwslAcrmMC
IFNQqJaD701YA/zs33pSHTLc8kHZwk3N3s0h0G+G057R
-----END CERTIFICATE-----
`;
const foreign = { name: 'other.example.com', clientConfig: { url: 'https://example.com', caBundle: 'Zm9yZWlnbg==' } };

type Deps = ReturnType<typeof kubeDeps>;

async function makeConfiguration({ client }: Deps): Promise<void> {
  await client.create(resources.mutatingwebhookconfigurations, {
    metadata: configurationRef,
    webhooks: [...entries, foreign],
  });
}

function replica(deps: Deps, periodMs = minute) {
  const { client, clock, logger, registry } = deps;
  const id = Math.random().toString(36).slice(2);
  const served: ServingCredentials[] = [];
  const publisher = new CaPublisher({
    client,
    clock,
    logger,
    entries: entries.map((each) => each.name),
    overlapMs: settings.overlapMs,
  });
  const serving = new ServingCertificate({
    client,
    clock,
    logger,
    settings,
    publisher,
    periodMs,
    onCredentials: (credentials) => served.push(credentials),
    steps: registry.counter({ name: `steps_${id}_total`, help: 'x', labels: ['step'] }),
    expiry: registry.gauge({ name: `expiry_${id}`, help: 'x', labels: ['certificate'] }),
  });
  const stop = new AbortController();
  const ended = serving.run(stop.signal);
  const end = async () => {
    stop.abort();
    await deps.clock.advance(0);
    await ended;
  };
  return { serving, served, end, current: () => new X509Certificate(served.at(-1)?.certificate ?? '') };
}

async function bundlesOf({ client }: Deps): Promise<readonly (string | undefined)[]> {
  const configuration = await client.get(resources.mutatingwebhookconfigurations, configurationRef);
  return (configuration.webhooks ?? []).map((entry) => entry.clientConfig.caBundle);
}

/** The CAs that the API server trusts for our entries. */
async function trusted(deps: Deps) {
  const bundles = (await bundlesOf(deps)).slice(0, entries.length);
  const common = commonCas(bundles);
  return certificatesOf(bundles[0]).filter((each) => common.has(fingerprint(each)));
}

const isTrusted = (leaf: X509Certificate, cas: readonly X509Certificate[]) =>
  cas.some((ca) => leaf.checkIssued(ca) && leaf.verify(ca.publicKey));

/** Moves time on. Keys are made on a thread, so a moment of real time has to pass with it. */
async function pass(deps: Deps, ms: number): Promise<void> {
  await deps.clock.advance(ms);
  for (let turn = 0; turn < 2; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    await settle();
  }
}

/** Waits for the work that is under way, without moving time on. */
async function until(deps: Deps, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 2_000 && !(await condition()); turn += 1) await pass(deps, 0);
  expect(await condition()).toBe(true);
}

const ready = ({ serving }: ReturnType<typeof replica>) => serving.obstacles().length === 0;

describe('the serving certificate', () => {
  test('is made on the first start, shared, told to the API server, and good for its name (cert-manager#4713: unknown authority)', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const one = replica(deps);
    expect(one.serving.obstacles()).toEqual(['no_certificate']);
    await until(deps, () => ready(one));
    const leaf = one.current();
    expect(leaf.checkHost('tabard-webhook.tabard-system.svc')).toBeDefined();
    expect(leaf.checkPrivateKey(createPrivateKey(one.served[0]?.key ?? ''))).toBe(true);
    expect(isTrusted(leaf, await trusted(deps))).toBe(true);
    const two = replica(deps);
    await until(deps, () => ready(two));
    expect(two.served).toEqual(one.served);
    await one.end();
    await two.end();
  });

  test('leaves entries of others alone', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const one = replica(deps);
    await until(deps, () => ready(one));
    expect((await bundlesOf(deps)).at(-1)).toBe(foreign.clientConfig.caBundle);
    await one.end();
  });

  test('is not ready, but made, while the API server was not told of it (cert-manager#4133: an install that is called done too soon)', async () => {
    const deps = kubeDeps();
    const one = replica(deps);
    await until(deps, () => one.served.length > 0);
    expect(one.serving.obstacles()).toEqual(['ca_not_published']);
    await makeConfiguration(deps);
    one.serving.wake();
    await until(deps, () => ready(one));
    await one.end();
  });

  test('two replicas that start at once end with the same certificate', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const [one, two] = [replica(deps), replica(deps)];
    for (let second = 0; second < 30; second += 1) await pass(deps, 1_000);
    await until(deps, () => ready(one) && ready(two));
    expect(one.current().fingerprint256).toBe(two.current().fingerprint256);
    expect([...one.serving.obstacles(), ...two.serving.obstacles()]).toEqual([]);
    await one.end();
    await two.end();
  });

  test('over many lives of certificate and CA, what any replica serves is always trusted, and old CAs go (vault-k8s#764: bad certificate after a day)', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const replicas = [replica(deps, 3 * minute), replica(deps, 3 * minute)];
    for (let second = 0; second < 5; second += 1) await pass(deps, 1_000);
    await until(deps, () => replicas.every(ready));
    const seen = new Set<string>();
    let most = 0;
    for (let elapsed = 0; elapsed < 450; elapsed += 3) {
      await pass(deps, 3 * minute);
      const cas = await trusted(deps);
      most = Math.max(most, cas.length);
      for (const each of cas) seen.add(fingerprint(each));
      for (const { current, serving } of replicas) {
        expect({ elapsed, trusted: isTrusted(current(), cas), obstacles: serving.obstacles() }).toEqual({
          elapsed,
          trusted: true,
          obstacles: [],
        });
        expect(current().validToDate.getTime()).toBeGreaterThan(deps.clock.now().getTime());
      }
    }
    // 450 minutes: a CA of 300 is replaced after 200, a certificate of 30 after 20.
    expect(seen.size).toBe(3);
    expect(most).toBe(2);
    for (const { served, end } of replicas) {
      expect(new Set(served.map((each) => each.certificate)).size).toBeGreaterThan(15);
      await end();
    }
  }, 60_000);

  test('a caBundle that somebody emptied or a new entry that came without one is filled again', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const one = replica(deps);
    await until(deps, () => ready(one));
    await deps.client.patch(resources.mutatingwebhookconfigurations, configurationRef, {
      webhooks: [...entries, foreign],
    });
    one.serving.wake();
    await until(deps, async () => (await trusted(deps)).length > 0);
    expect(isTrusted(one.current(), await trusted(deps))).toBe(true);
    await one.end();
  });

  test('what others put into our bundles stays; a CA of ours that no Secret names goes after the overlap', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const one = replica(deps);
    await until(deps, () => ready(one));
    const lost = await createAuthority({ trustDomain: 'cluster.local', lifetimeMs: 1e12, now: deps.clock.now() });
    const added = `${company}${lost.certificate}`;
    const configuration = await deps.client.get(resources.mutatingwebhookconfigurations, configurationRef);
    const webhooks = (configuration.webhooks ?? []).map((entry) => {
      const pem = `${Buffer.from(entry.clientConfig.caBundle ?? '', 'base64').toString()}${added}`;
      return { ...entry, clientConfig: { ...entry.clientConfig, caBundle: Buffer.from(pem).toString('base64') } };
    });
    await deps.client.patch(resources.mutatingwebhookconfigurations, configurationRef, { webhooks });
    const own = new Set((await trusted(deps)).map((each) => each.subject)).size;
    expect(own).toBe(3);
    for (let round = 0; round < 9; round += 1) await pass(deps, minute);
    expect(await trusted(deps)).toHaveLength(3);
    for (let round = 0; round < 4; round += 1) await pass(deps, minute);
    const subjects = (await trusted(deps)).map((each) => each.subject);
    expect(subjects).toHaveLength(2);
    expect(subjects).toContain('O=Shop\nCN=Shop Root');
    await one.end();
  });

  test('a Secret that was deleted comes back as it was', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const one = replica(deps);
    await until(deps, () => ready(one));
    const before = (await deps.client.get(resources.secrets, secretRef)).data;
    await deps.client.delete(resources.secrets, secretRef);
    one.serving.wake();
    await until(deps, async () => (await deps.client.list(resources.secrets)).items.length > 0);
    expect((await deps.client.get(resources.secrets, secretRef)).data).toEqual(before);
    expect(one.served).toHaveLength(1);
    await one.end();
  });

  test('a Secret that was broken is repaired by who knows what was in it, and never served', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const one = replica(deps);
    await until(deps, () => ready(one));
    const before = await deps.client.get(resources.secrets, secretRef);
    await deps.client.patch(resources.secrets, secretRef, { data: { 'tls.crt': 'YnJva2Vu' } });
    one.serving.wake();
    await until(
      deps,
      async () => (await deps.client.get(resources.secrets, secretRef)).data?.['tls.crt'] === before.data?.['tls.crt'],
    );
    expect((await deps.client.get(resources.secrets, secretRef)).data).toEqual(before.data);
    expect(one.served).toHaveLength(1);
    await one.end();
  });

  test('with nobody left who knows, a new CA is made, and old replicas change over only once it is told', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const one = replica(deps);
    await until(deps, () => ready(one));
    // A new replica wins the race to fill a Secret that somebody deleted.
    await deps.client.delete(resources.secrets, secretRef);
    const two = replica(deps);
    await until(deps, () => ready(two));
    for (let step = 0; step < 30; step += 1) {
      await pass(deps, 3_000);
      const cas = await trusted(deps);
      expect([one, two].map(({ current }) => isTrusted(current(), cas))).toEqual([true, true]);
    }
    expect(one.current().fingerprint256).toBe(two.current().fingerprint256);
    await one.end();
    await two.end();
  });

  test("a Secret of that name that is not Tabard's is never overwritten", async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    await deps.client.create(resources.secrets, { metadata: secretRef, type: 'Opaque', data: { mine: 'eA==' } });
    const one = replica(deps);
    await pass(deps, minute);
    expect((await deps.client.get(resources.secrets, secretRef)).data).toEqual({ mine: 'eA==' });
    expect(one.serving.obstacles()).toEqual(['no_certificate']);
    expect(deps.lines.some((line) => line.msg === 'cannot keep the serving certificate; trying again')).toBe(true);
    await one.end();
  });

  test('an API server that is away changes nothing about what is served', async () => {
    const deps = kubeDeps();
    await makeConfiguration(deps);
    const one = replica(deps);
    await until(deps, () => ready(one));
    deps.client.onCall = () => {
      throw new KubeError('Unavailable', 'away');
    };
    for (let round = 0; round < 10; round += 1) await pass(deps, minute);
    expect(one.serving.obstacles()).toEqual([]);
    deps.client.onCall = () => undefined;
    for (let round = 0; round < 15; round += 1) await pass(deps, minute);
    expect(one.served.length).toBeGreaterThan(1);
    await one.end();
  });
});

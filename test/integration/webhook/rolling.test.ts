// The webhook beside other webhooks, and under a stream of pods while its certificates change and its replicas are replaced.
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { names } from '../../../lib/api/contract.ts';
import type { KubeInput, KubeObject } from '../../../lib/kube/object.ts';
import { type Resource, resources } from '../../../lib/kube/resources.ts';
import { createLogger } from '../../../lib/runtime/logger.ts';
import { certificatesOf } from '../../../webhook/cabundle.ts';
import { arrayAt, type Json, type JsonObject, objectAt, stringAt, stringsAt } from '../../../webhook/json.ts';
import { afterStep } from '../../../webhook/material.ts';
import type { PatchOperation } from '../../../webhook/patch.ts';
import { knownProbes } from '../../../webhook/probes.ts';
import { formatReview, parseReview } from '../../../webhook/review.ts';
import { type AdmissionServer, startAdmissionServer } from '../../../webhook/server.ts';
import {
  eventually,
  makeNamespace,
  ownNamespace,
  type Replica,
  startWebhookCluster,
  type WebhookCluster,
} from '../../support/webhookcluster.ts';
import { deployment } from '../../support/webhookobjects.ts';

/** Lives so short that all of a year happens within the test. */
const shortLives = {
  TABARD_CERTIFICATE_LIFETIME: '9s',
  TABARD_CA_LIFETIME: '36s',
  TABARD_CA_OVERLAP: '4s',
  TABARD_SERVING_PERIOD: '500ms',
  // The balancer of a busy machine takes its time to notice that a replica leaves.
  TABARD_DRAIN: '6s',
};

let cluster: WebhookCluster;
let replicas: Replica[] = [];
let other: AdmissionServer;

beforeAll(async () => {
  cluster = await startWebhookCluster();
  replicas = [await cluster.startReplica(shortLives), await cluster.startReplica(shortLives)];
  await cluster.untilReady();
  await makeNamespace(cluster.client, 'shop');
}, 120_000);

afterAll(async () => {
  await other?.close();
  await cluster?.stop();
}, 60_000);

let counter = 0;
async function createPod(annotations: JsonObject = {}, spec: JsonObject = {}): Promise<JsonObject> {
  counter += 1;
  const object = {
    metadata: { name: `p-${counter}`, namespace: 'shop', annotations: { 'tabard.dev/inject': 'true', ...annotations } },
    spec: { containers: [{ name: 'web', image: 'web' }], ...spec },
  };
  return (await cluster.client.create(resources.pods, object)) as unknown as JsonObject;
}
const initNames = (pod: JsonObject) => arrayAt(pod, 'spec', 'initContainers').map((each) => stringAt(each, 'name'));

/** A webhook of somebody else, called after ours, that changes pods as their annotation `other` tells. */
async function startOther(): Promise<void> {
  const settings = {
    namespace: 'shop',
    trustDomain: 'x',
    clusterDomain: 'x',
    extraNames: ['localhost'],
    caLifetimeMs: 3_600_000,
    certificateLifetimeMs: 3_600_000,
    overlapMs: 0,
  };
  const material = await afterStep('create', undefined, settings, new Date());
  const added = { name: 'added', image: 'other', livenessProbe: { tcpSocket: { port: 7000 } } };
  const changes: Readonly<Record<string, PatchOperation>> = {
    container: { op: 'add', path: '/spec/containers/-', value: added },
    init: {
      op: 'add',
      path: '/spec/initContainers/0',
      value: { ...added, restartPolicy: 'Always', startupProbe: { httpGet: { path: '/', port: 7000 } } },
    },
    hostNetwork: { op: 'add', path: '/spec/hostNetwork', value: true },
    port: { op: 'add', path: '/spec/containers/-', value: { ...added, ports: [{ containerPort: 16_020 }] } },
    mirror: { op: 'replace', path: '/spec/initContainers/1/image', value: 'mirror.example/tabard' },
  };
  const done = (pod: JsonObject) =>
    JSON.stringify(objectAt(pod, 'spec')).includes('"name":"added"') ||
    stringAt(pod, 'spec', 'initContainers', 1, 'image')?.startsWith('mirror') === true;
  other = await startAdmissionServer({
    port: 0,
    credentials: material,
    logger: createLogger({ name: 'other', level: 'silent' }),
    paths: ['/'],
    onFailure: () => undefined,
    answer: (_path, body) => {
      const review = parseReview(body);
      const change = changes[stringsAt(review.object, 'metadata', 'annotations')['other'] ?? ''];
      const operations = change === undefined || done(review.object) ? [] : [change];
      return JSON.stringify(formatReview(review.uid, { allowed: true, operations, warnings: [], audit: {} }));
    },
  });
  const entry = {
    name: 'zz.other.example',
    clientConfig: {
      url: `https://localhost:${other.port}/`,
      caBundle: Buffer.from(material.authority.certificate).toString('base64'),
    },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'], scope: 'Namespaced' }],
    matchConditions: [{ name: 'asked', expression: "'other' in object.metadata.?annotations.orValue({})" }],
    failurePolicy: 'Fail',
    reinvocationPolicy: 'IfNeeded',
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  };
  await cluster.client.create(resources.mutatingwebhookconfigurations, {
    metadata: { name: 'zz-other' },
    webhooks: [entry],
  });
  await eventually(
    'the other webhook is called',
    async () => arrayAt(await createPod({ other: 'container' }), 'spec', 'containers').length === 2,
  );
}

describe('another webhook that runs after ours', () => {
  beforeAll(startOther, 30_000);

  test('adds a container: its probe is carried out by the sidecar too', async () => {
    const pod = await createPod(
      { other: 'container' },
      { containers: [{ name: 'web', image: 'web', readinessProbe: { httpGet: { path: '/', port: 80 } } }] },
    );
    expect(objectAt(pod, 'spec', 'containers', 1, 'livenessProbe', 'httpGet')).toMatchObject({
      path: '/probe/added/liveness',
      port: 16_020,
    });
    expect(knownProbes(pod).map((each) => each.id)).toEqual(['web/readiness', 'added/liveness']);
  });

  test('puts a sidecar before ours: ours move back to the front', async () => {
    const pod = await createPod({ other: 'init' });
    expect(initNames(pod)).toEqual(['tabard-redirect', 'tabard-proxy', 'added']);
    expect(knownProbes(pod).map((each) => each.id)).toEqual(['added/liveness', 'added/startup']);
  });

  test('changes our image: that stays', async () => {
    expect(stringAt(await createPod({ other: 'mirror' }), 'spec', 'initContainers', 1, 'image')).toBe(
      'mirror.example/tabard',
    );
  });

  test.each([
    { other: 'hostNetwork', message: /another webhook set hostNetwork after injection/ },
    { other: 'port', message: /container "added" uses port 16020/ },
  ])('cannot make a pod unsafe after injection: $other', async ({ other, message }) => {
    await expect(createPod({ other })).rejects.toThrow(message);
  });
});

describe('a caBundle', () => {
  const configuration = () =>
    cluster.client.get(resources.mutatingwebhookconfigurations, { name: names.webhookConfiguration });

  test('that was emptied, as by applying an old manifest, is filled within a second or two', async () => {
    const { webhooks = [] } = await configuration();
    const emptied = webhooks.map((entry) => ({ ...entry, clientConfig: { url: entry.clientConfig.url } }));
    await cluster.client.patch(
      resources.mutatingwebhookconfigurations,
      { name: names.webhookConfiguration },
      { webhooks: emptied },
    );
    const started = performance.now();
    await eventually(
      'every entry has one',
      async () =>
        ((await configuration()).webhooks ?? []).every(
          (entry) => certificatesOf(entry.clientConfig.caBundle).length > 0,
        ),
      5_000,
    );
    console.log(`caBundle filled after ${Math.round(performance.now() - started)} ms`);
    await eventually('pods are injected', async () =>
      createPod().then(
        (pod) => initNames(pod).length === 2,
        () => false,
      ),
    );
  });

  test('does not stop an upgrade that takes an entry away', async () => {
    const rendered = (await configuration()) as unknown as JsonObject;
    const entries = arrayAt(rendered, 'webhooks').map(
      (entry): Json => ({ ...objectAt(entry), clientConfig: { url: stringAt(entry, 'clientConfig', 'url') ?? '' } }),
    );
    const apply = (webhooks: readonly Json[]) =>
      cluster.plane.kubectl(['apply', '--server-side', '--field-manager=helm', '--force-conflicts', '-f', '-'], {
        input: JSON.stringify({
          apiVersion: 'admissionregistration.k8s.io/v1',
          kind: 'MutatingWebhookConfiguration',
          metadata: { name: names.webhookConfiguration },
          webhooks,
        }),
      });
    await apply(entries.slice(0, -1));
    expect((await configuration()).webhooks).toHaveLength(entries.length - 1);
    await apply(entries);
    await eventually('the entry that came back has a bundle', async () =>
      ((await configuration()).webhooks ?? []).every((entry) => certificatesOf(entry.clientConfig.caBundle).length > 0),
    );
  });
});

describe('under a stream of pods', () => {
  test('certificates and CAs change and every replica is replaced, and no pod is refused or un-injected', async () => {
    const stop = new AbortController();
    const outcome = { created: 0, bare: 0, failed: [] as string[] };
    const times: number[] = [];
    const worker = async () => {
      while (!stop.signal.aborted) {
        const before = performance.now();
        try {
          const pod = await createPod();
          if (initNames(pod).length === 2) outcome.created += 1;
          else outcome.bare += 1;
        } catch (error) {
          outcome.failed.push(String(error));
        }
        times.push(performance.now() - before);
        await delay(20);
      }
    };
    const workers = Array.from({ length: 4 }, worker);
    const cas = new Set<string>();
    const watch = (async () => {
      while (!stop.signal.aborted) {
        const { webhooks = [] } = await cluster.client.get(resources.mutatingwebhookconfigurations, {
          name: names.webhookConfiguration,
        });
        for (const each of certificatesOf(webhooks[0]?.clientConfig.caBundle)) cas.add(each.fingerprint256);
        await delay(500);
      }
    })();
    const codes: (number | null)[] = [];
    for (let round = 0; round < 2; round += 1) {
      for (const old of replicas.splice(0)) {
        const next = await cluster.startReplica(shortLives);
        await eventually('the new replica is ready', () => next.ready());
        await delay(500);
        codes.push(await old.stop());
        replicas.push(next);
        await delay(1_000);
      }
    }
    stop.abort();
    await Promise.all([...workers, watch]);
    times.sort((a, b) => a - b);
    const at = (part: number) => Math.round(times[Math.floor(times.length * part)] ?? 0);
    const changes = replicas.flatMap((each) =>
      each.lines.filter((line) => line['msg'] === 'serving with a new certificate'),
    ).length;
    console.log(
      `${outcome.created} pods, ${outcome.failed.length} failed; create p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; ${cas.size} CAs, ${changes} certificates on the last two replicas, 4 replicas replaced`,
    );
    expect({ bare: outcome.bare, failed: outcome.failed, codes }).toEqual({ bare: 0, failed: [], codes: [0, 0, 0, 0] });
    expect(outcome.created).toBeGreaterThan(50);
    expect(cas.size).toBeGreaterThanOrEqual(2);
    expect(changes).toBeGreaterThanOrEqual(3);
  }, 300_000);

  test('the Secret that both share can be deleted meanwhile: it comes back, and nothing else happens', async () => {
    const ref = { namespace: ownNamespace, name: names.webhookSecret };
    await cluster.client.delete(resources.secrets, ref);
    await eventually(
      'the Secret is back',
      () =>
        cluster.client.get(resources.secrets, ref).then(
          () => true,
          () => false,
        ),
      60_000,
    );
    expect(initNames(await createPod())).toHaveLength(2);
  }, 90_000);
});

const asked = { 'tabard.dev/inject': 'true' };
const isInjected = (pod: JsonObject) => initNames(pod).join() === 'tabard-redirect,tabard-proxy';
const create = async <T extends KubeObject>(resource: Resource<T>, object: JsonObject): Promise<JsonObject> =>
  (await cluster.client.create(resource, object as unknown as KubeInput)) as unknown as JsonObject;
const kubectl = (...args: readonly string[]) => cluster.plane.kubectl(args);
const refusal = (attempt: Promise<unknown>) =>
  attempt.then(
    () => 'admitted',
    (error: Error) => error.message,
  );
const pod = (namespace: string, annotations: JsonObject = {}, spec: JsonObject = {}): JsonObject => {
  counter += 1;
  const metadata = { name: `p-${counter}`, namespace, annotations };
  return { metadata, spec: { containers: [{ name: 'web', image: 'web' }], ...spec } };
};

describe('with every replica dead', () => {
  beforeAll(async () => {
    await makeNamespace(cluster.client, 'labelled', { 'tabard.dev/injection': 'enabled' });
    await create(resources.deployments, deployment('shop', 'applied', asked));
    await Promise.all(replicas.map((each) => each.stop('SIGKILL')));
  }, 30_000);

  test('only who asked is held back', async () => {
    for (const each of [
      pod('shop'),
      pod('labelled', { 'tabard.dev/inject': 'false' }),
      pod('kube-system'),
      pod(ownNamespace),
    ]) {
      expect(isInjected(await create(resources.pods, each))).toBe(false);
    }
    await create(resources.deployments, deployment('shop', 'plain'));
    await kubectl('scale', 'deployment', '-n', 'shop', 'applied', '--replicas=2');
    expect(await refusal(create(resources.pods, pod('shop', asked)))).toMatch(
      /failed calling webhook "pods.tabard.dev"/,
    );
    expect(await refusal(create(resources.pods, pod('labelled')))).toMatch(
      /failed calling webhook "namespaces.tabard.dev"/,
    );
    expect(await refusal(create(resources.deployments, deployment('shop', 'waits', asked)))).toMatch(
      /failed calling webhook "workloads.tabard.dev"/,
    );
  });

  test('nobody waits who can never be injected, though it asked', async () => {
    const mirror = { ...asked, 'kubernetes.io/config.mirror': 'x' };
    for (const each of [
      pod('kube-system', asked),
      pod(ownNamespace, asked),
      pod('shop', asked, { hostNetwork: true }),
      pod('labelled', {}, { hostNetwork: true }),
      pod('shop', mirror, { nodeName: 'n', automountServiceAccountToken: false }),
    ]) {
      expect(isInjected(await create(resources.pods, each))).toBe(false);
    }
  });

  test('an annotated Deployment can still be deleted, in the foreground too', async () => {
    await kubectl(
      'delete',
      'deployment',
      '-n',
      'shop',
      'applied',
      '--cascade=foreground',
      '--wait=true',
      '--timeout=20s',
    );
    await expect(
      cluster.client.get(resources.deployments, { namespace: 'shop', name: 'applied' }),
    ).rejects.toMatchObject({ kind: 'NotFound' });
  }, 30_000);

  test('a new replica takes over, though the CA of the old ones has ended meanwhile', async () => {
    const next = await cluster.startReplica();
    await cluster.untilReady();
    expect(isInjected(await create(resources.pods, pod('shop', asked)))).toBe(true);
    expect(await next.stop()).toBe(0);
  }, 30_000);
});

// The webhook under a real API server and controller manager: every golden pod admitted, workload objects followed through their
// controllers, dry runs, and who is called at all.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { isKube } from '../../../lib/kube/errors.ts';
import type { KubeInput, KubeObject } from '../../../lib/kube/object.ts';
import { type Resource, resources } from '../../../lib/kube/resources.ts';
import { arrayAt, type JsonObject, objectAt, stringAt, stringsAt } from '../../../webhook/json.ts';
import { goldenFolder, goldenPods } from '../../support/webhook.ts';
import {
  eventually,
  makeNamespace,
  ownNamespace,
  startWebhookCluster,
  type WebhookCluster,
} from '../../support/webhookcluster.ts';
import { deployment, missing, withoutToken } from '../../support/webhookobjects.ts';

let cluster: WebhookCluster;

beforeAll(async () => {
  cluster = await startWebhookCluster();
  await cluster.startReplica();
  await cluster.untilReady();
  await makeNamespace(cluster.client, 'shop');
  await makeNamespace(cluster.client, 'labelled', { 'tabard.dev/injection': 'enabled' });
  await makeNamespace(cluster.client, 'out', { 'tabard.dev/injection': 'disabled' });
  await makeNamespace(cluster.client, 'strict', { 'pod-security.kubernetes.io/enforce': 'baseline' });
}, 120_000);

afterAll(async () => {
  await cluster?.stop();
}, 60_000);

const create = async <T extends KubeObject>(
  resource: Resource<T>,
  object: JsonObject,
  dryRun = false,
): Promise<JsonObject> =>
  (await cluster.client.create(resource, object as unknown as KubeInput, { dryRun })) as unknown as JsonObject;
const read = async <T extends KubeObject>(
  resource: Resource<T>,
  namespace: string,
  name: string,
): Promise<JsonObject> => (await cluster.client.get(resource, { namespace, name })) as unknown as JsonObject;
const list = async <T extends KubeObject>(resource: Resource<T>, namespace: string): Promise<readonly JsonObject[]> =>
  (await cluster.client.list(resource, { namespace })).items as unknown as readonly JsonObject[];
const refusal = async (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => 'admitted',
    (error: unknown) => (isKube(error, 'Forbidden', 'Invalid', 'Unavailable') ? error.message : Promise.reject(error)),
  );
const kubectl = (...args: readonly string[]) => cluster.plane.kubectl(args);
const initNames = (pod: JsonObject | undefined) =>
  arrayAt(pod ?? {}, 'spec', 'initContainers').map((each) => stringAt(each, 'name'));
const isInjected = (pod: JsonObject | undefined) =>
  initNames(pod).slice(0, 2).join() === 'tabard-redirect,tabard-proxy' ||
  stringAt(pod ?? {}, 'metadata', 'labels', 'tabard.dev/injected') === 'certificate';

let counter = 0;
const pod = (namespace: string, annotations: JsonObject = {}, spec: JsonObject = {}): JsonObject => {
  counter += 1;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `p-${counter}`, namespace, annotations },
    spec: { containers: [{ name: 'web', image: 'web' }], ...spec },
  };
};
const asked = { 'tabard.dev/inject': 'true' };

describe('golden pods on the real API server', () => {
  test.each(goldenPods())('$name is admitted as expected.yaml says', async ({ name, pod }) => {
    const expected = parse(readFileSync(join(goldenFolder, name, 'expected.yaml'), 'utf8')) as JsonObject;
    const stated = stringsAt(pod, 'metadata', 'annotations')['tabard.dev/inject'];
    const namespace = stringAt(pod, 'metadata', 'namespace') ?? (stated === undefined ? 'labelled' : 'shop');
    const podName = stringAt(pod, 'metadata', 'name');
    const metadata = { ...objectAt(pod, 'metadata'), namespace, ...(podName === undefined ? {} : { name: podName }) };
    if (podName !== undefined)
      await cluster.client
        .delete(resources.pods, { namespace, name: podName }, { propagation: 'Background' })
        .catch(() => undefined);
    const attempt = create(resources.pods, { ...pod, metadata });
    if (expected['outcome'] === 'refused') {
      expect(await refusal(attempt)).toContain(stringAt(expected, 'message'));
      return;
    }
    const stored = await attempt;
    const wanted = objectAt(expected, 'pod');
    if (expected['outcome'] === 'skipped') expect(isInjected(stored)).toBe(false);
    // The API server drops fields that it does not know before the webhook sees them; the unit tests hold that case.
    else if (wanted !== undefined && name !== 'fields-from-the-future')
      expect(missing(withoutToken(wanted), withoutToken(stored))).toEqual([]);
    else expect(isInjected(stored)).toBe(true);
    const uid = stringAt(stored, 'metadata', 'uid') ?? '';
    const storedName = stringAt(stored, 'metadata', 'name') ?? '';
    // The garbage collector takes those with an owner that is not there.
    await cluster.client.delete(resources.pods, { namespace, name: storedName }, { uid }).catch(() => undefined);
  });
});

describe('what is in a stored pod', () => {
  test('the application has its service account token, the containers of Tabard have none', async () => {
    const stored = await create(
      resources.pods,
      pod('shop', asked, { initContainers: [{ name: 'init', image: 'init' }] }),
    );
    const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';
    const mounts = ['initContainers', 'containers'].flatMap((each) =>
      arrayAt(stored, 'spec', each).map((container) => {
        const mount = arrayAt(container, 'volumeMounts').find((one) => stringAt(one, 'mountPath') === tokenPath);
        return `${stringAt(container, 'name')}: ${stringAt(mount ?? {}, 'name')?.replace(/^(kube-api-access)-\w{5}$/, '$1-x')}`;
      }),
    );
    expect(mounts).toEqual([
      'tabard-redirect: tabard-state',
      'tabard-proxy: tabard-state',
      'init: kube-api-access-x',
      'web: kube-api-access-x',
    ]);
  });

  test('a pod with a budget of its own is valid with ours in it', async () => {
    const spec = { resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '1', memory: '256Mi' } } };
    expect(
      isInjected(
        await create(
          resources.pods,
          pod('shop', asked, {
            ...spec,
            containers: [{ name: 'web', image: 'web', resources: { requests: { cpu: '100m', memory: '128Mi' } } }],
          }),
        ),
      ),
    ).toBe(true);
  });

  test('a dry run is injected, stored nowhere, and leaves no event', async () => {
    const object = { ...pod('shop', asked), metadata: { name: 'dry', namespace: 'shop', annotations: asked } };
    expect(isInjected(await create(resources.pods, object, true))).toBe(true);
    await expect(read(resources.pods, 'shop', 'dry')).rejects.toMatchObject({ kind: 'NotFound' });
    const wet = await create(resources.pods, { ...object, metadata: { ...object.metadata, name: 'wet' } });
    const eventsOf = async (name: string) =>
      (await list(resources.events, 'shop')).filter((event) => stringAt(event, 'regarding', 'name') === name);
    await eventually('an event for the pod that was stored', async () => (await eventsOf('wet')).length > 0);
    expect(await eventsOf('dry')).toEqual([]);
    expect((await eventsOf('wet'))[0]).toMatchObject({
      reason: 'Injected',
      reportingController: 'tabard.dev/webhook',
      note: 'the pod belongs to service wet',
    });
    expect(stringAt(wet, 'metadata', 'annotations', 'tabard.dev/service')).toBe('wet');
  });
});

describe('who is injected', () => {
  test.each<{ name: string; namespace: string; annotations: JsonObject; spec?: JsonObject; injected: boolean }>([
    { name: 'a pod that asks', namespace: 'shop', annotations: asked, injected: true },
    { name: 'a pod that does not', namespace: 'shop', annotations: {}, injected: false },
    { name: 'a pod in a namespace that asks', namespace: 'labelled', annotations: {}, injected: true },
    {
      name: 'a pod that opts out there',
      namespace: 'labelled',
      annotations: { 'tabard.dev/inject': 'false' },
      injected: false,
    },
    { name: 'a pod that asks there as well', namespace: 'labelled', annotations: asked, injected: true },
    {
      name: 'a pod on the host network there',
      namespace: 'labelled',
      annotations: {},
      spec: { hostNetwork: true },
      injected: false,
    },
    { name: 'a pod that asks in a namespace that opted out', namespace: 'out', annotations: asked, injected: false },
    { name: 'a pod that asks in kube-system', namespace: 'kube-system', annotations: asked, injected: false },
    { name: "a pod that asks in Tabard's namespace", namespace: ownNamespace, annotations: asked, injected: false },
  ])('$name: $injected', async ({ namespace, annotations, spec, injected }) => {
    expect(isInjected(await create(resources.pods, pod(namespace, annotations, spec)))).toBe(injected);
  });

  test('every pod that asked and was not injected has an event with the reason', async () => {
    const notes = async () =>
      (await Promise.all(['labelled', 'out', 'kube-system', ownNamespace].map((each) => list(resources.events, each))))
        .flat()
        .filter((event) => stringAt(event, 'reason') === 'InjectionSkipped')
        .map((event) => stringAt(event, 'note')?.split(':')[0]);
    await eventually('four reasons', async () => new Set(await notes()).size >= 3);
    expect(new Set(await notes())).toEqual(new Set(['host_network', 'namespace_opted_out', 'protected_namespace']));
  });
});

const podsOf = async (namespace: string, app: string) =>
  (await list(resources.pods, namespace)).filter(
    (each) =>
      stringAt(each, 'metadata', 'labels', 'app') === app &&
      objectAt(each, 'metadata', 'deletionTimestamp') === undefined,
  );
const setsOf = async (namespace: string, app: string) =>
  (await list(resources.replicasets, namespace)).filter((each) => stringAt(each, 'metadata', 'labels', 'app') === app);

describe('workload objects and their controllers', () => {
  test('kubectl annotate rolls a running Deployment, and taking the annotation away rolls it back', async () => {
    await create(resources.deployments, deployment('shop', 'web'));
    await eventually('a bare pod', async () => (await podsOf('shop', 'web')).some((each) => !isInjected(each)));
    await kubectl('annotate', 'deployment', '-n', 'shop', 'web', 'tabard.dev/inject=true', 'tabard.dev/proxy-cpu=33m');
    await eventually('an injected pod', async () => (await podsOf('shop', 'web')).some(isInjected));
    const injected = (await podsOf('shop', 'web')).find(isInjected);
    expect(stringAt(injected ?? {}, 'metadata', 'annotations', 'tabard.dev/service')).toBe('web');
    expect(stringAt(injected ?? {}, 'spec', 'initContainers', 1, 'resources', 'requests', 'cpu')).toBe('33m');
    const uids = (await setsOf('shop', 'web')).map((each) => stringAt(each, 'metadata', 'uid'));
    // No fight: after a while there are still the same two ReplicaSets.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect((await setsOf('shop', 'web')).map((each) => stringAt(each, 'metadata', 'uid'))).toEqual(uids);
    expect(uids).toHaveLength(2);
    await kubectl('annotate', 'deployment', '-n', 'shop', 'web', 'tabard.dev/inject-', 'tabard.dev/proxy-cpu-');
    const after = await read(resources.deployments, 'shop', 'web');
    expect(stringsAt(after, 'metadata', 'annotations')['tabard.dev/copied']).toBeUndefined();
    expect(stringsAt(after, 'spec', 'template', 'metadata', 'annotations')).toEqual({});
    const bare = async () =>
      (await setsOf('shop', 'web')).find(
        (each) => stringsAt(each, 'spec', 'template', 'metadata', 'annotations')['tabard.dev/inject'] === undefined,
      );
    await eventually(
      'the first ReplicaSet again',
      async () => objectAt((await bare()) ?? {}, 'spec')?.['replicas'] === 1,
    );
    expect(await setsOf('shop', 'web')).toHaveLength(2);
  }, 60_000);

  test('kubectl apply of a manifest that does not know of the copies keeps them', async () => {
    const manifest = JSON.stringify(deployment('shop', 'applied', asked));
    await cluster.plane.kubectl(['apply', '-f', '-'], { input: manifest });
    const template = async () => objectAt(await read(resources.deployments, 'shop', 'applied'), 'spec', 'template');
    const first = await template();
    expect(stringsAt(first ?? {}, 'metadata', 'annotations')).toEqual(asked);
    for (const way of [['apply'], ['apply', '--server-side', '--force-conflicts'], ['replace']]) {
      await cluster.plane.kubectl([...way, '-f', '-'], { input: manifest });
      expect({ way, template: await template() }).toEqual({ way, template: first });
    }
  });

  test('kubectl rollout undo goes back to the time before the annotation', async () => {
    await create(resources.deployments, deployment('shop', 'undone'));
    await eventually('its ReplicaSet', async () => (await setsOf('shop', 'undone')).length === 1);
    await kubectl('annotate', 'deployment', '-n', 'shop', 'undone', 'tabard.dev/inject=true');
    await eventually('a second one', async () => (await setsOf('shop', 'undone')).length === 2);
    await kubectl('rollout', 'undo', '-n', 'shop', 'deployment/undone');
    const after = await read(resources.deployments, 'shop', 'undone');
    expect(stringsAt(after, 'spec', 'template', 'metadata', 'annotations')['tabard.dev/inject']).toBeUndefined();
    expect(stringsAt(after, 'metadata', 'annotations')['tabard.dev/inject']).toBeUndefined();
  });

  test('a StatefulSet, a DaemonSet, a ReplicaSet and a Job give their pods the service of their name', async () => {
    const template = (app: string, extra: JsonObject = {}) => ({
      metadata: { labels: { app } },
      spec: { containers: [{ name: 'web', image: 'web' }], ...extra },
    });
    const meta = (name: string) => ({ name, namespace: 'shop', annotations: asked });
    await create(resources.statefulsets, {
      metadata: meta('db'),
      spec: { serviceName: 'db', selector: { matchLabels: { app: 'db' } }, template: template('db') },
    });
    await create(resources.replicasets, {
      metadata: meta('rs'),
      spec: { selector: { matchLabels: { app: 'rs' } }, template: template('rs') },
    });
    await create(resources.jobs, {
      metadata: meta('once'),
      spec: { template: template('once', { restartPolicy: 'Never' }) },
    });
    await create(resources.daemonsets, {
      metadata: meta('agent'),
      spec: { selector: { matchLabels: { app: 'agent' } }, template: template('agent') },
    });
    for (const app of ['db', 'rs', 'once']) {
      await eventually(`a pod of ${app}`, async () => (await podsOf('shop', app)).length > 0);
      const [found] = await podsOf('shop', app);
      expect({
        app,
        injected: isInjected(found),
        service: stringAt(found ?? {}, 'metadata', 'annotations', 'tabard.dev/service'),
      }).toEqual({ app, injected: true, service: app });
    }
    // No node, so no pod of a DaemonSet; its template tells.
    expect(
      stringsAt(await read(resources.daemonsets, 'shop', 'agent'), 'spec', 'template', 'metadata', 'annotations'),
    ).toEqual(asked);
  }, 60_000);

  test.each([
    { namespace: 'shop', annotations: asked },
    { namespace: 'labelled', annotations: {} },
  ])(
    'the Jobs of a CronJob in $namespace belong to one service, whatever their names',
    async ({ namespace, annotations }) => {
      const job = {
        spec: {
          template: {
            metadata: { labels: { app: 'report' } },
            spec: { restartPolicy: 'Never', containers: [{ name: 'r', image: 'r' }] },
          },
        },
      };
      await create(resources.cronjobs, {
        metadata: { name: 'report', namespace, annotations },
        spec: { schedule: '0 0 1 1 *', jobTemplate: job },
      });
      await kubectl('create', 'job', '-n', namespace, '--from=cronjob/report', 'by-hand');
      await eventually('its pod', async () => (await podsOf(namespace, 'report')).length > 0);
      const [found] = await podsOf(namespace, 'report');
      expect({
        injected: isInjected(found),
        service: stringAt(found ?? {}, 'metadata', 'annotations', 'tabard.dev/service'),
      }).toEqual({ injected: true, service: 'report' });
    },
  );

  test('a bad annotation refuses the Deployment itself, with annotation, value and what is accepted', async () => {
    const said = await cluster.plane
      .kubectl(['create', '-f', '-'], {
        input: JSON.stringify(deployment('shop', 'bad', { ...asked, 'tabard.dev/proxy-cpu': 'lots' })),
      })
      .then(
        () => 'admitted',
        (error: Error) => error.message,
      );
    expect(said).toMatch(
      /admission webhook "workloads.tabard.dev" denied the request: annotation tabard.dev\/proxy-cpu: "lots" is not accepted; it takes a CPU request/,
    );
  });

  test('kubectl is warned of Pod Security and of a Job that exists', async () => {
    // Warnings go to standard error, which is shown only with the failure of a command: --warnings-as-errors makes them one.
    const warned = (args: readonly string[], input?: JsonObject) =>
      cluster.plane
        .kubectl([...args, '--warnings-as-errors'], input === undefined ? {} : { input: JSON.stringify(input) })
        .then(
          () => 'nothing',
          (error: Error) => error.message,
        );
    expect(await warned(['create', '-f', '-'], deployment('strict', 'web', asked))).toMatch(
      /tabard: namespace strict enforces Pod Security "baseline"/,
    );
    expect(await warned(['create', '-f', '-'], deployment('kube-system', 'web', asked))).toMatch(
      /tabard: not injected: namespace kube-system is never injected/,
    );
    await create(resources.jobs, {
      metadata: { name: 'old', namespace: 'shop' },
      spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'x', image: 'x' }] } } },
    });
    expect(await warned(['annotate', 'job', '-n', 'shop', 'old', 'tabard.dev/inject=true'])).toMatch(
      /a Job's pod template cannot change/,
    );
  });
});

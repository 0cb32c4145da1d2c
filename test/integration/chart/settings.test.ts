// The environment that the chart gives to the processes is the one that they read: names, forms, and every value arrives.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { readConfig as readOperatorConfig } from '../../../operator/config.ts';
import { readConfig as readWebhookConfig } from '../../../webhook/config.ts';
import { type Helm, openHelm } from '../../support/helm.ts';

// Each test starts processes, beside whatever else this machine does.
jest.setTimeout(60_000);

const root = resolve(import.meta.dirname, '../../..');
let helm: Helm;

beforeAll(async () => {
  helm = await openHelm();
}, 300_000);

afterAll(() => {
  helm?.close();
});

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
}

/** The environment of a part's container; fields of the pod appear as their paths. */
async function environment(part: string, ...values: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const objects = await helm.render(...values);
  const found = objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === `tabard-${part}`);
  if (found === undefined) throw new Error(`there is no Deployment tabard-${part}`);
  const { template } = found['spec'] as {
    template: { spec: { containers: readonly [{ env: readonly Variable[] }] } };
  };
  return Object.fromEntries(
    template.spec.containers[0].env.map(({ name, value, valueFrom }) => [
      name,
      value ?? valueFrom?.fieldRef.fieldPath ?? '',
    ]),
  );
}

const changed = [
  'trustDomain=mesh.example',
  'clusterDomain=k8s.example',
  'clusterRanges={10.0.0.0/8,fd00::/8}',
  'logLevel=debug',
  'jwks.hosts={login.example.com}',
  'testing.minimumLifetime=5s',
  'issuer.lifetime=365d',
];

describe('the operator', () => {
  test('reads the defaults of the chart', async () => {
    expect(readOperatorConfig(await environment('operator'))).toEqual({
      ...readOperatorConfig({ TABARD_NAMESPACE: 'metadata.namespace', TABARD_POD_NAME: 'metadata.name' }),
    });
  });

  test('gets every value', async () => {
    expect(readOperatorConfig(await environment('operator', ...changed))).toMatchObject({
      namespace: 'metadata.namespace',
      podName: 'metadata.name',
      trustDomain: 'mesh.example',
      clusterDomain: 'k8s.example',
      clusterRanges: ['10.0.0.0/8', 'fd00::/8'],
      jwksHosts: ['login.example.com'],
      logLevel: 'debug',
      minimumLifetimeMs: 5_000,
      defaultIssuer: { lifetimeMs: 365 * 86_400_000 },
    });
  });

  test('makes no issuer when told so', async () => {
    expect(readOperatorConfig(await environment('operator', 'issuer.create=false')).defaultIssuer).toBeUndefined();
  });
});

describe('the webhook', () => {
  test('reads the defaults of the chart', async () => {
    const given = await environment('webhook');
    const least = {
      TABARD_NAMESPACE: 'metadata.namespace',
      TABARD_POD_NAME: 'metadata.name',
      TABARD_IMAGE: given['TABARD_IMAGE'],
    };
    expect(readWebhookConfig(given)).toEqual({ ...readWebhookConfig(least) });
  });

  test('gets every value', async () => {
    const config = readWebhookConfig(
      await environment(
        'webhook',
        ...changed,
        'image.repository=registry.example/tabard,image.tag=v9,image.pullPolicy=Always',
        'sidecar.imagePullSecrets={one,two}',
        'sidecar.relay=Public',
        'sidecar.workers=4',
        'sidecar.cpu=50m/1',
        'sidecar.memory=128Mi/256Mi',
        'sidecar.logLevel=trace',
        'sidecar.logFormat=ECS',
      ),
    );
    expect(config).toMatchObject({ podName: 'metadata.name', logLevel: 'debug' });
    expect(config.sidecar).toEqual({
      namespace: 'metadata.namespace',
      image: 'registry.example/tabard:v9',
      imagePullPolicy: 'Always',
      imagePullSecrets: ['one', 'two'],
      trustDomain: 'mesh.example',
      controlAddress: 'tabard-operator.metadata.namespace.svc.k8s.example:16010',
      relay: 'Public',
      workers: '4',
      logFormat: 'ECS',
      defaults: {
        cpu: { request: '50m', limit: '1' },
        memory: { request: '128Mi', limit: '256Mi' },
        logLevel: 'trace',
      },
    });
    expect(config.serving).toMatchObject({ trustDomain: 'mesh.example', clusterDomain: 'k8s.example' });
  });

  test('is given more time to stop than it takes for its drain', async () => {
    const found = (await helm.render()).find(
      ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'tabard-webhook',
    );
    const spec = found?.['spec'] as { template: { spec: { terminationGracePeriodSeconds: number } } } | undefined;
    const { drainMs } = readWebhookConfig(await environment('webhook'));
    expect((spec?.template.spec.terminationGracePeriodSeconds ?? 0) * 1000).toBeGreaterThan(drainMs + 10_000);
  });
});

describe.each(['operator', 'webhook'])('the %s', (part) => {
  test('is given no variable that it does not read', async () => {
    const source = readFileSync(`${root}/${part}/config.ts`, 'utf8');
    const given = Object.keys(await environment(part));
    // That one is read by the C library.
    const unread = given.filter((name) => !source.includes(`'${name}'`) && name !== 'MALLOC_ARENA_MAX');
    expect(unread).toEqual([]);
  });
});

// Delivery by the operator as a process of its own, on a real API server with its garbage collector: the certificate alone, keystores,
// the trust bundle in both forms, and a sink. There is no kubelet: pods are made by Deployments and stay pending.
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import { run } from '../../../hack/cluster/run.ts';
import { opensWith } from '../../../lib/pki/pkcs12.ts';
import { awsCredentials, awsRegion, startAws, type TestAws } from '../../support/moto.ts';
import { type OperatorProcess, startOperatorProcess } from '../../support/operator.ts';

const minute = 60_000;
const crds = resolve(import.meta.dirname, '../../../crds');
const folder = mkdtempSync(join(tmpdir(), 'tabard-delivery-'));
let plane: ControlPlane;
let aws: TestAws;
let operator: OperatorProcess;

async function apply(...items: readonly object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await plane.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input });
}
const secret = (namespace: string, name: string, stringData: object) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace },
  stringData,
});
const namespace = (name: string, labels: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});

beforeAll(async () => {
  [plane, aws] = await Promise.all([startControlPlane({ controllerManager: true }), startAws()]);
  await plane.kubectl(['apply', '--server-side', '-f', crds]);
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  await apply(namespace('tabard-system'), namespace('shop', { 'tabard.dev/trust-bundle': 'enabled' }));
  const sink = { region: awsRegion, endpoint: aws.endpoint, prefix: 'mesh', credentialsSecretRef: { name: 'aws' } };
  await apply(
    secret('tabard-system', 'aws', awsCredentials),
    secret('shop', 'keystore', { password: 'changeit' }),
    {
      apiVersion: 'tabard.dev/v1alpha1',
      kind: 'TLSIssuer',
      metadata: { name: 'cluster' },
      spec: { selfSigned: {}, sinks: [{ name: 'aws', awsSecretsManager: sink }] },
    },
    {
      apiVersion: 'tabard.dev/v1alpha1',
      kind: 'TLSPolicy',
      metadata: { name: 'gateway', namespace: 'shop' },
      spec: {
        certificate: {
          keystores: [{ format: 'PKCS12', passwordSecretRef: { name: 'keystore', key: 'password' } }],
          sinks: ['aws'],
        },
      },
    },
    deployment,
  );
  operator = startOperatorProcess({ name: 'op', namespace: 'tabard-system', kubeconfig: plane.kubeconfig });
}, 20 * minute);

afterAll(async () => {
  await operator?.end('SIGTERM');
  await Promise.all([plane?.stop(), aws?.stop()]);
  rmSync(folder, { recursive: true, force: true });
}, 2 * minute);

/** A Deployment as the webhook leaves it. */
const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'gateway', namespace: 'shop' },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: 'gateway' } },
    template: {
      metadata: {
        labels: { app: 'gateway', 'tabard.dev/injected': 'certificate' },
        annotations: { 'tabard.dev/service': 'gateway', 'tabard.dev/injected': '1' },
      },
      spec: { containers: [{ name: 'gateway', image: 'gateway' }] },
    },
  },
};

/** Waits until something is there; fails with the operator's last lines when it is not. */
async function until<T>(see: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + 2 * minute;
  for (;;) {
    const seen = await see().catch(() => undefined);
    if (seen !== undefined) return seen;
    if (Date.now() > deadline) throw new Error(JSON.stringify(operator.lines.slice(-20), undefined, 1));
    await delay(100);
  }
}
const read = async (...args: readonly string[]): Promise<object> =>
  JSON.parse(await plane.kubectl(['get', ...args, '-o', 'json'])) as object;

interface Files {
  readonly uid: string;
  readonly text: (key: string) => string;
  readonly bytes: (key: string) => Buffer;
  readonly keys: readonly string[];
}

/** The Secret, once it has keystores and is another than `not`. */
const files = (not?: string): Promise<Files> =>
  until(async () => {
    const found = (await read('secret', 'tabard-gateway', '-n', 'shop')) as {
      readonly metadata: { readonly uid: string };
      readonly data: Readonly<Record<string, string>>;
    };
    const bytes = (key: string): Buffer => Buffer.from(found.data[key] ?? '', 'base64');
    if (found.metadata.uid === not) return undefined;
    return {
      uid: found.metadata.uid,
      bytes,
      text: (key) => bytes(key).toString(),
      keys: Object.keys(found.data).sort(),
    };
  });

/** The public key of the key in a keystore, by OpenSSL. */
async function keystoreKey(keystore: Buffer): Promise<string> {
  const path = join(folder, 'keystore.p12');
  writeFileSync(path, keystore);
  const pem = await run('openssl', ['pkcs12', '-in', path, '-passin', 'pass:changeit', '-nocerts', '-nodes']);
  return createPublicKey(pem.slice(pem.indexOf('-----BEGIN'))).export({ type: 'spki', format: 'pem' });
}
const publicKey = (certificate: string): string =>
  new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'pem' });

describe('a pod with the certificate alone', () => {
  test(
    'has a Secret with PEM files and keystores of one certificate',
    async () => {
      const { keys, text, bytes } = await files();
      expect(keys).toEqual(['ca.crt', 'keystore.p12', 'tls.crt', 'tls.key', 'truststore.p12']);
      expect(new X509Certificate(text('tls.crt')).subjectAltName).toBe(
        'URI:spiffe://cluster.local/ns/shop/svc/gateway',
      );
      expect(await keystoreKey(bytes('keystore.p12'))).toBe(publicKey(text('tls.crt')));
    },
    5 * minute,
  );

  test(
    'has it back within seconds when it is deleted (cert-manager#296 #897 #4561 #7463), with a new key everywhere (#2402 #7601)',
    async () => {
      const before = await files();
      await plane.kubectl(['delete', 'secret', 'tabard-gateway', '-n', 'shop']);
      const after = await files(before.uid);
      expect(publicKey(after.text('tls.crt'))).not.toBe(publicKey(before.text('tls.crt')));
      expect(createPublicKey(after.text('tls.key')).export({ type: 'spki', format: 'pem' })).toBe(
        publicKey(after.text('tls.crt')),
      );
      expect(await keystoreKey(after.bytes('keystore.p12'))).toBe(publicKey(after.text('tls.crt')));
    },
    5 * minute,
  );

  test(
    'is counted as ready in its policy although it never reports',
    async () => {
      const ready = await until(async () => {
        const { status } = (await read('tlspolicy', 'gateway', '-n', 'shop')) as {
          readonly status?: { readonly servicesReady?: string };
        };
        return status?.servicesReady === '1/1' ? status.servicesReady : undefined;
      });
      expect(ready).toBe('1/1');
    },
    5 * minute,
  );
});

describe('the trust bundle', () => {
  test(
    'is a ConfigMap in the namespace that asks, equal to ca.crt',
    async () => {
      const { data } = await until(
        async () => (await read('configmap', 'tabard-trust', '-n', 'shop')) as { readonly data: object },
      );
      expect(data).toEqual({ 'ca.crt': (await files()).text('ca.crt') });
    },
    5 * minute,
  );

  test(
    'is a ClusterTrustBundle that the API server takes',
    async () => {
      const { spec } = await until(
        async () => (await read('clustertrustbundle', 'tabard.dev:mesh:cluster')) as { readonly spec: object },
      );
      expect(spec).toEqual({ signerName: 'tabard.dev/mesh', trustBundle: (await files()).text('ca.crt') });
    },
    5 * minute,
  );

  test(
    'is taken back when the namespace no longer asks',
    async () => {
      await plane.kubectl(['label', 'namespace', 'shop', 'tabard.dev/trust-bundle-']);
      const left = await until(async () => {
        const names = await plane.kubectl(['get', 'configmaps', '-n', 'shop', '-o', 'name']);
        return names.includes('tabard-trust') ? undefined : names;
      });
      expect(left).not.toContain('tabard-trust');
    },
    5 * minute,
  );
});

describe('a sink', () => {
  test(
    'holds what the Secret holds',
    async () => {
      const secretNow = await files();
      const published = await until(async () => {
        const value = JSON.parse((await aws.value('mesh/shop/gateway')) ?? '{}') as Readonly<Record<string, string>>;
        return value['tls.crt'] === secretNow.text('tls.crt') ? value : undefined;
      });
      expect(published).toMatchObject({
        'tls.key': secretNow.text('tls.key'),
        'ca.crt': secretNow.text('ca.crt'),
        serial: new X509Certificate(secretNow.text('tls.crt')).serialNumber,
      });
    },
    5 * minute,
  );

  test(
    'is said to hold it by the policy',
    async () => {
      const published = await until(async () => {
        const { status } = (await read('tlsp', 'gateway', '-n', 'shop')) as {
          readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
        };
        const condition = status.conditions.find(({ type }) => type === 'Published');
        return condition?.status === 'True' ? condition : undefined;
      });
      expect(published).toMatchObject({ reason: 'Published', message: 'every sink holds the current certificates' });
    },
    5 * minute,
  );
});

describe('another keystore password', () => {
  test(
    'is noticed by itself, long before the next look by time',
    async () => {
      await apply(secret('shop', 'keystore', { password: 'another' }));
      const opened = await until(async () => {
        const keystore = (await files()).bytes('keystore.p12');
        return opensWith(keystore, 'another') ? keystore : undefined;
      });
      expect(opened.length).toBeGreaterThan(0);
    },
    5 * minute,
  );
});

describe('the end of the workload', () => {
  test(
    'takes the Secret with it, and what was published stays',
    async () => {
      await plane.kubectl(['delete', 'deployment', 'gateway', '-n', 'shop']);
      const left = await until(async () => {
        const names = await plane.kubectl(['get', 'secrets', '-n', 'shop', '-o', 'name']);
        return names.includes('tabard-gateway') ? undefined : names;
      });
      expect(left).not.toContain('tabard-gateway');
      expect(await aws.value('mesh/shop/gateway')).toContain('tls.key');
    },
    5 * minute,
  );
});

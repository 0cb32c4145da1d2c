// A signer whose approver is a person, with the operator as a process of its own on a real API server: more services than the operator has
// workers wait, nobody else waits for them, a restart leaves nothing behind, and what is approved late is used. There is no kubelet.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import { systemClock } from '../../../lib/clock.ts';
import { kubeMetrics } from '../../../lib/kube/metrics.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { type Connection, connect } from '../../../lib/kube/rest.ts';
import { Metrics } from '../../../lib/runtime/metrics.ts';
import { OpensslCsrSigner } from '../../support/csrsigner.ts';
import { type OperatorProcess, startOperatorProcess } from '../../support/operator.ts';
import { eventually, stated } from '../../support/remoteissuer.ts';

const minute = 60_000;
/** More than the operator looks at at once. */
const count = 40;
const crds = resolve(import.meta.dirname, '../../../crds');
const folder = mkdtempSync(join(tmpdir(), 'tabard-csrlate-'));
const signerName = 'example.com/mesh';

let plane: ControlPlane;
let connection: Connection;
let signer: OpensslCsrSigner;
let operator: OperatorProcess;

async function apply(...items: readonly object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await plane.kubectl(['apply', '--server-side', '-f', '-'], { input });
}

const issuer = (name: string, spec: object): object => ({
  apiVersion: 'tabard.dev/v1alpha1',
  kind: 'TLSIssuer',
  metadata: { name },
  spec,
});

const pod = (namespace: string, name: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace,
    labels: { app: name, 'tabard.dev/injected': 'certificate' },
    annotations: { 'tabard.dev/service': name, 'tabard.dev/injected': '1' },
  },
  spec: { containers: [{ name: 'app', image: 'app' }] },
});

function start(name: string): OperatorProcess {
  const env = { TABARD_FILE_DELIVERY: '1s' };
  return startOperatorProcess({ name, namespace: 'tabard-system', kubeconfig: plane.kubeconfig, env });
}

beforeAll(async () => {
  plane = await startControlPlane({ controllerManager: true });
  const metrics = kubeMetrics(new Metrics());
  connection = connect({ kubeconfig: plane.kubeconfig, userAgent: 'tabard-test/0', clock: systemClock, metrics });
  signer = new OpensslCsrSigner(connection.client, { signerName, folder });
  await plane.kubectl(['apply', '--server-side', '-f', crds]);
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  for (const name of ['tabard-system', 'late', 'prompt']) await plane.kubectl(['create', 'namespace', name]);
  for (const name of ['late', 'prompt']) {
    await eventually(
      () =>
        plane.kubectl(['get', 'serviceaccount', 'default', '-n', name]).then(
          () => true,
          () => false,
        ),
      () => 'no service account',
    );
  }
  await apply(
    issuer('cluster', { selfSigned: {} }),
    issuer('corp', { kubernetesCSR: { signerName, caBundle: Buffer.from(signer.ca).toString('base64') } }),
    {
      apiVersion: 'tabard.dev/v1alpha1',
      kind: 'TLSPolicy',
      metadata: { name: 'late', namespace: 'late' },
      spec: { certificate: { issuer: 'corp' } },
    },
    ...Array.from({ length: count }, (_, index) => pod('late', `late-${index}`)),
  );
  operator = start('first');
}, 20 * minute);

afterAll(async () => {
  await operator?.end('SIGTERM');
  await signer?.stop();
  connection?.close();
  await plane?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 2 * minute);

const requests = async (): Promise<readonly string[]> =>
  (await connection.client.list(resources.certificatesigningrequests)).items
    .map(({ metadata }) => metadata.name)
    .sort();

/** Chains of the Secrets of a namespace that hold a certificate. */
async function chains(namespace: string): Promise<readonly string[]> {
  const { items } = await connection.client.list(resources.secrets, { namespace });
  return items.flatMap(({ data }) =>
    data?.['tls.crt'] === undefined ? [] : [Buffer.from(data['tls.crt'], 'base64').toString()],
  );
}

const lastLines = (): string => JSON.stringify(operator.lines.slice(-20), undefined, 1);
const ordered = async (): Promise<boolean> => (await requests()).length === count;

test(
  'services that wait for a person hold nobody up, and say for what they wait',
  async () => {
    await eventually(ordered, lastLines, 3 * minute);
    await apply(pod('prompt', 'web'));
    await eventually(async () => (await chains('prompt')).length === 1, lastLines);
    const ready = async () => {
      const policy = await connection.client.get(resources.tlspolicies, { namespace: 'late', name: 'late' });
      return policy.status?.conditions?.find(({ type }) => type === 'Ready');
    };
    await eventually(async () => (await ready())?.reason === 'OrderPending', lastLines);
    expect((await ready())?.message).toContain('to signer example.com/mesh waits to be approved');
    expect(await chains('late')).toEqual([]);
  },
  6 * minute,
);

test(
  'an operator that is killed leaves no request behind for its successor, which asks anew with other keys',
  async () => {
    const before = await requests();
    await operator.end('SIGKILL');
    operator = start('second');
    await eventually(
      async () => {
        const now = await requests();
        return now.length === count && now.every((name) => !before.includes(name));
      },
      lastLines,
      3 * minute,
    );
  },
  6 * minute,
);

test(
  'what is approved after a while is used',
  async () => {
    // Longer than an order could ever be waited for by one who stands by it.
    await systemClock.sleep(35_000);
    expect(await requests()).toHaveLength(count);
    signer.start({ approve: true });
    await eventually(async () => (await chains('late')).length === count, lastLines, 4 * minute);
    for (const chain of await chains('late')) expect(stated(chain).issuer).toBe('CN=Another CA');
    await eventually(async () => (await requests()).length === 0, lastLines);
  },
  6 * minute,
);

// The signer of pod certificates on a real API server, under the account that the chart gives the operator. Requests come with a
// kubelet's credentials (NodeRestriction judges them first), or from somebody who may write whatever he likes.
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import { createRequest } from '../../../lib/pki/csr.ts';
import { generateKey, privateKeyPem } from '../../../lib/pki/keys.ts';
import { judgeCredentials } from '../../../lib/runtime/credentials.ts';
import { chart, openHelm } from '../../support/helm.ts';
import { type OperatorProcess, startOperatorProcess } from '../../support/operator.ts';
import { certificateVolume } from '../../support/podcertificates.ts';

jest.setTimeout(240_000);

const system = 'tabard-system';
const namespace = 'shop';
const node = 'node-1';
const asKubelet = ['--as', `system:node:${node}`, '--as-group', 'system:nodes'];
const folder = mkdtempSync(join(tmpdir(), 'tabard-podcertificates-'));
let plane: ControlPlane;
let operator: OperatorProcess;

// biome-ignore lint: raw JSON of any kind
type Raw = Record<string, any>; // oxlint-disable-line typescript/no-explicit-any -- raw API objects, narrowed by the assertions

const get = async (...args: readonly string[]): Promise<Raw> =>
  JSON.parse(await plane.kubectl(['get', '-n', namespace, ...args, '-o', 'json'])) as Raw;

async function create(object: object, as: readonly string[] = []): Promise<Raw> {
  const args = ['create', ...as, '-n', namespace, '-o', 'json', '-f', '-'];
  return JSON.parse(await plane.kubectl(args, { input: JSON.stringify(object) })) as Raw;
}

/** What `look` gives when it is defined; fails after a generous while. */
async function eventually<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + 90_000;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (Date.now() > deadline) {
      const said = operator?.lines.slice(-10).map((line) => JSON.stringify(line).slice(0, 400));
      throw new Error(
        `${what} did not come to be; the operator (${operator?.exitCode ?? 'up'}) said:\n${said?.join('\n')}`,
      );
    }
    // On a machine that is busy enough a leader loses its lease and ends, as it should: its Deployment starts it again.
    if (operator?.exitCode !== undefined) operator = start();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const started: OperatorProcess[] = [];

function start(): OperatorProcess {
  const next = startOperatorProcess({
    name: 'tabard-operator-0',
    namespace: system,
    kubeconfig: join(folder, 'operator'),
  });
  started.push(next);
  return next;
}

/** A kubeconfig of the operator's service account as the chart makes it. */
async function account(): Promise<void> {
  const token = await plane.kubectl(['create', 'token', 'tabard-operator', '-n', system, '--duration', '1h']);
  const cluster = { server: plane.server, 'certificate-authority-data': readFileSync(plane.ca).toString('base64') };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token: token.trim() } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(join(folder, 'operator'), JSON.stringify(config), { mode: 0o600 });
}

const policy = (delivery: 'Secret' | 'PodCertificate', app: string): object => ({
  apiVersion: 'tabard.dev/v1alpha1',
  kind: 'TLSPolicy',
  metadata: { name: app },
  spec: { selector: { matchLabels: { app } }, certificate: { delivery, lifetime: '24h' } },
});

beforeAll(async () => {
  plane = await startControlPlane();
  const helm = await openHelm(plane.kubeconfig);
  await helm.ok('install', 'tabard', chart, '-n', system, '--create-namespace');
  helm.close();
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
  await account();
  await plane.kubectl(['create', 'namespace', namespace]);
  await create({ apiVersion: 'v1', kind: 'Node', metadata: { name: node } });
  for (const name of ['vault', 'admin']) {
    await create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } });
  }
  await create(policy('PodCertificate', 'vault'));
  operator = start();
}, 900_000);

afterAll(async () => {
  if (operator?.exitCode === undefined) await operator?.end('SIGTERM');
  await plane?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A pod on the node, as the webhook leaves it. */
async function pod(
  name: string,
  change: { readonly app?: string; readonly volumes?: readonly object[] } = {},
): Promise<Raw> {
  const { app = 'vault', volumes = [certificateVolume] } = change;
  return create({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      labels: { app, 'tabard.dev/injected': 'true' },
      annotations: { 'tabard.dev/service': app },
    },
    spec: { nodeName: node, serviceAccountName: 'vault', containers: [{ name: 'app', image: 'app' }], volumes },
  });
}

interface Sent {
  readonly name: string;
  readonly key: KeyObject;
}

/** Sends the request of a pod; the caches of NodeRestriction may be a moment behind, so a kubelet's is repeated. */
async function ask(of: Raw, spec: object = {}, as: readonly string[] = asKubelet): Promise<Sent> {
  const { privateKey } = await generateKey('ECDSA-P256');
  const names = { uris: ['spiffe://cluster.local/ns/shop/svc/admin'], dnsNames: ['admin.shop'], ipAddresses: [] };
  const [account, machine] = [await get('serviceaccount', 'vault'), await get('node', node)];
  const request = {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'PodCertificateRequest',
    metadata: { generateName: 'req-' },
    spec: {
      signerName: 'tabard.dev/mesh',
      podName: of['metadata'].name,
      podUID: of['metadata'].uid,
      serviceAccountName: 'vault',
      serviceAccountUID: account['metadata'].uid,
      nodeName: node,
      nodeUID: machine['metadata'].uid,
      maxExpirationSeconds: 7_862_400,
      stubPKCS10Request: createRequest(names, privateKey).toString('base64'),
      ...spec,
    },
  };
  const sent = await eventually('an accepted request', () =>
    create(request, as).catch((error: unknown) => {
      if (/not found/.test(String(error))) return undefined;
      throw error;
    }),
  );
  return { name: sent['metadata'].name as string, key: privateKey };
}

/** Waits for the final condition of a request. */
async function answer(name: string): Promise<Raw> {
  return eventually(`an answer to ${name}`, async () => {
    const request = await get('podcertificaterequest', name);
    return request['status']?.conditions === undefined ? undefined : request;
  });
}

const conditionOf = (request: Raw): string => {
  const [{ type, reason }] = request['status'].conditions as readonly [{ type: string; reason: string }];
  return `${type} ${reason}`;
};

describe('a request of the kubelet', () => {
  test('gets a certificate of the pod’s service for the key of the request, and no Secret is written', async () => {
    const { name, key } = await ask(await pod('vault-0'));
    const request = await answer(name);
    const { certificateChain, notBefore, beginRefreshAt, notAfter } = request['status'] as Raw;
    expect(conditionOf(request)).toBe('Issued Issued');
    const leaf = new X509Certificate(certificateChain as string);
    expect(leaf.publicKey.equals(createPublicKey(key))).toBe(true);
    expect(leaf.subjectAltName).toBe('URI:spiffe://cluster.local/ns/shop/svc/vault');
    const ca = await get('secret', '-n', system, 'tabard-ca');
    const texts = {
      certificate: certificateChain as string,
      key: privateKeyPem(key),
      trustBundle: Buffer.from(ca['data']['ca.crt'] as string, 'base64').toString(),
    };
    expect(judgeCredentials(texts, new Date())).toMatchObject({ good: true });
    const part = (Date.parse(beginRefreshAt) - Date.parse(notBefore)) / (Date.parse(notAfter) - Date.parse(notBefore));
    expect(part).toBeGreaterThan(0.5);
    expect(part).toBeLessThan(0.7);
    const secrets = await get('secrets');
    expect((secrets['items'] as Raw[]).map(({ metadata }) => metadata.name)).toEqual([]);
  });

  test('that allows an hour gets exactly an hour', async () => {
    const { name } = await ask(await pod('vault-hour'), { maxExpirationSeconds: 3_600 });
    const { status } = (await answer(name)) as { status: Raw };
    expect(Date.parse(status['notAfter']) - Date.parse(status['notBefore'])).toBe(3_600_000);
  });

  test('that comes again for the same pod, as a refresh does, gets another certificate', async () => {
    const same = await get('pod', 'vault-0');
    const [first, second] = [await ask(same), await ask(same)];
    const chains = await Promise.all(
      [first, second].map(async ({ name }) => (await answer(name))['status'].certificateChain),
    );
    expect(new X509Certificate(chains[0] as string).serialNumber).not.toBe(
      new X509Certificate(chains[1] as string).serialNumber,
    );
  });

  test('with annotations is denied as the API wants it', async () => {
    const { name } = await ask(await get('pod', 'vault-0'), { unverifiedUserAnnotations: { 'x.dev/y': 'z' } });
    expect(conditionOf(await answer(name))).toBe('Denied InvalidUnverifiedUserAnnotations');
  });

  test('waits for the policy to agree, says so on the pod, and is granted when it does', async () => {
    await create(policy('Secret', 'late'));
    const late = await pod('late-0', { app: 'late' });
    const { name } = await ask(late);
    await eventually('an event on the pod', async () => {
      const events = await get('events', '--field-selector', 'involvedObject.name=late-0');
      return (events['items'] as Raw[]).find(({ reason }) => reason === 'DeliveryMismatch');
    });
    expect((await get('podcertificaterequest', name))['status']?.conditions).toBeUndefined();
    const patch = JSON.stringify({ spec: { certificate: { delivery: 'PodCertificate' } } });
    await plane.kubectl(['patch', 'tlspolicy', 'late', '-n', namespace, '--type=merge', '-p', patch]);
    expect(conditionOf(await answer(name))).toBe('Issued Issued');
  });

  test('that came while no operator was there is answered by the next', async () => {
    await operator.end('SIGKILL');
    const { name } = await ask(await get('pod', 'vault-0'));
    operator = start();
    expect(conditionOf(await answer(name))).toBe('Issued Issued');
  });
});

describe('a request of somebody who may write any', () => {
  test.each<[string, string, object]>([
    ['another pod of that name', 'PodMismatch', { podUID: 'b3c0c9c4-9a0b-4b0a-8f1d-000000000000' }],
    ['a pod that is not there', 'PodNotFound', { podName: 'nobody' }],
    ['another service account', 'ServiceAccountMismatch', { serviceAccountName: 'admin' }],
    ['another node', 'NodeMismatch', { nodeName: 'node-2' }],
    ['a node of yesterday', 'NodeMismatch', { nodeUID: 'b3c0c9c4-9a0b-4b0a-8f1d-000000000000' }],
  ])('for %s is denied: %s', async (_, reason, spec) => {
    const { name } = await ask(await get('pod', 'vault-0'), spec, []);
    const request = await answer(name);
    expect(conditionOf(request)).toBe(`Denied ${reason}`);
    expect(request['status'].certificateChain).toBeUndefined();
  });

  test('for a pod that reads a Secret is denied, and a kubelet may not even ask', async () => {
    const volumes = [{ name: 'tabard-tls', projected: { sources: [{ secret: { name: 'tabard-vault' } }] } }];
    const plain = await pod('plain-0', { volumes });
    const { name } = await ask(plain, {}, []);
    expect(conditionOf(await answer(name))).toBe('Denied NotMounted');
    await expect(ask(plain)).rejects.toThrow(/does not mount a podCertificate projected volume/);
  });

  test('for another signer is left alone', async () => {
    const { name } = await ask(await get('pod', 'vault-0'), { signerName: 'example.com/other' }, []);
    const { name: next } = await ask(await get('pod', 'vault-0'), {}, []);
    await answer(next);
    expect((await get('podcertificaterequest', name))['status']?.conditions).toBeUndefined();
  });
});

test('the operator was forbidden nothing, and its log holds no key', async () => {
  const text = JSON.stringify(started.map(({ lines }) => lines));
  expect(text).not.toMatch(/forbidden/i);
  expect(text).not.toMatch(/PRIVATE KEY/);
});

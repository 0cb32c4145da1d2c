// The operator as a process with the chart's own rights against a real API server: certificates in time, a killed leader
// replaced, restarts of the API server survived, an orderly end.
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../hack/cluster/api.ts';
import { certificateSecretName, names } from '../../lib/api/contract.ts';
import { systemClock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Connection, connect } from '../../lib/kube/rest.ts';
import { parseCertificates } from '../../lib/pki/bundle.ts';
import { identityOf } from '../../lib/pki/identity.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { openHelm } from '../support/helm.ts';
import { JwksServer } from '../support/jwksserver.ts';
import { type OperatorProcess, startOperatorProcess } from '../support/operator.ts';
import { keySet, signingKey } from '../support/tokens.ts';

jest.setTimeout(180_000);

const { configmaps, leases, namespaces, pods, secrets, services, tlsissuers, tlspolicies } = resources;
const system = 'tabard-system';
const shop = 'shop';

let plane: ControlPlane;
let connection: Connection;
let client: KubeClient;
let kubeconfig: string;
const replicas: OperatorProcess[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  connection = connect({
    kubeconfig: plane.kubeconfig,
    userAgent: 'tabard-test/0',
    clock: systemClock,
    metrics: kubeMetrics(new Metrics()),
  });
  client = connection.client;
  await plane.kubectl(['apply', '-f', resolve(import.meta.dirname, '../../crds')]);
  for (const name of [system, shop]) {
    await client.create(namespaces, { metadata: { name } });
    await plane.kubectl(['create', 'serviceaccount', 'default', '-n', name]);
  }
  kubeconfig = await operatorAccess();
});

afterAll(async () => {
  for (const replica of replicas) await replica.end('SIGKILL');
  connection.close();
  await plane.stop();
});

/** A kubeconfig of the operator's service account with the rights that the chart gives it. */
async function operatorAccess(): Promise<string> {
  const helm = await openHelm();
  const objects = (await helm.render()).filter(
    ({ kind, metadata }) => /Role|ServiceAccount/.test(kind) && metadata.name.startsWith(names.operator),
  );
  helm.close();
  await plane.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  });
  const token = (await plane.kubectl(['create', 'token', names.operator, '-n', system])).trim();
  const path = join(plane.logs, 'operator.kubeconfig');
  const entry = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: plane.server, 'certificate-authority': plane.ca } }],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(path, JSON.stringify(entry), { mode: 0o600 });
  return path;
}

function start(name: string): OperatorProcess {
  const replica = startOperatorProcess({ name, kubeconfig, namespace: system });
  replicas.push(replica);
  return replica;
}

async function until(what: string, check: () => boolean | Promise<boolean>, withinMs: number): Promise<number> {
  const started = performance.now();
  while (!(await check())) {
    if (performance.now() - started > withinMs) {
      const last = replicas.map(
        ({ name, lines }) =>
          `${name}:\n${lines
            .slice(-8)
            .map((line) => JSON.stringify(line))
            .join('\n')}`,
      );
      throw new Error(`not within ${withinMs} ms: ${what}\n${last.join('\n')}`);
    }
    await systemClock.sleep(10);
  }
  return performance.now() - started;
}

const ready = (replica: OperatorProcess) => async () => (await replica.admin('/ready')).status === 200;
const leader = async () => (await client.get(leases, { namespace: system, name: names.operator })).spec?.holderIdentity;

async function secretOf(service: string): Promise<Secret | undefined> {
  try {
    return await client.get(secrets, { namespace: shop, name: certificateSecretName(service) });
  } catch (error) {
    if (isKube(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** A pod as the webhook would make it; milliseconds until its service's Secret was there. */
async function secretMsAfterPod(service: string, withinMs: number = 10_000): Promise<number> {
  await client.create(pods, {
    metadata: {
      namespace: shop,
      name: `${service}-0`,
      labels: { app: service, 'tabard.dev/injected': 'true' },
      annotations: { 'tabard.dev/service': service, 'tabard.dev/injected': 'v1' },
    },
    spec: { containers: [{ name: 'app', image: 'none' }] },
  });
  return await until(`the Secret of ${service}`, async () => (await secretOf(service)) !== undefined, withinMs);
}

describe('the operator', () => {
  test('starts: one replica leads, both become ready, the CA and the issuer are made', async () => {
    const began = performance.now();
    const [one, two] = [start('operator-0'), start('operator-1')];
    await until('both are ready', async () => (await ready(one)()) && (await ready(two)()), 60_000);
    console.log(`two replicas ready after ${(performance.now() - began).toFixed(0)} ms`);
    expect(['operator-0', 'operator-1']).toContain(await leader());
    expect((await one.admin('/live')).status).toBe(200);
    const ca = await client.get(secrets, { namespace: system, name: names.caSecret });
    expect(Object.keys(ca.data ?? {}).toSorted()).toEqual(['ca.crt', 'tls.crt', 'tls.key']);
    await until(
      'the issuer says it is ready',
      async () => (await client.get(tlsissuers, { name: 'cluster' })).status?.conditions?.[0]?.status === 'True',
      30_000,
    );
  });

  test("puts a pod's certificate into its Secret, soon", async () => {
    await client.create(tlspolicies, { metadata: { namespace: shop, name: 'all' }, spec: { mode: 'Mutual' } });
    await client.create(services, {
      metadata: { namespace: shop, name: 'front' },
      spec: { selector: { app: 'web-0' }, ports: [{ port: 80 }] },
    });
    const took: number[] = [];
    for (let index = 0; index < 10; index += 1) took.push(await secretMsAfterPod(`web-${index}`));
    const median = took.toSorted((a, b) => a - b)[5] ?? Infinity;
    const most = Math.max(...took);
    console.log(`Secret after pod: median ${median.toFixed(0)} ms, longest ${most.toFixed(0)} ms of ${took.length}`);
    const [leaf] = parseCertificates(
      Buffer.from((await secretOf('web-0'))?.data?.['tls.crt'] ?? '', 'base64').toString(),
    );
    expect(leaf === undefined ? '' : identityOf(leaf)).toBe('spiffe://cluster.local/ns/shop/svc/web-0');
    expect(leaf?.subjectAltName).toContain('DNS:front.shop.svc');
    // 300 ms and less on a quiet machine.
    expect(median).toBeLessThan(5_000);
  });

  test('tells the truth in the status of the policy', async () => {
    await until(
      'ten services are ready',
      async () => (await client.get(tlspolicies, { namespace: shop, name: 'all' })).status?.servicesReady === '10/10',
      30_000,
    );
  });

  test('brings a Secret back that was deleted by hand', async () => {
    const before = await secretOf('web-1');
    await client.delete(secrets, { namespace: shop, name: certificateSecretName('web-1') });
    const tookMs = await until('the Secret is back', async () => (await secretOf('web-1')) !== undefined, 30_000);
    console.log(`deleted Secret back after ${tookMs.toFixed(0)} ms`);
    expect((await secretOf('web-1'))?.metadata.uid).not.toBe(before?.metadata.uid);
  });

  test('fetches the keys of token issuers, says how they stand, and forgets what no policy names', async () => {
    const server = await JwksServer.start();
    try {
      server.answer = { body: keySet(signingKey('one'), signingKey('two', 'RS256')) };
      const jwt = [{ issuer: 'https://issuer', jwksUri: server.url, caBundle: server.caBundle }];
      await client.create(tlspolicies, {
        metadata: { namespace: shop, name: 'users' },
        spec: { selector: { matchLabels: { app: 'none' } }, authentication: { required: true, jwt } },
      });
      const said = async (): Promise<string> => {
        const { status } = await client.get(tlspolicies, { namespace: shop, name: 'users' });
        const condition = status?.conditions?.find(({ type }) => type === 'TokenKeysFetched');
        return `${condition?.status} ${condition?.reason}: ${condition?.message}`;
      };
      const expected = 'True Fetched: 2 keys of 1 issuers are in force';
      await until('the policy says so', async () => (await said()) === expected, 30_000);
      const kept = { namespace: system, labelSelector: 'tabard.dev/jwks' };
      expect((await client.list(configmaps, kept)).items).toHaveLength(1);
      expect(server.asked).toBe(1);
      await client.delete(tlspolicies, { namespace: shop, name: 'users' });
      await until('they are forgotten', async () => (await client.list(configmaps, kept)).items.length === 0, 30_000);
    } finally {
      await server.stop();
    }
  });

  test('is never refused anything: the rights of the chart suffice', async () => {
    for (const replica of replicas) {
      const { text } = await replica.admin('/metrics');
      expect(text).toContain('tabard_kube_requests_total{verb="list",resource="pods",code="200"}');
      expect(text).not.toMatch(/tabard_kube_requests_total\{[^}]*code="40[13]"/);
    }
  });

  test('goes on after the API server was restarted, without an exit', async () => {
    await plane.restartApiServer();
    const tookMs = await secretMsAfterPod('after-restart', 60_000);
    console.log(`Secret after pod, once the API server was back: ${tookMs.toFixed(0)} ms`);
    expect(replicas.map(({ exitCode }) => exitCode)).toEqual([undefined, undefined]);
    for (const replica of replicas) await until(`${replica.name} is ready`, ready(replica), 30_000);
  });

  test('is led by the other replica after the leader was killed', async () => {
    const first = await leader();
    const ca = await client.get(secrets, { namespace: system, name: names.caSecret });
    const killed = replicas.find(({ name }) => name === first);
    await killed?.end('SIGKILL');
    const tookMs = await until('the other one leads', async () => (await leader()) !== first, 30_000);
    const secretMs = await secretMsAfterPod('after-kill');
    console.log(`taken over after ${(tookMs / 1000).toFixed(1)} s, then a Secret after ${secretMs.toFixed(0)} ms`);
    expect(tookMs).toBeGreaterThan(10_000);
    const caAfter = await client.get(secrets, { namespace: system, name: names.caSecret });
    expect(caAfter.metadata.uid).toBe(ca.metadata.uid);
    expect(caAfter.data).toEqual(ca.data);
  });

  test('ends in order on SIGTERM, and the next replica leads at once', async () => {
    const next = start('operator-2');
    await until('the new replica is ready', ready(next), 60_000);
    const last = await leader();
    const leading = replicas.find(({ name }) => name === last);
    const began = performance.now();
    const ended = leading?.end('SIGTERM');
    const notReadyMs = await until(
      'it is no longer ready',
      async () => leading !== undefined && !(await ready(leading)()),
      5_000,
    );
    const handedMs = await until('the next one leads', async () => (await leader()) === 'operator-2', 10_000);
    expect(await ended).toBe(0);
    const tookMs = performance.now() - began;
    const order = leading?.lines.map(({ msg }) => msg) ?? [];
    const at = (msg: string) => order.indexOf(msg);
    console.log(
      `not ready after ${notReadyMs.toFixed(0)} ms, handed over after ${handedMs.toFixed(0)} ms, ended after ${tookMs.toFixed(0)} ms`,
    );
    expect(at('stopping')).toBeGreaterThan(-1);
    expect(at('lease released')).toBeGreaterThan(at('stopping'));
    expect(at('control API stopping')).toBeGreaterThan(at('lease released'));
    expect(order.at(-1)).toBe('stopped');
    expect(tookMs).toBeLessThan(30_000);
    await secretMsAfterPod('after-term');
  });

  test('ends with a failure when its lease is taken from it', async () => {
    const last = replicas.at(-1);
    await client.patch(leases, { namespace: system, name: names.operator }, { spec: { holderIdentity: 'somebody' } });
    await until('the replica has ended', () => last?.exitCode !== undefined, 30_000);
    expect(last?.exitCode).toBe(1);
    expect(last?.lines.some(({ level, msg }) => level === 'error' && msg === 'stopping after a failure')).toBe(true);
  });

  test('runs on the service account that a pod finds in its files', async () => {
    const token = (await plane.kubectl(['create', 'token', names.operator, '-n', system])).trim();
    // A mount namespace of its own, so that the files of a pod are where a pod has them and nobody else sees them.
    const files = '/run/secrets/kubernetes.io/serviceaccount';
    const script = `ca=$(cat "$CA") && mount -t tmpfs none /run && mkdir -p ${files} && printf %s "$ca" > ${files}/ca.crt && printf %s "$TOKEN" > ${files}/token && exec "$@"`;
    const { hostname, port } = new URL(plane.server);
    const replica = startOperatorProcess({
      name: 'operator-3',
      namespace: system,
      within: ['unshare', '--mount', 'sh', '-c', script, 'sh'],
      env: {
        KUBERNETES_SERVICE_HOST: hostname,
        KUBERNETES_SERVICE_PORT: port,
        TOKEN: token,
        CA: plane.ca,
        PATH: process.env['PATH'] ?? '',
      },
    });
    replicas.push(replica);
    await until('the replica is ready', ready(replica), 60_000);
    expect(await replica.end('SIGTERM')).toBe(0);
  });
});

// Every protocol of the shop, with and without a sidecar on either side, with the outcome and the reason that the design states.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Call, type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { portForward } from '../support/e2e/node.ts';
import { apiContainer, apiService, databases, deployment, inject, policy, template } from '../support/e2e/workloads.ts';

const meshed = 'proto-mesh';
const bare = 'proto-bare';
const client = { role: 'api' } as const;
let k: Kit;

async function onlyPod(namespace: string, app: string): Promise<Raw> {
  const [pod] = await k.pods(namespace, `app=${app}`);
  if (pod === undefined) throw new Error(`no pod of ${app} in ${namespace}`);
  return pod;
}

async function call(namespace: string, app: string, kind: string, host: string): Promise<Call> {
  const pod = await onlyPod(namespace, app);
  return k.call({ namespace, pod: pod['metadata'].name, container: 'app' }, kind, host);
}

const workloads = [
  'deployment/api',
  'deployment/client',
  'deployment/mariadb',
  'deployment/redis',
  'statefulset/postgres',
];

beforeAll(async () => {
  k = await kit();
  await k.namespace(meshed, { 'tabard.dev/injection': 'enabled' });
  await k.namespace(bare);
  await k.apply(policy(meshed, 'all', { mode: 'Mutual', http: { accessLog: 'All' } }));
  for (const namespace of [meshed, bare]) {
    await k.apply(
      deployment({
        namespace,
        name: 'api',
        container: apiContainer,
        ...(namespace === meshed ? { annotations: inject } : {}),
      }),
      apiService(namespace, 'api'),
      deployment({ namespace, name: 'client', ...client, container: apiContainer }),
    );
    await k.kubectl(['apply', '-f', '-'], databases(namespace));
  }
  await Promise.all([meshed, bare].flatMap((namespace) => workloads.map((each) => k.rolledOut(namespace, each, 180))));
}, 240_000);

afterAll(async () => {
  await Promise.all([k.drop(meshed), k.drop(bare)]);
});

const protocols: readonly (readonly [string, string])[] = [
  ['http', 'api'],
  ['half-close', 'api'],
  ['grpc', 'api'],
  ['grpc-stream', 'api'],
  ['websocket', 'api'],
  ['postgres', 'postgres'],
  ['mariadb', 'mariadb'],
  ['redis', 'redis'],
];

describe('between two injected pods', () => {
  test.each(protocols)('%s to %s works and both sidecars record mutual TLS 1.3', async (kind, host) => {
    const answer = await call(meshed, 'client', kind, host);
    expect(answer).toMatchObject({ ok: true });
    const server = await onlyPod(meshed, host);
    const records = await until(`a connection record of ${host}`, 10, async () => {
      const log = await k.sidecarLog(meshed, server['metadata'].name);
      const found = log.filter(
        (each) =>
          each['msg'] === 'connection' &&
          each['direction'] === 'inbound' &&
          String(each['peer']).endsWith(`/ns/${meshed}/svc/client`),
      );
      return found.length > 0 ? found : undefined;
    });
    expect(records[0]).toMatchObject({ tls: { version: 'TLSv1.3' } });
  });
});

describe('from a pod without a sidecar to an injected one', () => {
  test.each(protocols)('%s to %s is refused', async (kind, host) => {
    expect(await call(bare, 'client', kind, `${host}.${meshed}`)).toMatchObject({ ok: false });
  });

  test('the refusal is logged as plaintext with the source address and a hint', async () => {
    await call(bare, 'client', 'http', `api.${meshed}`);
    const source = (await onlyPod(bare, 'client'))['status'].podIP as string;
    const server = await onlyPod(meshed, 'api');
    const record = await until('a refusal record', 10, async () =>
      (await k.sidecarLog(meshed, server['metadata'].name)).find(
        (each) => each['reason'] === 'plaintext' && String(each['source']).startsWith(`${source}:`),
      ),
    );
    expect(record['hint']).toMatch(/Permissive/);
    expect(await k.metrics(meshed, server['metadata'].name)).toMatch(/reason="plaintext"/);
  });

  test('the TLSPolicy names the plaintext client in its status', async () => {
    const source = (await onlyPod(bare, 'client'))['status'].podIP as string;
    await until('plaintextClients in status', 60, async () => {
      const { status } = await k.get('tlspolicy', 'all', '-n', meshed);
      return (status?.plaintextClients as Raw[] | undefined)?.find((each) => each['address'] === source);
    });
  });
});

describe('from an injected pod to one without a sidecar', () => {
  test.each(protocols)('%s to %s passes untouched and is counted', async (kind, host) => {
    expect(await call(meshed, 'client', kind, `${host}.${bare}`)).toMatchObject({ ok: true });
  });

  test('the sidecar counts why it passed', async () => {
    const pod = await onlyPod(meshed, 'client');
    expect(await k.metrics(meshed, pod['metadata'].name)).toMatch(/not_in_mesh/);
  });
});

describe('between two pods without a sidecar', () => {
  test.each(protocols)('%s to %s works as before', async (kind, host) => {
    expect(await call(bare, 'client', kind, host)).toMatchObject({ ok: true });
  });
});

describe('addresses', () => {
  test('IPv6: the service and the pod itself are reached over mutual TLS', async () => {
    const service = await k.get('service', 'api', '-n', meshed);
    const v6 = (service['spec'].clusterIPs as string[]).find((each) => each.includes(':'));
    const pod = await onlyPod(meshed, 'api');
    const podV6 = (pod['status'].podIPs as Raw[])
      .map((each) => each['ip'] as string)
      .find((each) => each.includes(':'));
    expect([v6, podV6]).not.toContain(undefined);
    for (const address of [v6, podV6])
      expect(await call(meshed, 'client', 'http', address ?? '')).toMatchObject({ ok: true });
    const outcome = await call(bare, 'client', 'http', podV6 ?? '');
    expect(outcome).toMatchObject({ ok: false });
  });

  test('a pod of a headless StatefulSet is reached by its own name', async () => {
    expect(await call(meshed, 'client', 'postgres', `postgres-0.postgres.${meshed}.svc.cluster.local`)).toMatchObject({
      ok: true,
    });
  });

  test('a pod address without a Service is reached over mutual TLS', async () => {
    const pod = await onlyPod(meshed, 'api');
    expect(await call(meshed, 'client', 'http', pod['status'].podIP)).toMatchObject({ ok: true });
    expect(await call(bare, 'client', 'http', pod['status'].podIP)).toMatchObject({ ok: false });
  });

  test('a pod reaches itself through its own Service', async () => {
    expect(await call(meshed, 'api', 'http', 'api')).toMatchObject({ ok: true });
  });
});

describe('modes', () => {
  test.each([
    ['Permissive', true],
    ['Disabled', true],
    ['ServerOnly', false],
    ['Mutual', false],
  ] as const)('%s: a client without a sidecar is served: %s; one with a sidecar always', async (mode, served) => {
    await k.apply(policy(meshed, 'all', { mode, http: { accessLog: 'All' } }));
    await until(`mode ${mode} to be applied`, 30, async () =>
      (await call(bare, 'client', 'http', `api.${meshed}`)).ok === served ? true : undefined,
    );
    expect(await call(meshed, 'client', 'http', 'api')).toMatchObject({ ok: true });
  });

  test('a port can be an exception', async () => {
    await k.apply(
      policy(meshed, 'all', { mode: 'Mutual', ports: [{ port: 8081, mode: 'Disabled' }], http: { accessLog: 'All' } }),
    );
    await until('the open port', 30, async () =>
      (await call(bare, 'client', 'websocket', `api.${meshed}`)).ok ? true : undefined,
    );
    expect(await call(bare, 'client', 'http', `api.${meshed}`)).toMatchObject({ ok: false });
    expect(await call(meshed, 'client', 'websocket', 'api')).toMatchObject({ ok: true });
    await k.apply(policy(meshed, 'all', { mode: 'Mutual', ports: [], http: { accessLog: 'All' } }));
  });
});

describe('the rest of a pod', () => {
  test('a Job completes although it has a sidecar', async () => {
    const job = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'report', namespace: meshed, annotations: inject },
      spec: {
        backoffLimit: 0,
        template: template({
          namespace: meshed,
          name: 'report',
          pod: { restartPolicy: 'Never' },
          container: { args: ['job'] },
        }),
      },
    };
    await k.apply(job);
    await k.kubectl(['-n', meshed, 'wait', '--for=condition=complete', 'job/report', '--timeout=60s']);
    const [pod] = await k.pods(meshed, 'app=report');
    expect(pod?.['spec'].initContainers.map((each: Raw) => each['name'])).toContain('tabard-proxy');
  });

  test('an init container of the user has the network, over mutual TLS', async () => {
    const early = { name: 'early', image: 'tabard.dev/demo/shop:dev', args: ['call', 'http', 'api'] };
    await k.apply(
      deployment({
        namespace: meshed,
        name: 'early',
        annotations: inject,
        container: apiContainer,
        pod: { initContainers: [early] },
      }),
    );
    await k.rolledOut(meshed, 'deployment/early');
    const pod = await onlyPod(meshed, 'early');
    expect(await k.kubectl(['-n', meshed, 'logs', pod['metadata'].name, '-c', 'early'])).toMatch(/"ok":true/);
  });

  test('kubectl logs, exec and port-forward still work', async () => {
    const pod = (await onlyPod(meshed, 'api'))['metadata'].name as string;
    expect(await k.kubectl(['-n', meshed, 'logs', pod, '-c', 'app'])).toMatch(/api: listening/);
    const version = await k.kubectl(['-n', meshed, 'exec', pod, '-c', 'app', '--', '/usr/local/bin/node', '--version']);
    expect(version).toMatch(/^v2/);
    const forward = await portForward(k.cluster, meshed, pod, 8080);
    try {
      const answer = await fetch(`http://127.0.0.1:${forward.port}/items`);
      expect(answer.status).toBe(200);
    } finally {
      await forward.stop();
    }
  });
});

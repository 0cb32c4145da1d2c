// The control plane is hit while pods come and traffic flows: no pod un-injected, no wrong answer, no failed request.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { system } from '../support/e2e/names.ts';
import { processesOf } from '../support/e2e/node.ts';
import { apiContainer, apiService, deployment, inject, template } from '../support/e2e/workloads.ts';

const namespace = 'chaos';
let k: Kit;

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace);
  await k.apply(
    deployment({ namespace, name: 'api', replicas: 2, annotations: inject, container: apiContainer }),
    apiService(namespace, 'api'),
  );
  await k.rolledOut(namespace, 'deployment/api');
  await k.apply(
    deployment({
      namespace,
      name: 'load',
      role: 'load',
      annotations: inject,
      env: { LOAD_KINDS: 'http,grpc,grpc-stream,websocket', LOAD_PAUSE_MS: '50', LOAD_SECONDS: '3600' },
      pod: { terminationGracePeriodSeconds: 1 },
    }),
  );
  await k.rolledOut(namespace, 'deployment/load');
}, 240_000);

afterAll(async () => {
  await k.kubectl(['-n', system, 'scale', 'deployment/tabard-operator', '--replicas=2']);
  await k.drop(namespace);
});

async function loadReport(): Promise<Raw> {
  const [pod] = await k.pods(namespace, 'app=load');
  const lines = (await k.kubectl(['-n', namespace, 'logs', pod?.['metadata'].name, '-c', 'app', '--tail=2']))
    .trim()
    .split('\n');
  return JSON.parse(lines.at(-1) ?? '{}') as Raw;
}

/** Runs `act` under load: calls were made meanwhile, none failed, and no lasting connection was lost. */
async function withoutAFailedCall(act: () => Promise<void>): Promise<void> {
  const before = await until('the load to run', 30, async () => {
    const report = await loadReport();
    return report['calls'] > 0 ? report : undefined;
  });
  const startedAt = new Date().toISOString();
  await act();
  const after = await until('the load to go on', 30, async () => {
    const report = await loadReport();
    return report['calls'] > before['calls'] + 50 ? report : undefined;
  });
  const errors = Object.entries(after['kinds'] as Raw).flatMap(([kind, { errors: said }]) =>
    (said as string[]).filter((each) => each > startedAt).map((each) => `${kind} ${each}`),
  );
  const lost = after['reopened'] - before['reopened'];
  expect({ failed: after['failed'] - before['failed'], lost, errors }).toEqual({ failed: 0, lost: 0, errors: [] });
}

describe('while the shop is under load', () => {
  test('the leading operator is killed: the other one takes over and issues', async () => {
    await withoutAFailedCall(async () => {
      const lease = await k.get('lease', 'tabard-operator', '-n', system);
      const leader = String(lease['spec'].holderIdentity).split('_')[0] ?? '';
      await k.kubectl(['-n', system, 'delete', 'pod', leader, '--grace-period=0', '--force']);
      await k.apply(deployment({ namespace, name: 'after-kill', annotations: inject, container: apiContainer }));
      await k.rolledOut(namespace, 'deployment/after-kill', 120);
    });
  });

  test('both operators are down while pods restart: known services come back, and nothing that runs fails', async () => {
    await withoutAFailedCall(async () => {
      await k.kubectl(['-n', system, 'scale', 'deployment/tabard-operator', '--replicas=0']);
      await until('no operator', 60, async () =>
        (await k.pods(system, 'app.kubernetes.io/component=operator')).length === 0 ? true : undefined,
      );
      const [pod] = await k.pods(namespace, 'app=after-kill');
      const restarted = pod?.['metadata'].name as string;
      // A container restart of the sidecar: it serves from its snapshot on disk.
      for (const pid of processesOf(pod?.['metadata'].uid as string, '/app/sidecar.js')) process.kill(pid, 'SIGKILL');
      await until('the sidecar to be ready again', 60, async () => {
        const { status } = await k.get('pod', restarted, '-n', namespace);
        const sidecar = (status.initContainerStatuses as Raw[]).find((each) => each['name'] === 'tabard-proxy');
        return sidecar?.['restartCount'] > 0 && sidecar?.['ready'] === true ? true : undefined;
      });
      await k.kubectl(['-n', system, 'scale', 'deployment/tabard-operator', '--replicas=2']);
      await k.rolledOut(system, 'deployment/tabard-operator', 120);
    });
  });

  test('the API server is restarted', async () => {
    await withoutAFailedCall(async () => {
      await k.cluster.restartApiServer();
      await k.apply(deployment({ namespace, name: 'after-api', annotations: inject, container: apiContainer }));
      await k.rolledOut(namespace, 'deployment/after-api', 120);
    });
  });

  test('the webhook is rolled under a stream of pod creations: every pod that asked is injected', async () => {
    await withoutAFailedCall(async () => {
      const rollout = k.kubectl(['-n', system, 'rollout', 'restart', 'deployment/tabard-webhook']);
      const names: string[] = [];
      const roll = { over: false };
      const done = rollout
        .then(() => k.rolledOut(system, 'deployment/tabard-webhook', 180))
        .finally(() => {
          roll.over = true;
        });
      for (let n = 0; !roll.over && n < 400; n++) {
        const name = `stream-${n}`;
        // Never scheduled: only admission is under test, and it is the same for every pod.
        const { metadata, spec } = template({ namespace, name, pod: { nodeSelector: { nowhere: 'true' } } });
        await k.apply({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { ...metadata, labels: { app: 'stream' }, name, namespace, annotations: inject },
          spec,
        });
        names.push(name);
      }
      await done;
      const pods = await k.pods(namespace, 'app=stream');
      expect(pods.length).toBe(names.length);
      expect(names.length).toBeGreaterThan(10);
      const bare = pods.filter(
        (pod) => !(pod['spec'].initContainers ?? []).some((each: Raw) => each['name'] === 'tabard-proxy'),
      );
      expect(bare.map((pod) => pod['metadata'].name)).toEqual([]);
      console.log(`webhook roll: ${names.length} pods created meanwhile, all injected`);
      await k.kubectl([
        '-n',
        namespace,
        'delete',
        'pods',
        '-l',
        'app=stream',
        '--grace-period=0',
        '--force',
        '--wait=false',
      ]);
    });
  });
});

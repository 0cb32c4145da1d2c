// Taking a running service into the mesh, and out of it again, under load from an injected client: no call fails on the way.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { apiContainer, apiService, deployment, inject } from '../support/e2e/workloads.ts';

const namespace = 'adopt';
let k: Kit;

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace);
  // A pod that is told to stop serves on until nobody sends to it any more, as production workloads do.
  const container = { ...apiContainer, lifecycle: { preStop: { sleep: { seconds: 4 } } } };
  await k.apply(deployment({ namespace, name: 'api', replicas: 2, container }), apiService(namespace, 'api'));
  await k.rolledOut(namespace, 'deployment/api');
  await k.apply(
    deployment({
      namespace,
      name: 'load',
      role: 'load',
      annotations: inject,
      env: { LOAD_KINDS: 'http,grpc,websocket', LOAD_SECONDS: '600' },
      pod: { terminationGracePeriodSeconds: 1 },
    }),
  );
  await k.rolledOut(namespace, 'deployment/load');
}, 180_000);

afterAll(async () => {
  await k.drop(namespace);
});

async function report(): Promise<Raw> {
  const text = await k.kubectl(['-n', namespace, 'logs', 'deployment/load', '-c', 'app', '--tail=1']);
  return JSON.parse(text.trim()) as Raw;
}

/** Calls that went over mutual TLS, whether on connections of their own or in tunnels. */
async function securedCalls(): Promise<number> {
  const [load] = await k.pods(namespace, 'app=load');
  const page = await k.metrics(namespace, load?.['metadata'].name);
  const lines = page
    .split('\n')
    .filter((line) => /^tabard_connections_total\{.*direction="outbound"/.test(line) && line.includes('result="ok"'));
  return lines
    .filter((line) => /transport="(?:tunnel|direct)"/.test(line))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

test.each([
  ['into the mesh', 'true', true],
  ['out of it again', 'false', false],
] as const)(
  '%s: no call fails',
  async (_, value, meshed) => {
    const before = await until('the load to run', 30, async () => {
      const now = await report();
      return now['calls'] > 20 ? now : undefined;
    });
    await k.kubectl(['-n', namespace, 'annotate', '--overwrite', 'deployment', 'api', `tabard.dev/inject=${value}`]);
    await k.rolledOut(namespace, 'deployment/api');
    await until('the old pods to be gone', 60, async () => {
      const pods = await k.get('pods', '-n', namespace, '-l', 'app=api');
      return (pods['items'] as Raw[]).length === 2 ? true : undefined;
    });
    const secured = await securedCalls();
    const after = await until('calls on the new pods', 30, async () => {
      const now = await report();
      return now['calls'] > before['calls'] + 100 ? now : undefined;
    });
    const errors = Object.values(after['kinds'] as Raw).flatMap(({ errors: said }) => said as string[]);
    expect({ failed: after['failed'] - before['failed'], errors }).toEqual({ failed: 0, errors: [] });
    expect((await securedCalls()) > secured).toBe(meshed);
  },
  180_000,
);

// Every kind of kubelet probe and lifecycle hook under Mutual: true ones make a pod ready, false ones keep it from it.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { apiContainer, deployment, inject, policy } from '../support/e2e/workloads.ts';

const namespace = 'probes';
const fast = { periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 1 } as const;
const { ports } = apiContainer;
let k: Kit;

/** Case name, readiness probe, whether it is true. */
const readiness: readonly (readonly [string, Raw, boolean])[] = [
  ['http-true', { httpGet: { path: '/health', port: 'http' } }, true],
  [
    'http-headers',
    { httpGet: { path: '/health', port: 8080, httpHeaders: [{ name: 'x-probe', value: 'yes' }] } },
    true,
  ],
  ['http-false', { httpGet: { path: '/fail', port: 'http' } }, false],
  ['https-true', { httpGet: { path: '/health', port: 8443, scheme: 'HTTPS' } }, true],
  ['https-false', { httpGet: { path: '/health', port: 8080, scheme: 'HTTPS' } }, false],
  ['tcp-true', { tcpSocket: { port: 'websocket' } }, true],
  ['tcp-false', { tcpSocket: { port: 8099 } }, false],
  ['grpc-true', { grpc: { port: 9090 } }, true],
  ['grpc-false', { grpc: { port: 8080 } }, false],
  ['exec-true', { exec: { command: ['/usr/local/bin/node', '--version'] } }, true],
];

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace);
  await k.apply(policy(namespace, 'all', { mode: 'Mutual' }));
  await k.apply(
    ...readiness.map(([name, probe]) =>
      deployment({ namespace, name, annotations: inject, container: { ports, readinessProbe: { ...probe, ...fast } } }),
    ),
    deployment({
      namespace,
      name: 'liveness-false',
      annotations: inject,
      container: { ports, livenessProbe: { httpGet: { path: '/fail', port: 'http' }, ...fast } },
    }),
    deployment({
      namespace,
      name: 'startup-true',
      annotations: inject,
      container: { ports, startupProbe: { httpGet: { path: '/health', port: 'http' }, ...fast, failureThreshold: 30 } },
    }),
    deployment({
      namespace,
      name: 'hooks',
      annotations: inject,
      container: { ports, lifecycle: { preStop: { httpGet: { path: '/hook-stop', port: 'http' } } } },
    }),
  );
}, 120_000);

afterAll(async () => {
  await k.drop(namespace);
});

async function containerOf(app: string): Promise<Raw | undefined> {
  const [pod] = await k.pods(namespace, `app=${app}`);
  return (pod?.['status'].containerStatuses as Raw[] | undefined)?.find((each) => each['name'] === 'app');
}

describe('probes under Mutual', () => {
  test.each(readiness.filter(([, , truth]) => truth))('%s becomes ready', async (name) => {
    await k.rolledOut(namespace, `deployment/${name}`);
  });

  test.each(readiness.filter(([, , truth]) => !truth))('%s runs and does not become ready', async (name) => {
    await until(`${name} to run`, 60, async () => ((await containerOf(name))?.['state']?.running ? true : undefined));
    await until(`${name} to fail its probe`, 30, async () => {
      const events = await k.get('events', '-n', namespace, '--field-selector=reason=Unhealthy');
      return (events['items'] as Raw[]).some((each) => each['involvedObject'].name.startsWith(`${name}-`))
        ? true
        : undefined;
    });
    expect((await containerOf(name))?.['ready']).toBe(false);
  });

  test('a failing liveness probe restarts the container', async () => {
    await until('a restart', 60, async () =>
      ((await containerOf('liveness-false'))?.['restartCount'] ?? 0) > 0 ? true : undefined,
    );
  });

  test('a startup probe lets the container start', async () => {
    await k.rolledOut(namespace, 'deployment/startup-true');
    expect((await containerOf('startup-true'))?.['started']).toBe(true);
  });

  test('a preStop hook reaches the application', async () => {
    await k.rolledOut(namespace, 'deployment/hooks');
    const [pod] = await k.pods(namespace, 'app=hooks');
    const follow = k.kubectl(['-n', namespace, 'logs', '-f', pod?.['metadata'].name, '-c', 'app']);
    await k.kubectl(['-n', namespace, 'delete', 'pod', pod?.['metadata'].name, '--wait=false']);
    expect(await follow).toMatch(/hook-stop/);
  });
});

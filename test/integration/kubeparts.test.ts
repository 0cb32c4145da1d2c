// The parts of lib/kube on a real API server: list-watch through its restarts, the lease, and events that it accepts.
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../hack/cluster/api.ts';
import { systemClock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import { LeaderElector } from '../../lib/kube/leader.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import type { ConfigMap } from '../../lib/kube/object.ts';
import { Reflector } from '../../lib/kube/reflector.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Connection, connect } from '../../lib/kube/rest.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';

jest.setTimeout(120_000);

const { configmaps, events, leases, namespaces } = resources;
const namespace = 'parts';
const clock = systemClock;
const logger = createLogger({ name: 'test', level: 'silent' });
const registry = new Metrics();
const metrics = kubeMetrics(registry);

let plane: ControlPlane;
let connection: Connection;
let client: KubeClient;

beforeAll(async () => {
  plane = await startControlPlane();
  connection = connect({ kubeconfig: plane.kubeconfig, userAgent: 'tabard-test/0', clock, metrics });
  client = connection.client;
  await client.create(namespaces, { metadata: { name: namespace } });
});

afterAll(async () => {
  connection.close();
  await plane.stop();
});

async function until(what: string, check: () => boolean | Promise<boolean>, withinMs: number): Promise<number> {
  const started = performance.now();
  while (!(await check())) {
    if (performance.now() - started > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await clock.sleep(10);
  }
  return performance.now() - started;
}

describe('list-watch', () => {
  test('follows changes, and goes on after the API server was away, with nothing missed and no storm', async () => {
    const store = new ObjectStore<ConfigMap>();
    const reflector = new Reflector({
      client,
      resource: configmaps,
      selection: { namespace },
      store,
      clock,
      logger,
      metrics,
    });
    const stop = new AbortController();
    const running = reflector.run(stop.signal);
    await store.synced(AbortSignal.timeout(10_000));
    const has = (name: string) => store.get(`${namespace}/${name}`) !== undefined;
    await client.create(configmaps, { metadata: { namespace, name: 'a' } });
    const seenMs = await until('a is seen', () => has('a'), 30_000);
    await client.create(configmaps, { metadata: { namespace, name: 'b' } });
    await until('b is seen', () => has('b'), 30_000);
    await plane.restartApiServer(3_000);
    const back = performance.now();
    await client.delete(configmaps, { namespace, name: 'a' });
    await client.create(configmaps, { metadata: { namespace, name: 'c' } });
    await until('a is gone and c is seen', () => !has('a') && has('c'), 60_000);
    const text = await registry.text();
    const lists = Number(/tabard_kube_lists_total\{resource="configmaps"\} (\d+)/.exec(text)?.[1]);
    console.log(
      `seen after ${seenMs.toFixed(0)} ms; after a restart of 3 s again in ${(performance.now() - back).toFixed(0)} ms; ${lists} lists`,
    );
    expect(lists).toBeLessThanOrEqual(2);
    stop.abort();
    await running;
  });
});

describe('the lease', () => {
  test('is taken, renewed through a restart of the API server, handed over and released', async () => {
    const candidate = (identity: string) => {
      const elector = new LeaderElector({ client, namespace, name: 'lead', identity, clock, logger, metrics });
      const stop = new AbortController();
      return { elector, stop, running: elector.run(stop.signal) };
    };
    const one = candidate('one');
    await one.elector.acquired;
    const two = candidate('two');
    await plane.restartApiServer(1_000);
    const lease = async () => (await client.get(leases, { namespace, name: 'lead' })).spec;
    const before = (await lease())?.renewTime;
    await until('the lease is renewed', async () => (await lease())?.renewTime !== before, 30_000);
    expect((await lease())?.holderIdentity).toBe('one');
    one.stop.abort();
    await one.running;
    const tookMs = await until('two leads', () => two.elector.leading, 30_000);
    console.log(`handed over in ${tookMs.toFixed(0)} ms`);
    expect(await lease()).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1, leaseDurationSeconds: 15 });
    two.stop.abort();
    await two.running;
    expect((await lease())?.holderIdentity).toBe('');
  });
});

describe('events', () => {
  test('are accepted, about namespaced and cluster-scoped objects, and so is their series', async () => {
    let nowMs = Date.now();
    const skewed = {
      now: () => new Date(nowMs),
      nowMs: () => nowMs,
      sleep: (ms: number, signal?: AbortSignal) => clock.sleep(Math.min(ms, 50), signal),
      after: (ms: number, run: () => void) => clock.after(Math.min(ms, 50), run),
    };
    const recorder = new EventRecorder({
      client,
      controller: 'tabard.dev/test',
      instance: 'test-0',
      clock: skewed,
      logger,
      metrics,
    });
    const stop = new AbortController();
    const running = recorder.run(stop.signal);
    const map = await client.create(configmaps, { metadata: { namespace, name: 'subject' } });
    const space = await client.get(namespaces, { name: namespace });
    const facts = { type: 'Warning', reason: 'IssueFailed', action: 'Issue', note: 'ä'.repeat(1_000) } as const;
    recorder.record(subjectOf(map), facts);
    recorder.record(subjectOf(space), { ...facts, type: 'Normal' });
    const found = async (name: string, inside: string) =>
      (await client.list(events, { namespace: inside })).items.find(({ regarding }) => regarding?.name === name);
    await until(
      'both events',
      async () => Boolean((await found('subject', namespace)) && (await found(namespace, 'default'))),
      5_000,
    );
    recorder.record(subjectOf(map), facts);
    nowMs += 31_000;
    await until('the series', async () => (await found('subject', namespace))?.series?.count === 2, 30_000);
    expect(await found('subject', namespace)).toMatchObject({
      reportingController: 'tabard.dev/test',
      reason: 'IssueFailed',
    });
    stop.abort();
    await running;
    expect(await registry.text()).not.toContain('tabard_kube_events_dropped_total{');
  });
});

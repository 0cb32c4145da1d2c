// Rotations on a real API server with an operator that dies: at every single write of a whole rotation, before the request is sent and
// after it was carried out but before the answer came (rotation.sigkill.test.ts does it to whole processes, at reads, too). And a cluster
// that slept for longer than its CA lived.

import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { ControlPlane } from '../../../hack/cluster/api.ts';
import { type Clock, systemClock } from '../../../lib/clock.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { EventRecorder } from '../../../lib/kube/events.ts';
import { kubeMetrics as declareKubeMetrics } from '../../../lib/kube/metrics.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { type Connection, connect } from '../../../lib/kube/rest.ts';
import { fingerprint, parseCertificates } from '../../../lib/pki/bundle.ts';
import { Lifecycle } from '../../../lib/runtime/lifecycle.ts';
import { createLogger } from '../../../lib/runtime/logger.ts';
import { Metrics } from '../../../lib/runtime/metrics.ts';
import { Authorities } from '../../../operator/authority/authority.ts';
import { createCaches } from '../../../operator/caches.ts';
import { Cluster } from '../../../operator/certificates/cluster.ts';
import { dataOf } from '../../../operator/certificates/secret.ts';
import { readConfig } from '../../../operator/config.ts';
import { ReportStore } from '../../../operator/control/report.ts';
import { leaderParts } from '../../../operator/leading.ts';
import { PodCertificates } from '../../../operator/podcertificates/issued.ts';
import { noForeignLists, RevocationBook } from '../../../operator/revocation/book.ts';
import { MeshTrust } from '../../../operator/trust/mesh.ts';
import { DAY_MS } from '../../support/pki.ts';
import { eventually, RotationMesh, startPlane } from '../../support/rotationmesh.ts';
import { runningPod } from '../../support/runningpod.ts';

jest.setTimeout(1_200_000);

const system = 'tabard-system';
const namespace = 'shop';
let plane: ControlPlane;
let connection: Connection;

beforeAll(async () => {
  plane = await startPlane('30s', '5s');
  const kubeconfig = { kubeconfig: plane.kubeconfig, userAgent: 'tabard-test/0' };
  connection = connect({ ...kubeconfig, clock: systemClock, metrics: declareKubeMetrics(new Metrics()) });
}, 900_000);

afterAll(async () => {
  connection?.close();
  await plane?.stop();
});

/** The system's clock, set off by so much. */
function shifted(ms: number): Clock {
  return { ...systemClock, now: () => new Date(systemClock.now().getTime() + ms) };
}

interface OperatorSettings {
  readonly client: KubeClient;
  readonly clock?: Clock;
  readonly caLifetime?: string;
}

/** The leader's part of an operator, in this process, whose sidecars report at once whatever they are told. */
function startOperator({ client, clock = systemClock, caLifetime = '90d' }: OperatorSettings) {
  const config = readConfig({
    TABARD_NAMESPACE: system,
    TABARD_POD_NAME: 'test',
    TABARD_MINIMUM_LIFETIME: '5s',
    TABARD_DEFAULT_ISSUER_LIFETIME: caLifetime,
  });
  const logger = createLogger({ name: 'operator', level: 'silent' });
  const metrics = new Metrics();
  const kubeMetrics = declareKubeMetrics(metrics);
  const kube = { client, clock, logger, metrics: kubeMetrics };
  const caches = createCaches({ ...kube, namespace: config.namespace });
  const { stores } = caches;
  const authorities = new Authorities(config.namespace, config.trustDomain);
  authorities.follow(stores.secrets);
  const authority = authorities.of('cluster');
  const trust = new MeshTrust({ authority, issuers: stores.issuers, logger });
  trust.follow();
  const events = new EventRecorder({ ...kube, controller: 'tabard.dev/operator', instance: 'test' });
  const reports = new ReportStore(clock);
  const podCertificates = new PodCertificates();
  const revocations = new RevocationBook({
    ...stores,
    reports,
    clock,
    lists: noForeignLists,
    ownIdentity: 'spiffe://cluster.local/ns/tabard-system/svc/tabard-operator',
    silentMs: () => 0,
  });
  const cluster = new Cluster(stores);
  const shared = { ...kube, metrics, kubeMetrics, config, events, stores, cluster, authorities, trust, reports };
  const parts = leaderParts({ ...shared, podCertificates, revocations, waits: { settleMs: 100 } });
  const life = new Lifecycle({ logger });
  const stage = life.stage('all');
  caches.start(stage);
  for (const [name, part] of Object.entries(parts)) stage.run(name, part);
  const answer = (): void => {
    for (const { metadata } of stores.pods.list()) {
      const service = metadata.labels?.['app'] ?? '';
      const secret = stores.secrets.get(`${namespace}/tabard-${service}`);
      const leaf = secret === undefined ? undefined : new X509Certificate(dataOf(secret, 'tls.crt'));
      reports.accept(
        { namespace, service },
        {
          podName: metadata.name,
          podUid: metadata.uid,
          selfVersion: 'x',
          bundleFingerprint: '',
          authorities: (trust.current()?.members ?? []).map(fingerprint),
          serial: leaf?.serialNumber ?? '',
          notAfter: leaf?.validToDate.toISOString() ?? '',
          plaintext: [],
        },
      );
    }
  };
  const answering = setInterval(answer, 50);
  const stop = async (): Promise<void> => {
    clearInterval(answering);
    life.stop('the test says so');
    await life.finished();
  };
  return { stop, authority };
}

/** A client of an operator that ends at its nth write: before it is sent, or with the answer lost. Nothing is sent after. */
function mortal(kube: KubeClient, lastWrite: number, isSent: boolean) {
  const writes = new Set(['create', 'replace', 'apply', 'applyStatus', 'patch', 'delete']);
  const { promise: died, resolve: die } = Promise.withResolvers<void>();
  const log: string[] = [];
  let isDead = false;
  // Whoever waits for an answer is told only when the process is to be cleared away.
  const { promise: never, reject: clear } = Promise.withResolvers<never>();
  never.catch(() => undefined);
  const client = new Proxy(kube, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function' || !writes.has(String(name))) {
        return typeof method === 'function' ? (method.bind(target) as unknown) : method;
      }
      return async (...given: unknown[]): Promise<unknown> => {
        if (isDead) return never;
        log.push(
          `${String(name)} ${JSON.stringify((given[1] as { readonly metadata?: unknown }).metadata ?? given[1])}`,
        );
        const isLast = log.length >= lastWrite;
        if (isLast) isDead = true;
        const answer = isLast && !isSent ? undefined : await (Reflect.apply(method, target, given) as Promise<unknown>);
        if (!isLast) return answer;
        die();
        return never;
      };
    },
  });
  return { client, died, log, clear: () => clear(new Error('the operator was killed')) };
}

async function pods(...services: readonly string[]): Promise<void> {
  for (const service of services) await runningPod(connection.client, { namespace, name: `${service}-0`, service });
}

/** Takes everything away that an operator made, and the pods. */
async function wipe(): Promise<void> {
  await plane.kubectl(['delete', 'pods', '--all', '-n', namespace, '--grace-period=0', '--force', '--wait=true']);
  await plane.kubectl(['delete', 'tlsissuers', '--all', '--wait=true']);
  const selector = ['-l', 'app.kubernetes.io/managed-by=tabard'];
  for (const each of [system, namespace])
    await plane.kubectl(['delete', 'secrets', '-n', each, ...selector, '--wait=true']);
}

async function secretsOf(of: string): Promise<readonly Secret[]> {
  return (await connection.client.list(resources.secrets, { namespace: of })).items.filter(
    ({ type }) => type === 'kubernetes.io/tls',
  );
}

const status = async () => (await connection.client.get(resources.tlsissuers, { name: 'cluster' })).status;

/** Every pair in the CA's Secret and in the services' is whole, and every certificate has its CA in its own bundle. */
async function expectWhole(): Promise<void> {
  for (const each of [system, namespace]) {
    for (const secret of await secretsOf(each)) {
      for (const [certificate, key] of [
        ['tls.crt', 'tls.key'],
        ['next.crt', 'next.key'],
        ['previous.crt', 'previous.key'],
      ] as const) {
        expect([certificate, secret.data?.[certificate] === undefined]).toEqual([
          certificate,
          secret.data?.[key] === undefined,
        ]);
      }
      const [leaf] = parseCertificates(dataOf(secret, 'tls.crt'));
      const bundle = parseCertificates(dataOf(secret, 'ca.crt'));
      expect(bundle.some((ca) => leaf?.checkIssued(ca) === true && leaf.verify(ca.publicKey))).toBe(true);
    }
  }
}

/** One rotation from a settled beginning, killed at its nth write; how often CAs and leaves were made. */
async function rotation(reason: string, lastWrite: number, isSent: boolean) {
  const made = { cas: new Set<string>(), leaves: new Set<string>() };
  const note = async (): Promise<void> => {
    for (const secret of await secretsOf(system)) {
      for (const key of ['tls.crt', 'next.crt', 'previous.crt']) {
        if (secret.data?.[key] !== undefined) made.cas.add(new X509Certificate(dataOf(secret, key)).serialNumber);
      }
    }
    for (const secret of await secretsOf(namespace))
      made.leaves.add(new X509Certificate(dataOf(secret, 'tls.crt')).serialNumber);
  };
  await note();
  const annotations = { 'tabard.dev/rotate': reason };
  await connection.client.patch(resources.tlsissuers, { name: 'cluster' }, { metadata: { annotations } });
  const killed = mortal(connection.client, lastWrite, isSent);
  const first = startOperator({ client: killed.client });
  const isDone = async (): Promise<boolean> => {
    await note();
    const { rotation: now } = (await status()) ?? {};
    return now?.phase === 'Idle' && now.handledReasons?.includes(`rotate:${reason}`) === true;
  };
  const done = eventually(isDone, Boolean, 60_000).catch((error: unknown) => {
    if (killed.log.length < lastWrite) throw error;
  });
  await Promise.race([killed.died, done]);
  await expectWhole();
  killed.clear();
  await first.stop();
  const second = startOperator({ client: connection.client });
  await eventually(isDone, Boolean, 60_000);
  await second.stop();
  await expectWhole();
  return { made, writes: killed.log };
}

describe('an operator that is killed', () => {
  test('at every write of a rotation: the next one finishes it, with one new CA and one new certificate for each service', async () => {
    await wipe();
    const services = ['web', 'api'];
    await pods(...services);
    const begun = startOperator({ client: connection.client });
    await eventually(
      async () => (await secretsOf(namespace)).length,
      (count) => count === services.length,
      60_000,
    );
    await begun.stop();
    const startedMs = Date.now();
    const whole = await rotation('nobody dies', Infinity, true);
    // The old and the new CA; for each service the old and the new certificate.
    expect([whole.made.cas.size, whole.made.leaves.size]).toEqual([2, 2 * services.length]);
    let kills = 0;
    for (let last = 1; last <= whole.writes.length; last += 1) {
      for (const isSent of [false, true]) {
        const { made, writes } = await rotation(`kill ${last} ${isSent}`, last, isSent);
        expect([writes[last - 1], made.cas.size, made.leaves.size]).toEqual([writes[last - 1], 2, 2 * services.length]);
        kills += 1;
      }
    }
    process.stdout.write(
      `${kills} kills over the ${whole.writes.length} writes of a rotation of ${services.length} services, ${Date.now() - startedMs} ms\n`,
    );
    expect(kills).toBeGreaterThan(10);
  });
});

describe('a cluster that slept', () => {
  test('for a month, until every certificate and the CA had expired, comes back by itself', async () => {
    await wipe();
    let mesh: RotationMesh | undefined;
    try {
      // What was there a month ago: the same operator, on a clock that is a month behind.
      const before = shifted(-31 * DAY_MS);
      const environment = { TABARD_DEFAULT_ISSUER_LIFETIME: '20d', TABARD_MINIMUM_LIFETIME: '5s' };
      mesh = await RotationMesh.start(plane, environment, { isAsleep: true });
      const [web, api] = [await mesh.declarePod('web'), await mesh.declarePod('api')];
      const old = startOperator({ client: connection.client, clock: before, caLifetime: '20d' });
      const slept = await eventually(
        () => secretsOf(namespace),
        ({ length }) => length === 2,
        60_000,
      );
      await old.stop();
      const ends = slept.map((secret) => new X509Certificate(dataOf(secret, 'tls.crt')).validToDate.getTime());
      expect(Math.max(...ends)).toBeLessThan(Date.now() - 20 * DAY_MS);
      expect(Date.parse((await status())?.caNotAfter ?? '')).toBeLessThan(Date.now() - 10 * DAY_MS);
      // The machines are switched on: the pods' processes with what lies in their volumes, and the operator.
      const wokenMs = Date.now();
      const waking = [mesh.runPod(web), mesh.runPod(api)];
      await mesh.startOperator('operator-1');
      const [webPod, apiPod] = await Promise.all(waking);
      if (webPod === undefined || apiPod === undefined) throw new Error('no pods');
      webPod.target(apiPod);
      const answered = await eventually(
        () => mesh?.ask(webPod) ?? '',
        (answer) => answer === 'hello',
        60_000,
      );
      const servesMs = Date.now() - wokenMs;
      await eventually(
        async () => (await status())?.rotation?.phase,
        (phase) => phase === 'Idle',
        120_000,
      );
      process.stdout.write(
        `asleep for a month: traffic again after ${servesMs} ms, rotation at rest after ${Date.now() - wokenMs} ms\n`,
      );
      expect(answered).toBe('hello');
      expect(mesh.operator?.exitCode).toBeUndefined();
      const leaves = await secretsOf(namespace);
      expect(leaves).toHaveLength(2);
      expect(Date.parse((await status())?.caNotAfter ?? '')).toBeGreaterThan(Date.now());
    } finally {
      await mesh?.end();
    }
  });
});

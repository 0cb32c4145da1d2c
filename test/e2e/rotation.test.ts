// Certificates that live for seconds, rotated under mixed load: nothing fails, nothing travels in plaintext, and every connection
// after a swap shows the new serial. TABARD_SOAK_SECONDS lengthens it (`make soak`).
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { captureBridge } from '../../hack/demo/wire.ts';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { apiContainer, apiService, databases, deployment, inject, policy } from '../support/e2e/workloads.ts';

const namespace = 'rotation';
const seconds = Number(process.env['TABARD_SOAK_SECONDS'] ?? '60');
const marker = 'rotation-marker-5f1d';
let k: Kit;

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace, { 'tabard.dev/injection': 'enabled' });
  await k.apply(
    policy(namespace, 'short', { mode: 'Mutual', certificate: { lifetime: '30s' }, http: { accessLog: 'All' } }),
  );
  await k.apply(
    deployment({ namespace, name: 'api', replicas: 2, annotations: inject, container: apiContainer }),
    apiService(namespace, 'api'),
  );
  await k.kubectl(['apply', '-f', '-'], databases(namespace));
  for (const each of ['deployment/api', 'deployment/mariadb', 'deployment/redis', 'statefulset/postgres']) {
    await k.rolledOut(namespace, each, 180);
  }
}, 240_000);

afterAll(async () => {
  await k.drop(namespace);
});

/** A connection whose handshake began after a swap was reported and that carries a serial of before. */
function staleSerial(record: Raw, swaps: readonly Raw[]): readonly object[] {
  const { started, serial } = record['tls'];
  const current = swaps.findLastIndex((swap) => Date.parse(swap['time']) < Date.parse(started));
  const carried = swaps.findIndex((swap) => swap['serial'] === serial);
  return carried >= current ? [] : [{ record, swaps }];
}

test(
  `mixed load for ${seconds} s while certificates live 30 s: 0 failed, 0 plaintext, new connections show the new serial`,
  async () => {
    const serials = new Set<string>();
    const capture = await captureBridge(k.cluster);
    await k.apply(
      deployment({
        namespace,
        name: 'load',
        role: 'load',
        annotations: inject,
        env: { LOAD_SECONDS: String(seconds), LOAD_MARKER: marker, LOAD_PAUSE_MS: '50' },
        pod: { terminationGracePeriodSeconds: 1 },
      }),
    );
    const load = await until(
      'the load to start',
      90,
      async () => (await k.pods(namespace, 'app=load'))[0]?.['metadata'].name as string,
    );
    const last = await until('the load to end', seconds + 120, async () => {
      const secret = await k.get('secret', 'tabard-api', '-n', namespace);
      serials.add(secret['metadata'].annotations['tabard.dev/serial']);
      const lines = (await k.kubectl(['-n', namespace, 'logs', load, '-c', 'app', '--tail=3'])).trim().split('\n');
      const report = JSON.parse(lines.at(-1) ?? '{}') as Raw;
      return report['done'] === true ? report : undefined;
    });
    const bytes = await capture.stop();

    console.log(
      `rotation: ${last['failed']} failed of ${last['calls']}; ${serials.size} serials of api; ${bytes.length} bytes captured`,
    );
    const kinds = Object.entries<Raw>(last['kinds']);
    expect(kinds.flatMap(([kind, { errors }]) => errors.map((error: string) => `${kind}: ${error}`))).toEqual([]);
    expect(last).toMatchObject({ failed: 0 });
    expect(last['calls']).toBeGreaterThan(seconds * 20);
    expect(serials.size).toBeGreaterThanOrEqual(Math.floor(seconds / 30));
    expect(bytes.length).toBeGreaterThan(1_000_000);
    expect(bytes.includes(marker)).toBe(false);

    for (const pod of await k.pods(namespace, 'app=api')) {
      const log = await k.sidecarLog(namespace, pod['metadata'].name);
      const swaps = log.filter((each) => each['msg'] === 'credentials in use');
      expect(swaps.length).toBeGreaterThanOrEqual(2);
      expect(log.filter((each) => each['reason'] !== undefined && each['reason'] !== 'reset')).toEqual([]);
      expect(log.filter((each) => each['msg'] === 'connection').flatMap((each) => staleSerial(each, swaps))).toEqual(
        [],
      );
    }
  },
  (seconds + 240) * 1_000,
);

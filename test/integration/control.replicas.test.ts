// Two replicas of the operator on loopback: what one is told, both know.
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { StatusReport } from '../../lib/api/control.ts';
import { ControlBench } from '../support/controlbench.ts';
import { pod, service, slice } from '../support/meshbench.ts';
import { testAuthority, testLeaf } from '../support/pki.ts';

const benches: ControlBench[] = [];
const web1 = pod({ name: 'web-1', ips: ['127.0.0.1'] });
const of = { namespace: 'shop', service: 'web' };

afterEach(async () => {
  await Promise.all(benches.splice(0).map((bench) => bench.stop()));
});

async function replica(authority: Awaited<ReturnType<typeof testAuthority>>): Promise<ControlBench> {
  const bench = await ControlBench.start({ authority, withReplicas: true });
  benches.push(bench);
  bench.bench.apply(web1);
  return bench;
}

/** The EndpointSlices of the operator's own Service, as both replicas see them. */
function introduce(...replicas: readonly ControlBench[]): void {
  for (const { bench } of replicas) {
    bench.apply(service({ name: 'tabard-operator', namespace: 'tabard-system', ips: ['10.96.0.99'] }));
    replicas.forEach(({ server }, index) => {
      const ports = [{ name: 'control', port: server.port, protocol: 'TCP' }];
      const endpoints = [{ ip: '127.0.0.1', pod: `operator-${index}` }];
      bench.apply(slice({ name: `o-${index}`, namespace: 'tabard-system', of: 'tabard-operator', ports, endpoints }));
    });
  }
}

const report = (serial: string, plaintext: StatusReport['plaintext'] = []): StatusReport => ({
  podName: 'web-1',
  podUid: 'uid-shop-web-1',
  selfVersion: 'x',
  bundleFingerprint: '',
  serial,
  notAfter: '',
  plaintext,
});

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 8_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
    await setTimeout(10);
  }
}

const serialAt = (bench: ControlBench) => bench.reports.ofPod('uid-shop-web-1')?.report.serial;

describe('replicas', () => {
  test('a report to one is known to the other, with who sent plaintext; the newest counts wherever it came in', async () => {
    const authority = await testAuthority();
    const [a, b] = [await replica(authority), await replica(authority)];
    introduce(a, b);
    const seen = [{ address: '10.9.9.9', port: 80, count: 3, refused: true }];
    await (await a.client()).post(JSON.stringify(report('AA', seen)));
    await until(() => serialAt(b) === 'AA', 'the report at b');
    expect(b.reports.plaintextClients(of)).toEqual(a.reports.plaintextClients(of));
    await (await b.client()).post(JSON.stringify(report('BB')));
    await until(() => serialAt(a) === 'BB', 'the newer report at a');
    expect([a.reports.own(), b.reports.own().length]).toEqual([[], 1]);
    expect(serialAt(b)).toBe('BB');
    expect(a.reports.plaintextClients(of)).toMatchObject([{ count: 3 }]);
  }, 30_000);

  test('a replica that comes later is told all that the others know at first hand', async () => {
    const authority = await testAuthority();
    const a = await replica(authority);
    introduce(a);
    await (await a.client()).post(JSON.stringify(report('AA')));
    const b = await replica(authority);
    introduce(a, b);
    await until(() => serialAt(b) === 'AA', 'the report at b');
  }, 30_000);

  test('a replica that was away is told again', async () => {
    const authority = await testAuthority();
    const [a, b] = [await replica(authority), await replica(authority)];
    introduce(a, b);
    await (await a.client()).post(JSON.stringify(report('AA')));
    await until(() => serialAt(b) === 'AA', 'the report at b');
    await b.stop();
    await (await a.client()).post(JSON.stringify(report('A2')));
    const c = await replica(authority);
    introduce(a, c);
    await until(() => serialAt(c) === 'A2', 'the report at c');
  }, 30_000);

  test('a pod that is not known there is passed over', async () => {
    const authority = await testAuthority();
    const [a, b] = [await replica(authority), await replica(authority)];
    b.bench.remove(web1);
    await (await a.client()).post(JSON.stringify(report('AA')));
    introduce(a, b);
    const start = 'tabard_control_reports_total{from="replica",result="accepted"}';
    for (let tries = 0; tries < 500 && !((await b.metric(start)) >= 1); tries += 1) await setTimeout(10);
    expect(await b.metric(start)).toBe(1);
    expect(b.reports.ofPod('uid-shop-web-1')).toBeUndefined();
  }, 30_000);

  test('nobody but a replica may pass on reports, and a replica is no pod', async () => {
    const authority = await testAuthority();
    const a = await replica(authority);
    const path = '/v1/replicas/reports';
    const body = JSON.stringify({ reports: [{ ...of, receivedAt: new Date().toISOString(), report: report('EE') }] });
    expect((await (await a.client()).post(body, path))[0]).toBe(403);
    expect(serialAt(a)).toBeUndefined();
    const leaf = await testLeaf(authority, { namespace: 'tabard-system', service: 'tabard-operator' });
    const other = await a.client({ leaf });
    expect((await other.post(body, path))[0]).toBe(204);
    expect(serialAt(a)).toBe('EE');
    expect((await other.post(JSON.stringify(report('FF'))))[0]).toBe(403);
    expect((await other.post('{"reports":{}}', path))[0]).toBe(400);
    expect((await other.post('{"reports":[{"namespace":"shop"}]}', path))[0]).toBe(400);
  }, 30_000);

  test('something else at the address of a replica is told nothing', async () => {
    const [a, foreign] = [await replica(await testAuthority()), await replica(await testAuthority())];
    introduce(a, foreign);
    await (await a.client()).post(JSON.stringify(report('AA')));
    const why = () => a.lines.some(({ msg }) => msg === 'another replica cannot be told of reports');
    await until(why, 'the log line');
    expect(serialAt(foreign)).toBeUndefined();
  }, 30_000);
});

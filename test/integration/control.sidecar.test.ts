// The sidecar's own client and parsers against the real control API: both ends of the wire as they are deployed.
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { controlPaths, type DestinationSnapshot, type SelfSnapshot } from '../../lib/api/control.ts';
import { systemClock } from '../../lib/clock.ts';
import { MemoryCertificateSource } from '../../lib/runtime/credentials.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { ControlClient } from '../../sidecar/control/client.ts';
import { dialControl } from '../../sidecar/control/dial.ts';
import { parseDestination, parseSelf } from '../../sidecar/control/parse.ts';
import { ControlBench } from '../support/controlbench.ts';
import { pod, service, slice } from '../support/meshbench.ts';
import { testLeaf } from '../support/pki.ts';

let bench: ControlBench;
let stop: AbortController;
let running: Promise<void>;

afterEach(async () => {
  stop.abort();
  await running;
  await bench.stop();
});

async function sidecar(): Promise<ControlClient> {
  const leaf = await testLeaf(bench.authority);
  const source = new MemoryCertificateSource();
  source.offer({ certificate: leaf.certificate, key: leaf.key, trustBundle: leaf.bundle }, new Date());
  const peer = {
    host: '127.0.0.1',
    port: bench.server.port,
    identity: 'spiffe://cluster.local/ns/tabard-system/svc/tabard-operator',
  };
  const client = new ControlClient({
    dial: () => dialControl({ peer, source, pushedBundle: () => undefined, clock: systemClock }),
    clock: systemClock,
    logger: createLogger({ name: 'sidecar', level: 'silent' }),
  });
  stop = new AbortController();
  running = client.run(stop.signal);
  return client;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
    await setTimeout(5);
  }
}

describe('a sidecar', () => {
  test('understands what it is told of itself and of destinations, follows changes, and reports', async () => {
    bench = await ControlBench.start();
    bench.bench.apply(
      pod({ name: 'web-1', ips: ['127.0.0.1'] }),
      pod({ name: 'api-1', ips: ['10.0.0.1'], annotations: { 'tabard.dev/exclude-inbound-ports': '9100' } }),
      service({ name: 'api', ips: ['10.96.0.1'] }),
      slice({ name: 'api-x', of: 'api', endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }] }),
    );
    const client = await sidecar();
    const selves: SelfSnapshot[] = [];
    const answers = new Map<string, DestinationSnapshot[]>();
    client.subscribe(controlPaths.self, (message) => selves.push(parseSelf(message)));
    for (const key of ['10.96.0.1:80', '10.0.0.1:9100', '[fd00::9]:1']) {
      const heard: DestinationSnapshot[] = [];
      answers.set(key, heard);
      client.subscribe(`${controlPaths.destinations}${encodeURIComponent(key)}`, (message) =>
        heard.push(parseDestination(message)),
      );
    }
    await until(() => selves.length > 0 && [...answers.values()].every((heard) => heard.length > 0), 'all first lines');
    expect(selves[0]).toMatchObject({ service: 'web', identity: 'spiffe://cluster.local/ns/shop/svc/web' });
    expect([...answers.values()].map(([first]) => first?.endpoints.map((each) => each.transport))).toEqual([
      ['mutual'],
      ['plain'],
      [],
    ]);
    bench.bench.policies.set('web', { mode: 'Permissive' });
    bench.bench.mesh.policiesChanged('shop');
    await until(() => selves.at(-1)?.policy.mode === 'Permissive', 'the changed policy');
    const report = {
      podName: 'web-1',
      podUid: 'uid-shop-web-1',
      selfVersion: selves[0]?.version ?? '',
      bundleFingerprint: '',
      serial: '',
      notAfter: '',
      plaintext: [],
    };
    expect(await client.post(controlPaths.status, report)).toBe(true);
    expect(bench.reports.ofPod('uid-shop-web-1')?.report.selfVersion).toBe(selves[0]?.version);
  });

  test('that is told to go leaves at once', async () => {
    bench = await ControlBench.start();
    bench.bench.apply(pod({ name: 'web-1', ips: ['127.0.0.1'] }));
    const client = await sidecar();
    const selves: unknown[] = [];
    client.subscribe(controlPaths.self, (message) => selves.push(message));
    await until(() => selves.length > 0, 'the first line');
    await bench.drain(0);
    await until(() => client.awayMs() > 0, 'the client knows');
  });
});

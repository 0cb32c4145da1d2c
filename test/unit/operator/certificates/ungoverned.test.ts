// Who calls services that no policy governs is kept beside them, until one does.
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { callersIn, callersMapName } from '../../../../lib/api/seencallers.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { CertificateBench } from '../../../support/certificates.ts';

// Keys are made in real time, which a busy machine stretches.
jest.setTimeout(60_000);

let bench: CertificateBench;
const till = 'spiffe://cluster.local/ns/shop/svc/till';
const report = {
  podName: 'web-1',
  podUid: 'pod-web-1',
  selfVersion: '',
  bundleFingerprint: '',
  serial: '',
  notAfter: '',
  plaintext: [],
};

beforeEach(async () => {
  bench = await new CertificateBench().start();
});
afterEach(() => bench.stop());

const map = () => bench.kube.all(resources.configmaps).find(({ metadata }) => metadata.name === callersMapName('web'));
const noted = (port: number): void => {
  const at = bench.clock.now();
  bench.callers.push({ identity: till, port, count: 3, firstSeen: at, lastSeen: at });
};

test('they stand in a ConfigMap that goes with the workload, and are added to', async () => {
  bench.pod('web-1');
  noted(8080);
  bench.report(report);
  await bench.until(map, (found) => found !== undefined);
  expect(map()?.metadata).toMatchObject({ namespace: 'shop', labels: { 'tabard.dev/callers': 'web' } });
  expect(map()?.metadata.ownerReferences).toHaveLength(1);
  expect(callersIn(map()?.data)).toMatchObject({ callers: [{ service: 'web', identity: till, port: 8080 }] });
  // Another operator leads, and remembers nothing.
  bench.callers.splice(0);
  noted(9090);
  bench.report(report);
  await bench.until(
    () => callersIn(map()?.data).callers?.map(({ port }) => port),
    (ports) => ports?.join() === '8080,9090',
  );
});

test('nothing is written for a service that a policy governs, nor where nobody was let in', async () => {
  bench.policy('all');
  bench.pod('web-1');
  bench.pod('api-1', 'api');
  noted(8080);
  bench.report(report);
  bench.report({ ...report, podUid: 'pod-api-1', podName: 'api-1' }, 'api');
  await bench.until(
    () => bench.status('all')?.callers,
    (callers) => callers?.length === 1,
  );
  await bench.clock.advance(60_000);
  expect(bench.kube.all(resources.configmaps).filter(({ metadata }) => metadata.name.includes('callers'))).toEqual([]);
});

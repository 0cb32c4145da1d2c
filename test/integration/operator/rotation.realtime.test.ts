// Rotation in real time, as SPIRE's suite of that name does it: certificates that live for six seconds below CAs that live for 36,
// real processes, real TLS, for three minutes. Not one request may fail.
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { ControlPlane } from '../../../hack/cluster/api.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { MixedTraffic, Stalls } from '../../support/mixedtraffic.ts';
import { eventually, type MeshPod, RotationMesh, startPlane } from '../../support/rotationmesh.ts';

jest.setTimeout(600_000);

/** What a sidecar said around the failures. */
function told({ name, lines }: MeshPod, failed: readonly { readonly at: Date }[]): string {
  const near = lines.filter(({ time, msg }) =>
    failed.some(({ at }) => Math.abs(new Date(String(time)).getTime() - at.getTime()) < 1_500 && msg !== 'connection'),
  );
  return near.map((line) => `${name} ${JSON.stringify(line)}`).join('\n');
}

/** A write to the API server that changes nothing that matters. */
function touched(): Readonly<Record<string, unknown>> {
  return { metadata: { annotations: { 'example.com/touched': new Date().toISOString() } } };
}

const minutes = 3;
let plane: ControlPlane | undefined;
let mesh: RotationMesh | undefined;

beforeAll(async () => {
  plane = await startPlane('30s', '5s');
}, 900_000);

afterAll(async () => {
  await mesh?.end();
  await plane?.stop();
});

test('leaf 6 s, CA 36 s, mixed traffic for three minutes: several CAs come and go, and no request fails', async () => {
  if (plane === undefined) throw new Error('no API server');
  mesh = await RotationMesh.start(plane, { TABARD_DEFAULT_ISSUER_LIFETIME: '36s', TABARD_MINIMUM_LIFETIME: '5s' });
  const { client } = mesh.connection;
  await eventually(
    () => mesh?.controlPort ?? 0,
    (port) => port > 0,
    60_000,
  );
  await mesh.policy({ lifetime: '6s', renewAt: 50 });
  const [web, api] = await Promise.all([mesh.pod('web'), mesh.pod('api')]);
  web.target(api);
  api.target(web);
  // A connection looks for a quiet moment in the last fifth of its time, 1.2 s: who is not let run for over half of that may miss it.
  const stalls = new Stalls(700);
  for (const pod of [web, api]) pod.onSilence((ms) => stalls.note(pod.name, ms));
  const traffic = [new MixedTraffic(web.outbound).start(3, 3), new MixedTraffic(api.outbound).start(2, 2)];
  const cas = new Set<string>();
  const serials = new Set<string>();
  const until = Date.now() + minutes * 60_000;
  while (Date.now() < until) {
    const { items } = await stalls.watch('the API server', client.list(resources.secrets, { namespace: 'shop' }));
    if (mesh.operator !== undefined) await stalls.watch('the operator', mesh.operator.admin('/live'));
    await stalls.watch('the disk', client.patch(resources.namespaces, { name: 'shop' }, touched()));
    for (const { metadata } of items) serials.add(metadata.annotations?.['tabard.dev/serial'] ?? '');
    const issuer = await client.get(resources.tlsissuers, { name: 'cluster' });
    cas.add(issuer.status?.caFingerprint ?? '');
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  const counts = await Promise.all(traffic.map((each) => each.stop()));
  stalls.end();
  const sum = (of: (count: (typeof counts)[number]) => number): number =>
    counts.reduce((all, each) => all + of(each), 0);
  const failed = counts.flatMap((each) => each.failed);
  // A certificate lives for six seconds: a machine that stands still for one of them has had its share of the failures.
  const ours = failed.filter(({ at }) => !stalls.before(at, 6_000));
  const [short, lasting] = [sum((each) => each.short), sum((each) => each.lasting)];
  process.stdout.write(
    `${minutes} min: ${cas.size} CAs, ${serials.size} certificates, ${short} short and ${lasting} lasting requests, ` +
      `${failed.length} failed (${failed.length - ours.length} while the machine stood still, ${stalls.seen.length} times), ` +
      `${sum((each) => each.reopened)} reopened, ${sum((each) => each.crossed)} crossed\n`,
  );
  if (ours.length > 0) for (const pod of [web, api]) process.stdout.write(`${told(pod, ours)}\n`);
  expect(ours).toEqual([]);
  expect(cas.size).toBeGreaterThanOrEqual(5);
  expect(serials.size).toBeGreaterThan(40);
  expect(short).toBeGreaterThan(200);
  expect(lasting).toBeGreaterThan(100);
  // Whatever the machine does: nobody was refused for his CA.
  const refused = [web, api].flatMap(({ lines }) => lines.filter(({ reason }) => reason === 'unknown_ca'));
  expect(refused).toEqual([]);
});

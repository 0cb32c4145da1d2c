// Global set-up of the end-to-end suites: the embedded cluster with the images loaded and Tabard installed by Helm.
// TABARD_E2E_KEEP=1 leaves the cluster up for the next run (and for a look); otherwise teardown.ts stops it.
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Cluster, startCluster } from '../../../hack/cluster/api.ts';
import { progressOn } from '../../../hack/cluster/progress.ts';
import { demoImages } from '../../../hack/demo/images.ts';
import { startJanitor } from './janitor.ts';
import { e2eCluster, e2eStateFile, system } from './names.ts';

const root = resolve(import.meta.dirname, '../../..');

/** Shortest lifetime that the suites use; for tests only. */
const minimumLifetime = '10s';
/** What the kubelet of the embedded cluster needs to bring a Secret's content to a pod, tenfold. */
const fileDelivery = '25s';

async function install(cluster: Cluster, reference: string): Promise<void> {
  const colon = reference.lastIndexOf(':');
  const values = [
    `image.repository=${reference.slice(0, colon)}`,
    `image.tag=${reference.slice(colon + 1)}`,
    `testing.minimumLifetime=${minimumLifetime}`,
    `issuers.fileDelivery=${fileDelivery}`,
  ];
  const release = [
    'tabard',
    join(root, 'charts/tabard'),
    '-n',
    system,
    '--create-namespace',
    '--wait',
    '--timeout',
    '180s',
  ];
  const args = ['upgrade', '--install', ...release, ...values.flatMap((value) => ['--set-string', value])];
  await cluster.helm(args, { timeoutMs: 240_000 });
}

export default async function setup(): Promise<void> {
  const progress = progressOn((line) => console.log(line));
  const janitor = process.env['TABARD_E2E_KEEP'] === '1' ? undefined : startJanitor(e2eCluster.name);
  const cluster = await startCluster({ ...e2eCluster, progress });
  const { tabard, shop, databases } = await progress.step('images built', () => demoImages());
  await progress.step('images loaded', async () => {
    const present = await cluster.images();
    for (const { reference, archive } of [tabard, shop, databases]) {
      if (!present.includes(reference)) await cluster.loadImage(archive);
    }
  });
  await progress.step('Tabard installed by Helm', () => install(cluster, tabard.reference));
  writeFileSync(e2eStateFile, JSON.stringify({ name: cluster.name, janitor }));
}

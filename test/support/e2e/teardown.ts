// Stops the cluster of the end-to-end suites and all that runs on it.
import { rmSync } from 'node:fs';
import { stopCluster } from '../../../hack/cluster/api.ts';
import { e2eCluster, e2eStateFile } from './names.ts';

export default async function teardown(): Promise<void> {
  if (process.env['TABARD_E2E_KEEP'] === '1') return;
  await stopCluster(e2eCluster.name);
  rmSync(e2eStateFile, { force: true });
}

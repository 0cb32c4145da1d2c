// Stops the cluster of the end-to-end suites and all that runs on it.
import { readFileSync, rmSync } from 'node:fs';
import { stopCluster } from '../../../hack/cluster/api.ts';
import { signal } from '../../../hack/cluster/process.ts';
import ending from '../ending.ts';
import { e2eCluster, e2eStateFile } from './names.ts';

export default async function teardown(): Promise<void> {
  if (process.env['TABARD_E2E_KEEP'] === '1') return ending();
  await stopCluster(e2eCluster.name);
  const { janitor } = JSON.parse(readFileSync(e2eStateFile, 'utf8')) as { readonly janitor?: number };
  if (janitor !== undefined) signal(janitor, 'SIGKILL');
  rmSync(e2eStateFile, { force: true });
  ending();
}

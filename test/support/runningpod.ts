// A pod object as a kubelet would have it, without a kubelet: made, and said to run at an address.
import { labels, written } from '../../lib/api/contract.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { Pod } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';

/** What it is. */
export interface RunningPodOptions {
  readonly namespace: string;
  readonly name: string;
  readonly service: string;
  /** None: nobody knows its address yet. */
  readonly podIp?: string;
  /** With a sidecar, unless it has the certificate alone. */
  readonly injected?: 'true' | 'certificate';
}

/** Makes an injected pod of a service that runs. */
export async function runningPod(client: KubeClient, options: RunningPodOptions): Promise<Pod> {
  const { namespace, name, service, podIp, injected = 'true' } = options;
  const pod = await client.create(resources.pods, {
    metadata: {
      name,
      namespace,
      labels: { app: service, [labels.injected]: injected },
      annotations: { [written.service]: service },
    },
    spec: { containers: [{ name: 'app', image: 'app' }], automountServiceAccountToken: false },
  });
  const at = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  const conditions = ['Initialized', 'Ready'].map((type) => ({ type, status: 'True', lastTransitionTime: at }));
  const address = podIp === undefined ? {} : { podIP: podIp, podIPs: [{ ip: podIp }] };
  const status = { phase: 'Running', startTime: at, conditions, ...address };
  await client.patch(resources.pods, { namespace, name }, { status }, { subresource: 'status' });
  return pod;
}

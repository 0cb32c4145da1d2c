// The workload behind a pod, which is to own the pod's certificate Secret so that it goes with it: the controller of the
// pod, or of its ReplicaSet or Job. Those two are asked for by name when first seen and remembered by uid.
import type { OwnerReference } from '../../lib/api/tlspolicy.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { isKube } from '../../lib/kube/errors.ts';
import type { KubeObject, Pod } from '../../lib/kube/object.ts';
import { metadataOf, type Resource, resources } from '../../lib/kube/resources.ts';

/** Kinds that workloads of Kubernetes itself put between themselves and their pods. */
const between: Readonly<Record<string, Resource>> = {
  'apps/v1 ReplicaSet': metadataOf(resources.replicasets),
  'batch/v1 Job': metadataOf(resources.jobs),
};

/** Most controllers that are remembered; the one asked for longest ago goes. */
const remembered = 10_000;

/** Workloads by pod. */
export class Owners {
  readonly #client: Pick<KubeClient, 'get'>;
  readonly #known = new Map<string, OwnerReference>();

  constructor(client: Pick<KubeClient, 'get'>) {
    this.#client = client;
  }

  /**
   * The workloads of a service's pods, by uid, without repeats. Rejects when the API server does, but for a controller
   * that is gone already: its pods are about to go, too.
   */
  async of(pods: readonly Pod[], signal: AbortSignal): Promise<readonly OwnerReference[]> {
    const found = new Map<string, OwnerReference>();
    for (const pod of pods) {
      const owner = await this.#ofPod(pod, signal);
      if (owner !== undefined) found.set(owner.uid, owner);
    }
    return [...found.values()].sort((a, b) => (a.uid < b.uid ? -1 : 1));
  }

  async #ofPod(pod: Pod, signal: AbortSignal): Promise<OwnerReference | undefined> {
    const controller = controllerOf(pod);
    if (controller === undefined) return referenceTo(pod);
    const resource = between[`${controller.apiVersion} ${controller.kind}`];
    if (resource === undefined) return controller;
    const known = this.#known.get(controller.uid);
    if (known !== undefined) return known;
    try {
      const ref = { name: controller.name, namespace: pod.metadata.namespace ?? '' };
      const object = await this.#client.get(resource, ref, { signal });
      // Another object of that name: the one that the pod belongs to is gone.
      if (object.metadata.uid !== controller.uid) return undefined;
      const owner = controllerOf(object) ?? controller;
      this.#remember(controller.uid, owner);
      return owner;
    } catch (error) {
      if (isKube(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  #remember(uid: string, owner: OwnerReference): void {
    this.#known.set(uid, owner);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= remembered) return;
      this.#known.delete(oldest);
    }
  }
}

function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** A pod that nothing made but a person owns its Secret itself. */
function referenceTo({ apiVersion, kind, metadata }: Pod): OwnerReference {
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid };
}

// The workload behind a pod, which is to own the pod's certificate Secret so that it goes with it: the controller of the
// pod, or of its ReplicaSet or Job. Those two are asked for by name when first seen and remembered by uid; when many of one namespace
// are seen for the first time, as when an operator starts, the namespace is listed instead.
import type { OwnerReference } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
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
const remembered = 50_000;
/** So many first sights in a namespace within so long are worth a list. */
const worthListing = 4;
const listingMs = 10_000;
const pageSize = 500;

/** What is asked of one namespace for one kind. */
interface Shelf {
  sinceMs: number;
  asked: number;
  /** Owners by uid of what they own, once the namespace was listed. */
  listed: Promise<ReadonlyMap<string, OwnerReference>> | undefined;
}

/** Workloads by pod. */
export class Owners {
  readonly #client: Pick<KubeClient, 'get' | 'list'>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #known = new Map<string, OwnerReference>();
  readonly #shelves = new Map<string, Shelf>();

  constructor(client: Pick<KubeClient, 'get' | 'list'>, clock: Pick<Clock, 'now'>) {
    this.#client = client;
    this.#clock = clock;
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
    const namespace = pod.metadata.namespace ?? '';
    const known =
      this.#known.get(controller.uid) ?? (await this.#listed(resource, namespace, signal))?.get(controller.uid);
    if (known !== undefined) {
      this.#remember(controller.uid, known);
      return known;
    }
    try {
      const object = await this.#client.get(resource, { name: controller.name, namespace }, { signal });
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

  /** The owners of a whole namespace, if so many are asked for; undefined = ask for the one. */
  async #listed(resource: Resource, namespace: string, signal: AbortSignal): Promise<Shelf['listed']> {
    const nowMs = this.#clock.now().getTime();
    for (const [key, { sinceMs }] of this.#shelves) if (nowMs - sinceMs > listingMs) this.#shelves.delete(key);
    const key = `${resource.plural} ${namespace}`;
    const shelf = this.#shelves.get(key) ?? { sinceMs: nowMs, asked: 0, listed: undefined };
    this.#shelves.set(key, shelf);
    shelf.asked += 1;
    if (shelf.asked < worthListing) return undefined;
    try {
      shelf.listed ??= this.#list(resource, namespace, signal);
      return await shelf.listed;
    } catch {
      // Whoever began the list may have been stopped, or has no right to it: the one can still be asked for.
      shelf.listed = undefined;
      return undefined;
    }
  }

  async #list(
    resource: Resource,
    namespace: string,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, OwnerReference>> {
    const owners = new Map<string, OwnerReference>();
    let page = await this.#client.list(resource, { namespace, limit: pageSize, signal });
    for (;;) {
      for (const object of page.items) owners.set(object.metadata.uid, controllerOf(object) ?? referenceTo(object));
      if (page.continue === undefined) return owners;
      page = await this.#client.list(resource, { namespace, limit: pageSize, continue: page.continue, signal });
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
function referenceTo({ apiVersion, kind, metadata }: KubeObject): OwnerReference {
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid };
}

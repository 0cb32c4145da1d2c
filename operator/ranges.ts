// Follows the caches and keeps the cluster's address ranges (cidr.ts) worked out, for the control API to hand to sidecars.
import type { Clock } from '../lib/clock.ts';
import type { KubeObject, Node, Pod, Service, ServiceCIDR } from '../lib/kube/object.ts';
import type { Store } from '../lib/kube/store.ts';
import { orAborted } from '../lib/runtime/signals.ts';
import { clusterRanges } from './cidr.ts';

export interface RangesDeps {
  /** TABARD_CLUSTER_RANGES. */
  readonly configured: readonly string[];
  readonly clock: Clock;
  readonly nodes: Store<Node>;
  readonly servicecidrs: Store<ServiceCIDR>;
  readonly services: Store<Service>;
  /** Injected pods. */
  readonly pods: Store<Pod>;
}

/** Changes are gathered for this long: ranges are many sidecars' business and seldom urgent. */
const gatherMs = 1_000;

/** The ranges as of now. */
export class ClusterRanges {
  readonly #deps: RangesDeps;
  readonly #listeners = new Set<() => void>();
  #current: readonly string[] = [];
  #changed = Promise.withResolvers<void>();

  constructor(deps: RangesDeps) {
    this.#deps = deps;
  }

  /** CIDRs in a stable order; none until all caches are filled, which sidecars take as "everywhere". */
  current(): readonly string[] {
    return this.#current;
  }

  /** Told when they change, synchronously. Returns the function that ends the subscription. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Waits for the caches, then follows them until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { nodes, servicecidrs, services, pods, clock } = this.#deps;
    await Promise.all([nodes, servicecidrs, services, pods].map((store) => store.synced(signal)));
    const undo = [
      nodes.subscribe((...change) => this.#note(change, ({ spec }) => spec?.podCIDRs)),
      servicecidrs.subscribe((...change) => this.#note(change, ({ spec }) => spec?.cidrs)),
      services.subscribe((...change) => this.#note(change, ({ spec }) => spec?.clusterIPs)),
      pods.subscribe((...change) => this.#note(change, addressesOf)),
    ];
    while (!signal.aborted) {
      this.#changed = Promise.withResolvers();
      this.#work();
      await orAborted(this.#changed.promise, signal).catch(() => undefined);
      if (!signal.aborted) await clock.sleep(gatherMs, signal).catch(() => undefined);
    }
    for (const end of undo) end();
  }

  /** Only what changes the result is worth working it out again. */
  #note<T extends KubeObject>(
    [before, after]: readonly [T | undefined, T | undefined],
    read: (object: T) => readonly string[] | undefined,
  ): void {
    const [old, next] = [before, after].map((object) => (object === undefined ? '' : (read(object) ?? []).join()));
    if (old !== next) this.#changed.resolve();
  }

  #work(): void {
    const { configured, nodes, servicecidrs, services, pods } = this.#deps;
    const next = clusterRanges({
      configured,
      serviceRanges: servicecidrs.list().flatMap(({ spec }) => spec?.cidrs ?? []),
      podRanges: nodes.list().flatMap(({ spec }) => spec?.podCIDRs ?? spec?.podCIDR ?? []),
      addresses: [
        ...services.list().flatMap(({ spec }) => spec?.clusterIPs ?? []),
        ...pods.list().flatMap((pod) => addressesOf(pod)),
      ],
    });
    if (next.join() === this.#current.join()) return;
    this.#current = next;
    for (const listener of this.#listeners) listener();
  }
}

/** A pod with the node's network has the node's addresses, which are no pod range. */
function addressesOf({ spec, status }: Pod): readonly string[] {
  return spec?.hostNetwork === true ? [] : (status?.podIPs ?? []).flatMap(({ ip }) => ip ?? []);
}

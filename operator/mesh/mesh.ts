// What is in the cluster, kept up to date event by event: injected pods, Services, EndpointSlices and the policies that
// hold for the pods. Answers who is at an address and port, and tells listeners what a change may have touched; answers are
// worked out when asked for, so that a change costs nothing where nobody looks.
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { Clock } from '../../lib/clock.ts';
import { type EndpointSlice, keyOf, type Pod, type Service } from '../../lib/kube/object.ts';
import type { SocketAddress } from './address.ts';
import { type Destination, destinationAt, type MeshView, serverNameOf } from './destination.ts';
import { Policies } from './policies.ts';
import { RetiredAddresses } from './retired.ts';
import { Selection } from './selection.ts';
import { addressesOf, type MeshService, meshService, Services } from './services.ts';
import { type MeshSlice, meshSlice, Slices } from './slices.ts';
import { UnseenPods } from './unseen.ts';
import { type MeshPod, meshPod, samePod, Workloads } from './workloads.ts';

export interface MeshDeps {
  readonly trustDomain: string;
  readonly clusterDomain: string;
  readonly clock: Clock;
  /** The effective policy of a pod; asked again when the pod, a Service that selects it or a policy changes. */
  policyOf(pod: MeshPod): EffectivePolicy;
}

/** What a change may have touched: pod uids, Service keys, addresses. */
export interface Touched {
  readonly pods: ReadonlySet<string>;
  readonly services: ReadonlySet<string>;
  readonly addresses: ReadonlySet<string>;
}

/** The three feeds take a Store's listener arguments: undefined before = new, undefined after = gone. */
export interface Mesh {
  podChanged(before: Pod | undefined, after: Pod | undefined): void;
  serviceChanged(before: Service | undefined, after: Service | undefined): void;
  sliceChanged(before: EndpointSlice | undefined, after: EndpointSlice | undefined): void;
  /** Policies changed, in one namespace or in all. */
  policiesChanged(namespace?: string): void;
  /** The first complete lists of all three kinds are in: from now on an unknown pod may be one that is late. */
  settled(): void;
  /** Who is at an address and port now. */
  destination(at: SocketAddress): Destination;
  /** The live injected pod that owns an address (canonical). */
  podAt(address: string): MeshPod | undefined;
  /** A live injected pod. */
  pod(uid: string): MeshPod | undefined;
  /** What holds for a pod. */
  policyOf(pod: MeshPod): EffectivePolicy;
  /** Ready endpoints of a Service (by key) on its port of that name, in the mesh or not. */
  readyEndpoints(service: string, portName: string): readonly SocketAddress[];
  /** Told after each change, synchronously. Returns the function that ends the subscription. */
  subscribe(listener: (touched: Touched) => void): () => void;
  /** How much is held. */
  sizes(): { readonly pods: number; readonly services: number; readonly slices: number };
}

/** An empty mesh. */
export function createMesh(deps: MeshDeps): Mesh {
  return new ClusterMesh(deps);
}

class ClusterMesh implements Mesh {
  readonly #deps: MeshDeps;
  readonly #workloads = new Workloads();
  readonly #services = new Services();
  readonly #slices = new Slices();
  readonly #selection = new Selection();
  readonly #retired = new RetiredAddresses();
  readonly #policies: Policies;
  readonly #unseen = new UnseenPods();
  readonly #listeners = new Set<(touched: Touched) => void>();
  readonly #view: MeshView;
  #settled = false;

  constructor(deps: MeshDeps) {
    this.#deps = deps;
    this.#policies = new Policies((pod) => deps.policyOf(pod));
    this.#view = {
      workloads: this.#workloads,
      services: this.#services,
      slices: this.#slices,
      retired: this.#retired,
      clusterDomain: deps.clusterDomain,
      policyOf: (pod) => this.#policies.of(pod),
      believedAtMs: (uid) => this.#unseen.believedAtMs(uid),
      selectsInjected: (service) => this.#selection.selectsAny(service),
    };
  }

  podChanged(before: Pod | undefined, after: Pod | undefined): void {
    const uid = (after ?? before)?.metadata.uid ?? '';
    // A new pod of the same name without a word about the old one: the old one is gone.
    if (before !== undefined && before.metadata.uid !== uid) this.podChanged(before, undefined);
    const known = this.#workloads.get(uid);
    const next = after === undefined ? undefined : meshPod(after, this.#deps.trustDomain);
    if (next === undefined) this.#removePod(known);
    else this.#setPod(known, next);
  }

  serviceChanged(before: Service | undefined, after: Service | undefined): void {
    const metadata = (after ?? before)?.metadata;
    if (metadata === undefined) return;
    const key = keyOf(metadata);
    const known = this.#services.get(key);
    const next = after === undefined ? undefined : meshService(after);
    this.#retireService(known, next);
    if (next === undefined) this.#services.delete(key);
    else this.#services.set(next);
    const selectedBefore = [...this.#selection.podsOf(key)];
    this.#selection.serviceChanged(known, next);
    const addresses = [known, next].flatMap((each) => (each === undefined ? [] : addressesOf(each)));
    this.#tell({ pods: new Set(), services: new Set([key]), addresses: new Set(addresses) });
    // What a Service says of its ports (appProtocol) is part of what holds for its pods.
    this.#refresh(new Set([...selectedBefore, ...this.#selection.podsOf(key)]));
  }

  sliceChanged(before: EndpointSlice | undefined, after: EndpointSlice | undefined): void {
    const metadata = (after ?? before)?.metadata;
    if (metadata === undefined) return;
    const known = this.#slices.get(keyOf(metadata));
    const next = after === undefined ? undefined : meshSlice(after);
    if (known === undefined && next === undefined) return;
    this.#noteUnseen(next);
    if (next === undefined) this.#slices.delete(keyOf(metadata));
    else this.#slices.set(next);
    this.#forgetUnnamed(known);
    const services = new Set([known, next].flatMap((slice) => slice?.service ?? []));
    const endpoints = [...(known?.endpoints ?? []), ...(next?.endpoints ?? [])];
    this.#tell({ pods: new Set(), services, addresses: new Set(endpoints.map(({ address }) => address)) });
  }

  policiesChanged(namespace?: string): void {
    const all = [...this.#workloads.all()].filter((pod) => namespace === undefined || pod.namespace === namespace);
    this.#refresh(all.map(({ uid }) => uid));
  }

  settled(): void {
    this.#settled = true;
  }

  destination(at: SocketAddress): Destination {
    return destinationAt(this.#view, at, this.#nowMs());
  }

  podAt(address: string): MeshPod | undefined {
    return this.#workloads.owner(address);
  }

  pod(uid: string): MeshPod | undefined {
    const pod = this.#workloads.get(uid);
    return pod?.finished === false ? pod : undefined;
  }

  policyOf(pod: MeshPod): EffectivePolicy {
    return this.#policies.of(pod);
  }

  readyEndpoints(service: string, portName: string): readonly SocketAddress[] {
    return this.#slices.ready(service, portName);
  }

  subscribe(listener: (touched: Touched) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  sizes(): { readonly pods: number; readonly services: number; readonly slices: number } {
    return { pods: this.#workloads.size, services: this.#services.size, slices: this.#slices.size };
  }

  #setPod(known: MeshPod | undefined, next: MeshPod): void {
    if (known !== undefined && samePod(known, next)) return;
    this.#workloads.set(next);
    this.#unseen.drop(next.uid);
    this.#policies.refresh(next);
    this.#retire(known);
    const selectedBefore = [...this.#selection.servicesOf(next.uid)];
    this.#selection.podChanged(known, next, this.#services);
    this.#tellPod(next, known, selectedBefore);
  }

  #removePod(known: MeshPod | undefined): void {
    if (known === undefined) return;
    this.#workloads.delete(known.uid, this.#slices.namesPod(known.uid));
    this.#policies.drop(known.uid);
    this.#retire(known);
    const selectedBefore = [...this.#selection.servicesOf(known.uid)];
    this.#selection.podChanged(known, undefined, this.#services);
    this.#tellPod(known, undefined, selectedBefore);
  }

  #refresh(uids: Iterable<string>): void {
    for (const uid of uids) {
      const pod = this.#workloads.get(uid);
      if (pod !== undefined && this.#policies.refresh(pod)) this.#tellPod(pod);
    }
  }

  /** Reserves the ClusterIPs that a Service of the mesh gave up. */
  #retireService(known: MeshService | undefined, next: MeshService | undefined): void {
    const [port] = known?.ports ?? [];
    if (known === undefined || port === undefined) return;
    for (const address of known.clusterAddresses) {
      if (next?.clusterAddresses.includes(address)) continue;
      const { serverName } = this.destination({ address, port: port.port });
      if (serverName !== undefined) this.#retired.add(address, serverName, this.#nowMs());
    }
  }

  /** Reserves the addresses that a pod gave up and nobody took over. */
  #retire(known: MeshPod | undefined): void {
    for (const address of known?.addresses ?? []) {
      if (known === undefined || this.#workloads.owner(address) !== undefined) continue;
      this.#retired.add(address, serverNameOf(this.#deps, known.service, known.namespace), this.#nowMs());
    }
  }

  /** Before the slice is put in: a pod that a slice named already is as unseen as it was. */
  #noteUnseen(slice: MeshSlice | undefined): void {
    if (!this.#settled) return;
    for (const { podUid } of slice?.endpoints ?? []) {
      if (podUid === undefined || this.#slices.namesPod(podUid) || this.#workloads.get(podUid) !== undefined) continue;
      this.#unseen.note(podUid, this.#nowMs());
    }
  }

  #forgetUnnamed(slice: MeshSlice | undefined): void {
    for (const { podUid } of slice?.endpoints ?? []) {
      if (podUid === undefined || this.#slices.namesPod(podUid)) continue;
      this.#unseen.drop(podUid);
      this.#workloads.forget(podUid);
    }
  }

  #tellPod(pod: MeshPod, before?: MeshPod, selectedBefore: readonly string[] = []): void {
    const named = this.#slices.addressesOfPod(pod.uid);
    const addresses = new Set([...pod.addresses, ...(before?.addresses ?? []), ...named]);
    const services = new Set([...selectedBefore, ...this.#selection.servicesOf(pod.uid)]);
    for (const address of addresses) {
      for (const service of this.#slices.servicesOfAddress(address)) services.add(service);
    }
    this.#tell({ pods: new Set([pod.uid]), services, addresses });
  }

  #tell(touched: Touched): void {
    for (const listener of this.#listeners) listener(touched);
  }

  #nowMs(): number {
    return this.#deps.clock.now().getTime();
  }
}

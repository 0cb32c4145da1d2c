// EndpointSlices by Service, with the ways back: which Services name a pod uid or an address. Conditions are read as
// kube-proxy reads them (discovery/v1 EndpointConditions): nil ready means ready, nil serving means as ready. Pure.
import { type EndpointSlice, keyOf } from '../../lib/kube/object.ts';
import { canonicalAddress, type Family, type SocketAddress } from './address.ts';
import { RefIndex } from './refs.ts';

/** What an endpoint can do now. */
export type EndpointState =
  | 'ready' // takes connections (publishNotReadyAddresses makes the slice say so too)
  | 'draining' // terminating, but still serving: used when nothing is ready
  | 'down';

/** One endpoint of a slice. */
export interface SliceEndpoint {
  /** Canonical. */
  readonly address: string;
  /** Of the pod that the slice means; absent in slices written by hand. Only pods of the slice's namespace count. */
  readonly podUid: string | undefined;
  readonly node: string;
  readonly state: EndpointState;
}

export interface MeshSlice {
  /** `<namespace>/<name>` of the slice. */
  readonly key: string;
  /** `<namespace>/<name>` of the Service it belongs to. */
  readonly service: string;
  readonly family: Family;
  /** TCP container ports by port name; a slice for several target ports of one name does not exist. */
  readonly ports: ReadonlyMap<string, number>;
  readonly endpoints: readonly SliceEndpoint[];
}

const serviceLabel = 'kubernetes.io/service-name';

/** The mesh's view of an EndpointSlice; undefined when it belongs to no Service or holds no IP addresses. */
export function meshSlice(slice: EndpointSlice): MeshSlice | undefined {
  const { metadata, addressType: family } = slice;
  const name = metadata.labels?.[serviceLabel];
  if (name === undefined || name === '' || (family !== 'IPv4' && family !== 'IPv6')) return undefined;
  const namespace = metadata.namespace ?? '';
  const ports = new Map<string, number>();
  for (const port of slice.ports ?? []) {
    if (typeof port.port === 'number' && (port.protocol ?? 'TCP') === 'TCP') ports.set(port.name ?? '', port.port);
  }
  // All addresses of an endpoint are one and the same pod; like kube-proxy, only the first is used.
  const endpoints = (slice.endpoints ?? []).flatMap((endpoint): SliceEndpoint[] => {
    const address = canonicalAddress(endpoint.addresses[0] ?? '');
    if (address === undefined) return [];
    const { targetRef: target, nodeName: node = '' } = endpoint;
    const ours = target?.kind === 'Pod' && (target.namespace ?? namespace) === namespace;
    return [{ address, podUid: ours ? target.uid : undefined, node, state: stateOf(endpoint.conditions ?? {}) }];
  });
  return { key: keyOf(metadata), service: `${namespace}/${name}`, family, ports, endpoints };
}

interface Conditions {
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
}

function stateOf({ ready = true, serving = ready, terminating = false }: Conditions): EndpointState {
  if (ready) return 'ready';
  return serving && terminating ? 'draining' : 'down';
}

/** The slices by Service. */
export class Slices {
  readonly #services = new Map<string, Map<string, MeshSlice>>();
  readonly #bySlice = new Map<string, MeshSlice>();
  readonly #byPod = new RefIndex();
  readonly #byAddress = new RefIndex();

  set(slice: MeshSlice): void {
    this.delete(slice.key);
    this.#bySlice.set(slice.key, slice);
    const siblings = this.#services.get(slice.service);
    if (siblings === undefined) this.#services.set(slice.service, new Map([[slice.key, slice]]));
    else siblings.set(slice.key, slice);
    for (const { podUid, address } of slice.endpoints) {
      if (podUid !== undefined) this.#byPod.add(podUid, slice.service);
      this.#byAddress.add(address, slice.service);
    }
  }

  delete(key: string): void {
    const slice = this.#bySlice.get(key);
    if (slice === undefined) return;
    this.#bySlice.delete(key);
    const siblings = this.#services.get(slice.service);
    siblings?.delete(key);
    if (siblings?.size === 0) this.#services.delete(slice.service);
    for (const { podUid, address } of slice.endpoints) {
      if (podUid !== undefined) this.#byPod.remove(podUid, slice.service);
      this.#byAddress.remove(address, slice.service);
    }
  }

  get(key: string): MeshSlice | undefined {
    return this.#bySlice.get(key);
  }

  /** The slices of a Service, by its key. */
  of(service: string): Iterable<MeshSlice> {
    return this.#services.get(service)?.values() ?? [];
  }

  /** Ready endpoints of a Service with the target of its port of that name. */
  ready(service: string, portName: string): readonly SocketAddress[] {
    return [...this.of(service)].flatMap(({ ports, endpoints }) => {
      const port = ports.get(portName);
      if (port === undefined) return [];
      return endpoints.flatMap(({ address, state }) => (state === 'ready' ? [{ address, port }] : []));
    });
  }

  /** Keys of the Services that name a pod. */
  servicesOfPod(uid: string): Iterable<string> {
    return this.#byPod.of(uid);
  }

  /** Keys of the Services that name an address. */
  servicesOfAddress(address: string): Iterable<string> {
    return this.#byAddress.of(address);
  }

  /** Addresses under which slices name a pod. */
  addressesOfPod(uid: string): readonly string[] {
    const endpoints = [...this.servicesOfPod(uid)].flatMap((service) =>
      [...this.of(service)].flatMap((slice) => slice.endpoints),
    );
    return endpoints.filter(({ podUid }) => podUid === uid).map(({ address }) => address);
  }

  /** Whether any slice names the pod. */
  namesPod(uid: string): boolean {
    return this.#byPod.has(uid);
  }

  get size(): number {
    return this.#bySlice.size;
  }
}

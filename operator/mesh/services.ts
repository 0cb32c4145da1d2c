// Kubernetes Services by the addresses that kube-proxy answers for: ClusterIPs, load balancer addresses of mode VIP and
// externalIPs. A ClusterIP is allocated by the API server and always wins over an address that a user could write down
// (CVE-2020-8554). Pure.
import { keyOf, type Service } from '../../lib/kube/object.ts';
import { canonicalAddress, type Family, familyOf } from './address.ts';
import { RefIndex } from './refs.ts';

/** Which endpoints a client of the Service may be given. */
export type Spread =
  | 'all' // any
  | 'node' // internalTrafficPolicy Local: those on the client's own node
  | 'client'; // sessionAffinity ClientIP: always the same one

export interface ServicePort {
  readonly port: number;
  /** Empty for the only port of a Service; matches the port names of EndpointSlices. */
  readonly name: string;
}

export interface MeshService {
  /** `<namespace>/<name>`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly createdMs: number;
  readonly uid: string;
  /** Assigned by the cluster. */
  readonly clusterAddresses: readonly string[];
  /** Written by users or load balancer controllers. */
  readonly externalAddresses: readonly string[];
  /** TCP ports alone. */
  readonly ports: readonly ServicePort[];
  readonly selector: Readonly<Record<string, string>> | undefined;
  readonly spread: Spread;
}

/** The mesh's view of a Service. An ExternalName Service is a DNS alias: it has no addresses and no endpoints. */
export function meshService(service: Service): MeshService {
  const { metadata, spec } = service;
  const alias = spec?.type === 'ExternalName';
  const selector = spec?.selector ?? {};
  return {
    key: keyOf(metadata),
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    createdMs: Date.parse(metadata.creationTimestamp) || 0,
    uid: metadata.uid,
    clusterAddresses: alias ? [] : addresses(spec?.clusterIPs ?? [spec?.clusterIP]),
    externalAddresses: alias ? [] : givenAddresses(service),
    ports: portsOf(service),
    selector: alias || Object.keys(selector).length === 0 ? undefined : selector,
    spread: spreadOf(service),
  };
}

function portsOf({ spec }: Service): readonly ServicePort[] {
  const tcp = (spec?.ports ?? []).filter((port) => (port.protocol ?? 'TCP') === 'TCP');
  return tcp.map((port) => ({ port: port.port, name: port.name ?? '' }));
}

/** With ipMode Proxy the traffic really goes to the load balancer, so that address is not kube-proxy's to answer. */
function givenAddresses({ spec, status }: Service): readonly string[] {
  const virtual = (status?.loadBalancer?.ingress ?? []).filter((each) => (each.ipMode ?? 'VIP') === 'VIP');
  return addresses([...(spec?.externalIPs ?? []), ...virtual.map((each) => each.ip)]);
}

/** Every address of a Service. */
export function addressesOf(service: MeshService): readonly string[] {
  return [...service.clusterAddresses, ...service.externalAddresses];
}

/** `None` (headless) and the empty text (not assigned yet) are no addresses and drop out. */
function addresses(texts: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(texts.flatMap((text) => canonicalAddress(text ?? '') ?? []))];
}

function spreadOf({ spec }: Service): Spread {
  if (spec?.internalTrafficPolicy === 'Local') return 'node';
  return spec?.sessionAffinity === 'ClientIP' ? 'client' : 'all';
}

/** Whether a selector picks a pod with these labels (equality only, as in core/v1 Service). */
export function selects(selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

/** The Service behind an address and port. */
export interface VirtualAddress {
  readonly service: MeshService;
  readonly port: ServicePort;
  readonly family: Family;
}

/** Where a Service with a selector is filed: under the first label that it asks for. */
function shelfOf({ namespace, selector = {} }: MeshService): string | undefined {
  const [first] = Object.entries(selector);
  return first === undefined ? undefined : shelf(namespace, first);
}

function shelf(namespace: string, [key, value]: readonly [string, string]): string {
  return `${namespace} ${key}=${value}`;
}

/** The Services by key, by address and by what they select. */
export class Services {
  readonly #services = new Map<string, MeshService>();
  readonly #shelves = new RefIndex();
  readonly #cluster = new Map<string, readonly MeshService[]>();
  readonly #external = new Map<string, readonly MeshService[]>();

  set(service: MeshService): void {
    this.delete(service.key);
    this.#services.set(service.key, service);
    const selecting = shelfOf(service);
    if (selecting !== undefined) this.#shelves.add(selecting, service.key);
    // Two Services share a ClusterIP only while one of them is already gone: the newer is the one that exists.
    claim(this.#cluster, service.clusterAddresses, service, (a, b) => b.createdMs - a.createdMs || byUid(a, b));
    claim(this.#external, service.externalAddresses, service, (a, b) => a.createdMs - b.createdMs || byUid(a, b));
  }

  delete(key: string): void {
    const service = this.#services.get(key);
    if (service === undefined) return;
    this.#services.delete(key);
    const selecting = shelfOf(service);
    if (selecting !== undefined) this.#shelves.remove(selecting, key);
    release(this.#cluster, service.clusterAddresses, key);
    release(this.#external, service.externalAddresses, key);
  }

  get(key: string): MeshService | undefined {
    return this.#services.get(key);
  }

  /** Keys of the Services of a namespace that select a pod with these labels. */
  selecting(namespace: string, labels: Readonly<Record<string, string>>): readonly string[] {
    const candidates = Object.entries(labels).flatMap((label) => [...this.#shelves.of(shelf(namespace, label))]);
    return candidates.filter((key) => selects(this.#services.get(key)?.selector ?? {}, labels));
  }

  /** The Service of a ClusterIP; `no_port` when it has no such TCP port; undefined when the address is no ClusterIP. */
  atClusterAddress(address: string, port: number): VirtualAddress | 'no_port' | undefined {
    const [service] = this.#cluster.get(address) ?? [];
    return service === undefined ? undefined : (atPort(service, address, port) ?? 'no_port');
  }

  /** The Service that kube-proxy answers for at an address given from outside; the oldest that has the port. */
  atExternalAddress(address: string, port: number): VirtualAddress | undefined {
    for (const service of this.#external.get(address) ?? []) {
      const found = atPort(service, address, port);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  get size(): number {
    return this.#services.size;
  }
}

function atPort(service: MeshService, address: string, port: number): VirtualAddress | undefined {
  const found = service.ports.find((each) => each.port === port);
  return found === undefined ? undefined : { service, port: found, family: familyOf(address) };
}

type Claims = Map<string, readonly MeshService[]>;

function claim(
  claims: Claims,
  at: readonly string[],
  service: MeshService,
  order: (a: MeshService, b: MeshService) => number,
): void {
  for (const address of at) claims.set(address, [...(claims.get(address) ?? []), service].sort(order));
}

function release(claims: Claims, at: readonly string[], key: string): void {
  for (const address of at) {
    const rest = (claims.get(address) ?? []).filter((each) => each.key !== key);
    if (rest.length === 0) claims.delete(address);
    else claims.set(address, rest);
  }
}

function byUid(a: MeshService, b: MeshService): number {
  return a.uid < b.uid ? -1 : 1;
}

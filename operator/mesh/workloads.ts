// The injected pods and who owns which address. Later claims win: a pod object may outlive its pod (a dead node, a
// deletion in progress) while the network gives its address to another. Pure: state in, state out, no clock.
import { annotations, isInjectedKind, labels, ports, spiffeId, written } from '../../lib/api/contract.ts';
import type { Pod } from '../../lib/kube/object.ts';
import { isServiceName } from '../../lib/pki/identity.ts';
import { canonicalAddress } from './address.ts';

/** What the mesh must know of one injected pod. */
export interface MeshPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** Tabard service, decided at admission. */
  readonly service: string;
  /** SPIFFE ID. */
  readonly identity: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Node name, empty until scheduled. */
  readonly node: string;
  /** Canonical; empty before the pod has an address and after it finished. */
  readonly addresses: readonly string[];
  /** Phase Succeeded or Failed, or deleted: its addresses are no longer its own. */
  readonly finished: boolean;
  /** Has the certificate alone, no sidecar: the application speaks TLS itself. */
  readonly terminatesItself: boolean;
  /** Ports that the pod's redirect leaves alone; `all` when nothing is captured. */
  readonly uncaptured: ReadonlySet<number> | 'all';
  /** When the kubelet took the pod on (else when it was created), ms since the epoch: orders claims on one address. */
  readonly sinceMs: number;
  /** Deletion was asked for. */
  readonly leaving: boolean;
  /** Ready now. EndpointSlices follow from this, a moment later. */
  readonly ready: boolean;
  /** Not ready now and never was: it is still on its way into the mesh. */
  readonly starting: boolean;
}

/**
 * The mesh's view of a pod; undefined when it is not injected: no mark of the injector, no service, or on the host's
 * network, whose addresses it would share with the node.
 */
export function meshPod(pod: Pod, trustDomain: string): MeshPod | undefined {
  const { metadata, spec, status } = pod;
  const service = injectedService(pod);
  if (service === undefined) return undefined;
  const namespace = metadata.namespace ?? '';
  const finished = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  return {
    uid: metadata.uid,
    name: metadata.name,
    namespace,
    service,
    identity: spiffeId(trustDomain, namespace, service),
    labels: metadata.labels ?? {},
    node: spec?.nodeName ?? '',
    addresses: finished ? [] : addressesOf(pod),
    finished,
    terminatesItself: metadata.labels?.[labels.injected] === 'certificate',
    uncaptured: uncapturedPorts(metadata.annotations ?? {}),
    sinceMs: Date.parse(status?.startTime ?? metadata.creationTimestamp) || 0,
    leaving: metadata.deletionTimestamp !== undefined,
    ...readiness(pod),
  };
}

/**
 * A pod is Ready=False from its first status on, so that a later transition to False than the one to Initialized=True tells
 * of a time in between when it was ready. What the conditions do not show counts as having been ready: that fails closed.
 */
function readiness({ status }: Pod): Pick<MeshPod, 'ready' | 'starting'> {
  const find = (type: string) => status?.conditions?.find((each) => each.type === type);
  const condition = find('Ready');
  const ready = condition?.status === 'True';
  if (condition === undefined || ready) return { ready, starting: false };
  const initialized = find('Initialized');
  const since = (each: typeof condition): number => Date.parse(each.lastTransitionTime ?? '');
  return { ready, starting: initialized?.status !== 'True' || since(condition) < since(initialized) };
}

function injectedService({ metadata, spec }: Pod): string | undefined {
  const injected = isInjectedKind(metadata.labels?.[labels.injected]) && spec?.hostNetwork !== true;
  const service = injected ? metadata.annotations?.[written.service] : undefined;
  // Admission writes nothing else; somebody marked this pod by hand.
  return service !== undefined && isServiceName(service) ? service : undefined;
}

function addressesOf({ status }: Pod): readonly string[] {
  const listed = status?.podIPs?.map((each) => each.ip) ?? [status?.podIP];
  return listed.flatMap((text) => canonicalAddress(text ?? '') ?? []);
}

/** What nearly every pod has: one set for all of them. */
const usual: ReadonlySet<number> = new Set([ports.admin]);

/** The admin port is never captured (design section 3); the user's exceptions come on top. */
function uncapturedPorts(given: Readonly<Record<string, string>>): ReadonlySet<number> | 'all' {
  if (given[annotations.capture] === 'none') return 'all';
  if (given[annotations.excludeInboundPorts] === undefined) return usual;
  const listed = (given[annotations.excludeInboundPorts] ?? '').split(',').map((text) => text.trim());
  // Admission accepted these pods, so what does not read as a port here was never excluded by the redirect either.
  return new Set([ports.admin, ...listed.filter((text) => /^[0-9]{1,5}$/.test(text)).map(Number)]);
}

/** Whether two views of one pod say the same. */
export function samePod(a: MeshPod, b: MeshPod): boolean {
  return (
    a.service === b.service &&
    a.namespace === b.namespace &&
    a.name === b.name &&
    a.node === b.node &&
    a.finished === b.finished &&
    a.terminatesItself === b.terminatesItself &&
    a.leaving === b.leaving &&
    a.ready === b.ready &&
    a.starting === b.starting &&
    a.sinceMs === b.sinceMs &&
    a.addresses.join() === b.addresses.join() &&
    sameLabels(a.labels, b.labels) &&
    portsOf(a) === portsOf(b)
  );
}

function sameLabels(a: MeshPod['labels'], b: MeshPod['labels']): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function portsOf({ uncaptured }: MeshPod): string {
  return uncaptured === 'all' ? uncaptured : [...uncaptured].join();
}

/** The injected pods by uid, and the owner of each address. */
export class Workloads {
  readonly #pods = new Map<string, MeshPod>();
  readonly #claims = new Map<string, readonly MeshPod[]>();
  /** Pods that are gone while an EndpointSlice still names them. */
  readonly #graves = new Map<string, MeshPod>();

  /** Puts a pod in, in place of the one of its uid. */
  set(pod: MeshPod): void {
    this.#release(this.#pods.get(pod.uid));
    this.#pods.set(pod.uid, pod);
    this.#graves.delete(pod.uid);
    for (const address of pod.addresses) {
      this.#claims.set(address, [...(this.#claims.get(address) ?? []), pod].sort(laterFirst));
    }
  }

  /**
   * Takes a pod out. With `bury` its name and identity are remembered until `forget`, so that an EndpointSlice which still
   * lists it is recognised as stale instead of as something outside the mesh.
   */
  delete(uid: string, bury: boolean): void {
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    this.#release(pod);
    this.#pods.delete(uid);
    if (bury) this.#graves.set(uid, { ...pod, addresses: [], finished: true, leaving: true });
  }

  /** Drops what is remembered of a pod that is gone. */
  forget(uid: string): void {
    this.#graves.delete(uid);
  }

  /** A live or finished pod; a buried one too, as finished. */
  get(uid: string): MeshPod | undefined {
    return this.#pods.get(uid) ?? this.#graves.get(uid);
  }

  /** The injected pod that an address belongs to now. */
  owner(address: string): MeshPod | undefined {
    return this.#claims.get(address)?.[0];
  }

  /** All pods that are not gone. */
  all(): Iterable<MeshPod> {
    return this.#pods.values();
  }

  get size(): number {
    return this.#pods.size;
  }

  #release(pod: MeshPod | undefined): void {
    for (const address of pod?.addresses ?? []) {
      const rest = (this.#claims.get(address) ?? []).filter((claim) => claim.uid !== pod?.uid);
      if (rest.length === 0) this.#claims.delete(address);
      else this.#claims.set(address, rest);
    }
  }
}

/**
 * Order of claims on one address: the pod that started last; among equals one that is not being deleted; then any fixed
 * order, equal on every replica.
 */
export function laterFirst(a: MeshPod, b: MeshPod): number {
  return b.sinceMs - a.sinceMs || Number(a.leaving) - Number(b.leaving) || (a.uid < b.uid ? 1 : -1);
}

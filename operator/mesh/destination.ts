// Who is at an address and port: the rules. Fails closed: what was or may be of the mesh is never reported as outside it.
// Pure: reads the indexes, takes the time.
import type { EffectivePolicy, Endpoint } from '../../lib/api/control.ts';
import { destinationKey, type SocketAddress } from './address.ts';
import { membership, type Standing, type Trait, traitOf } from './membership.ts';
import type { RetiredAddresses } from './retired.ts';
import type { Services, Spread, VirtualAddress } from './services.ts';
import type { EndpointState, SliceEndpoint, Slices } from './slices.ts';
import { laterFirst, type MeshPod, type Workloads } from './workloads.ts';

/** An endpoint and where it runs. */
export interface LocatedEndpoint {
  readonly endpoint: Endpoint;
  readonly node: string;
}

/** The answer for one destination, before it is narrowed to one client. */
export interface Destination {
  /** False: nothing of the mesh is there. */
  readonly known: boolean;
  /** `<name>.<namespace>.svc.<cluster domain>`; present when known. */
  readonly serverName?: string;
  /** Sorted by address and port, so that equal content is equal text on every replica. */
  readonly endpoints: readonly LocatedEndpoint[];
  readonly spread: Spread;
  /** Key of the Service that the answer was read from; the answer changes with it. */
  readonly service?: string;
  /** The answer may change at this time (ms since the epoch) without any further event. */
  readonly againAtMs?: number;
  /** A pod that may be injected is named by a slice, but was not seen yet: nothing is to be said before `againAtMs`. */
  readonly undecided?: true;
}

/** What the rules read. */
export interface MeshView {
  readonly workloads: Workloads;
  readonly services: Services;
  readonly slices: Slices;
  readonly retired: RetiredAddresses;
  readonly clusterDomain: string;
  policyOf(pod: MeshPod): EffectivePolicy;
  /** When a pod uid that no injected pod has is to be believed not injected (ms); the watches may be out of step. */
  believedAtMs(podUid: string): number;
  /** Whether the selector of a Service picks an injected pod that is not finished. */
  selectsInjected(service: string): boolean;
}

const outside: Destination = { known: false, endpoints: [], spread: 'all' };

/**
 * The answer for an address and port. A ClusterIP is its Service and nothing else; then the pod that owns the address;
 * then addresses that users assign to Services; then what the address was until a short while ago.
 */
export function destinationAt(view: MeshView, at: SocketAddress, nowMs: number): Destination {
  const virtual = view.services.atClusterAddress(at.address, at.port);
  if (virtual === 'no_port') return outside;
  if (virtual !== undefined) return serviceDestination(view, virtual, nowMs);
  const direct = podAt(view, at.address, nowMs);
  if (direct.kind === 'mesh') return podDestination(view, direct.pod, at);
  const external = view.services.atExternalAddress(at.address, at.port);
  if (external !== undefined) return serviceDestination(view, external, nowMs);
  if (direct.kind === 'unseen') return { ...outside, undecided: true, againAtMs: direct.untilMs };
  const retired = view.retired.get(at.address, nowMs);
  if (retired === undefined) return outside;
  const { serverName, untilMs } = retired;
  return { known: true, serverName, endpoints: [], spread: 'all', againAtMs: untilMs };
}

/** The name under which a Service, or a Tabard service, is logged and sent as SNI. */
export function serverNameOf(view: Pick<MeshView, 'clusterDomain'>, name: string, namespace: string): string {
  return `${name}.${namespace}.svc.${view.clusterDomain}`;
}

/** The pod of an address, also when only an EndpointSlice has told its address so far. */
function podAt(view: MeshView, address: string, nowMs: number): Standing {
  const pod = view.workloads.owner(address);
  if (pod !== undefined) return { kind: 'mesh', pod };
  let found: MeshPod | undefined;
  let unseen: Standing | undefined;
  for (const service of view.slices.servicesOfAddress(address)) {
    for (const slice of view.slices.of(service)) {
      for (const endpoint of slice.endpoints) {
        if (endpoint.address !== address || endpoint.podUid === undefined) continue;
        const standing = standingOf(view, endpoint, nowMs);
        if (standing.kind === 'mesh' && (found === undefined || laterFirst(standing.pod, found) < 0))
          found = standing.pod;
        if (standing.kind === 'unseen') unseen ??= standing;
      }
    }
  }
  return found === undefined ? (unseen ?? { kind: 'outside' }) : { kind: 'mesh', pod: found };
}

/** A slice may be older than the pods: the uid says which pod it means, the owner of the address who is there now. */
function standingOf(view: MeshView, { address, podUid }: SliceEndpoint, nowMs: number): Standing {
  const owner = view.workloads.owner(address);
  if (podUid === undefined) return owner === undefined ? { kind: 'outside' } : { kind: 'mesh', pod: owner };
  const pod = view.workloads.get(podUid);
  if (pod === undefined) {
    const untilMs = view.believedAtMs(podUid);
    return untilMs > nowMs ? { kind: 'unseen', untilMs } : { kind: 'outside' };
  }
  if (pod.finished || (owner !== undefined && owner.uid !== podUid)) return { kind: 'stale' };
  return { kind: 'mesh', pod };
}

function podDestination(view: MeshView, pod: MeshPod, at: SocketAddress): Destination {
  return {
    known: true,
    serverName: serverNameOf(view, pod.service, pod.namespace),
    endpoints: [{ endpoint: endpointOf(view, pod, at), node: pod.node }],
    spread: 'all',
  };
}

/** How a pod's port is reached: mTLS, unless its capture or its policy says that the bytes arrive untouched. */
function endpointOf(view: MeshView, pod: MeshPod, { address, port }: SocketAddress): Endpoint {
  const plain = { address, port, transport: 'plain' } as const;
  if (pod.terminatesItself) return { ...plain, why: 'application_tls' };
  if (pod.uncaptured === 'all' || pod.uncaptured.has(port)) return { ...plain, why: 'port_excluded' };
  const policy = view.policyOf(pod);
  const exception = policy.ports.find((each) => each.port === port);
  if ((exception?.mode ?? policy.mode) === 'Disabled') return { ...plain, why: 'policy_disabled' };
  if (exception?.protocol === 'Passthrough') return { ...plain, why: 'application_tls' };
  return { address, port, transport: 'mutual', identity: pod.identity };
}

interface Candidate extends LocatedEndpoint {
  readonly pod: MeshPod;
  readonly state: EndpointState;
}

/**
 * A Service offers injected endpoints alone from the moment when the first of its injected pods is ready, whatever becomes of
 * them afterwards; one without any is not known. Until then it is what it was: pods without a sidecar serve on while the
 * first injected one starts, and where nothing else stands behind it, it is known and empty. It leaves the mesh when all of its
 * injected pods are being deleted, none is on its way, and a ready pod without a sidecar stands in their place.
 */
function serviceDestination(view: MeshView, virtual: VirtualAddress, nowMs: number): Destination {
  const { service } = virtual;
  const { candidates, bare, traits, unseenUntilMs } = backingOf(view, virtual, nowMs);
  const shared = { spread: service.spread, service: service.key };
  const state = membership(traits);
  if (state === 'outside' || (state === 'nobody' && !view.selectsInjected(service.key)))
    return { ...outside, ...shared };
  if (state === 'undecided') return { ...outside, ...shared, undecided: true, againAtMs: unseenUntilMs };
  const serverName = serverNameOf(view, service.name, service.namespace);
  // A pod that was not seen yet may turn out to have no sidecar, and to be what takes this Service's place outside the mesh.
  const mayChange = traits.has('unseen') && !traits.has('member');
  const again = mayChange ? { againAtMs: unseenUntilMs } : {};
  const endpoints = state === 'passing' ? [...bare].sort(byKey).map(([, each]) => each) : serving(candidates);
  return { known: true, serverName, endpoints, ...shared, ...again };
}

/** What stands behind a Service's port. */
interface Backing {
  /** Endpoints of injected pods. */
  readonly candidates: Map<string, Candidate>;
  /** Ready endpoints of pods without a sidecar. */
  readonly bare: Map<string, LocatedEndpoint>;
  readonly traits: Set<Trait>;
  /** When the first pod that was not seen yet is to be believed not injected (ms). */
  unseenUntilMs: number;
}

function backingOf(view: MeshView, { service, port, family }: VirtualAddress, nowMs: number): Readonly<Backing> {
  const backing: Backing = { candidates: new Map(), bare: new Map(), traits: new Set(), unseenUntilMs: Infinity };
  for (const slice of view.slices.of(service.key)) {
    const target = slice.family === family ? slice.ports.get(port.name) : undefined;
    for (const endpoint of slice.endpoints) {
      const standing = standingOf(view, endpoint, nowMs);
      backing.traits.add(traitOf(standing, endpoint.state));
      if (standing.kind === 'unseen') backing.unseenUntilMs = Math.min(backing.unseenUntilMs, standing.untilMs);
      if (target === undefined) continue;
      const at = { address: endpoint.address, port: target };
      if (standing.kind === 'mesh') addCandidate(backing, candidateOf(view, standing.pod, { at, endpoint }));
      if (standing.kind !== 'outside' || endpoint.state !== 'ready') continue;
      const plain = { ...at, transport: 'plain', why: 'not_in_mesh' } as const;
      backing.bare.set(destinationKey(at), { endpoint: plain, node: endpoint.node });
    }
  }
  return backing;
}

function candidateOf(
  view: MeshView,
  pod: MeshPod,
  { at, endpoint }: { readonly at: SocketAddress; readonly endpoint: SliceEndpoint },
): Candidate {
  // The pod's own status is newer than the slice that is made of it.
  const ahead = endpoint.state === 'down' && pod.ready && !pod.leaving;
  const node = endpoint.node === '' ? pod.node : endpoint.node;
  return { endpoint: endpointOf(view, pod, at), node, pod, state: ahead ? 'ready' : endpoint.state };
}

function addCandidate({ candidates }: Backing, candidate: Candidate): void {
  const key = destinationKey(candidate.endpoint);
  const known = candidates.get(key);
  if (known === undefined || order(candidate, known) < 0) candidates.set(key, candidate);
}

/**
 * Which of two candidates for one address and port counts: while slices are rearranged an endpoint may stand in two of them
 * (KEP-752), and the better state is the newer one; of two pods it is the later one.
 */
function order(a: Candidate, b: Candidate): number {
  return a.pod.uid === b.pod.uid ? rank[a.state] - rank[b.state] : laterFirst(a.pod, b.pod);
}

const rank: Readonly<Record<EndpointState, number>> = { ready: 0, draining: 1, down: 2 };

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** The ready endpoints, else those that drain but still serve (KEP-1669). */
function serving(candidates: ReadonlyMap<string, Candidate>): readonly LocatedEndpoint[] {
  const entries = [...candidates].sort(byKey);
  const inState = (state: EndpointState) =>
    entries.flatMap(([, each]) => (each.state === state ? [{ endpoint: each.endpoint, node: each.node }] : []));
  const ready = inState('ready');
  return ready.length > 0 ? ready : inState('draining');
}

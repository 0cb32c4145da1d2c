// Who is at an address and port: the rules. Fails closed: what was or may be of the mesh is never reported as outside it.
// Pure: reads the indexes, takes the time.
import type { EffectivePolicy, Endpoint } from '../../lib/api/control.ts';
import { destinationKey, type SocketAddress } from './address.ts';
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

/** What stands behind an endpoint or address. */
type Standing =
  | { readonly kind: 'mesh'; readonly pod: MeshPod }
  | { readonly kind: 'stale' } // an injected pod was meant, but it is gone or its address is another's
  | { readonly kind: 'unseen'; readonly untilMs: number } // a pod that may turn out to be injected
  | { readonly kind: 'outside' };

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
function serviceDestination(view: MeshView, { service, port, family }: VirtualAddress, nowMs: number): Destination {
  const candidates = new Map<string, Candidate>();
  const traits = new Set<Trait>();
  let unseenUntilMs = Number.POSITIVE_INFINITY;
  for (const slice of view.slices.of(service.key)) {
    const target = slice.family === family ? slice.ports.get(port.name) : undefined;
    for (const endpoint of slice.endpoints) {
      const standing = standingOf(view, endpoint, nowMs);
      traits.add(traitOf(standing, endpoint));
      if (standing.kind === 'unseen') unseenUntilMs = Math.min(unseenUntilMs, standing.untilMs);
      if (standing.kind !== 'mesh' || target === undefined) continue;
      const at = { address: endpoint.address, port: target };
      const key = destinationKey(at);
      const node = endpoint.node === '' ? standing.pod.node : endpoint.node;
      const { pod } = standing;
      // The pod's own status is newer than the slice that is made of it.
      const state = endpoint.state === 'down' && pod.ready && !pod.leaving ? 'ready' : endpoint.state;
      const candidate = { endpoint: endpointOf(view, pod, at), node, pod, state } as const;
      const known = candidates.get(key);
      if (known === undefined || order(candidate, known) < 0) candidates.set(key, candidate);
    }
  }
  const shared = { spread: service.spread, service: service.key };
  switch (membership(traits)) {
    case 'outside':
      return { ...outside, ...shared };
    case 'undecided':
      return { ...outside, ...shared, undecided: true, againAtMs: unseenUntilMs };
    case 'nobody':
      if (!view.selectsInjected(service.key)) return { ...outside, ...shared };
      break;
    case 'ours':
  }
  const serverName = serverNameOf(view, service.name, service.namespace);
  // A pod that was not seen yet may turn out to have no sidecar, and to be what takes this Service's place outside the mesh.
  const mayChange = traits.has('unseen') && !traits.has('member');
  const again = mayChange ? { againAtMs: unseenUntilMs } : {};
  return { known: true, serverName, endpoints: serving(candidates), ...shared, ...again };
}

/** What one endpoint says about its Service: pods without a sidecar that serve or do not, and injected pods by where they are in life. */
type Trait = 'bare ready' | 'bare' | 'unseen' | 'starting' | 'member' | 'leaving';

function traitOf(standing: Standing, { state }: SliceEndpoint): Trait {
  switch (standing.kind) {
    case 'outside':
      return state === 'ready' ? 'bare ready' : 'bare';
    case 'unseen':
      return 'unseen';
    case 'stale':
      return 'leaving';
    case 'mesh':
      if (standing.pod.leaving) return 'leaving';
      return standing.pod.starting && state !== 'ready' ? 'starting' : 'member';
  }
}

/** Whether a Service is of the mesh, from the traits of its endpoints. */
function membership(traits: ReadonlySet<Trait>): 'ours' | 'outside' | 'undecided' | 'nobody' {
  if (traits.has('member')) return 'ours';
  const bare = traits.has('bare ready') || traits.has('bare');
  if (traits.has('leaving')) return traits.has('bare ready') && !traits.has('starting') ? 'outside' : 'ours';
  if (bare) return 'outside';
  if (traits.has('starting')) return 'ours';
  return traits.has('unseen') ? 'undecided' : 'nobody';
}

/**
 * Which of two candidates for one address and port counts: while slices are rearranged an endpoint may stand in two of them
 * (KEP-752), and the better state is the newer one; of two pods it is the later one.
 */
function order(a: Candidate, b: Candidate): number {
  return a.pod.uid === b.pod.uid ? rank[a.state] - rank[b.state] : laterFirst(a.pod, b.pod);
}

const rank: Readonly<Record<EndpointState, number>> = { ready: 0, draining: 1, down: 2 };

/** The ready endpoints, else those that drain but still serve (KEP-1669). */
function serving(candidates: ReadonlyMap<string, Candidate>): readonly LocatedEndpoint[] {
  const entries = [...candidates].sort(([a], [b]) => (a < b ? -1 : 1));
  const inState = (state: EndpointState) =>
    entries.flatMap(([, each]) => (each.state === state ? [{ endpoint: each.endpoint, node: each.node }] : []));
  const ready = inState('ready');
  return ready.length > 0 ? ready : inState('draining');
}

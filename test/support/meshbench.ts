// Kubernetes objects in a line each, and a mesh fed with them, for the tests of operator/mesh and operator/control.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { Clock } from '../../lib/clock.ts';
import type { EndpointSlice, KubeObject, Pod, Service } from '../../lib/kube/object.ts';
import { parseDestination } from '../../operator/mesh/address.ts';
import type { Destination } from '../../operator/mesh/destination.ts';
import { createMesh, type Mesh } from '../../operator/mesh/mesh.ts';
import type { MeshPod } from '../../operator/mesh/workloads.ts';

/** A clock that stands still until it is moved. Setting `ms` wakes nobody, `advance` wakes who is due. */
export class StoodClock implements Clock {
  ms = Date.parse('2026-11-22T10:00:00Z');
  readonly #sleepers = new Set<{ readonly dueMs: number; readonly wake: () => void }>();

  now(): Date {
    return new Date(this.ms);
  }

  nowMs(): number {
    return this.ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { dueMs: this.ms + ms, wake: resolve };
    this.#sleepers.add(sleeper);
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    return promise;
  }

  after(ms: number, run: () => void): () => void {
    const sleeper = { dueMs: this.ms + ms, wake: run };
    this.#sleepers.add(sleeper);
    return () => this.#sleepers.delete(sleeper);
  }

  /** Moves the time, wakes who is due, and lets what follows from that happen. */
  async advance(ms: number): Promise<void> {
    this.ms += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.dueMs > this.ms) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
  }
}

export interface PodShape {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly service?: string;
  readonly ips?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly phase?: string;
  readonly injected?: boolean;
  readonly hostNetwork?: boolean;
  readonly node?: string;
  /** Seconds after the start of the test's day. */
  readonly started?: number;
  readonly leaving?: boolean;
  /** What its conditions say; without it there are none. */
  readonly readiness?: 'ready' | 'never' | 'lost';
}

/** Conditions as the kubelet writes them: Ready=False from the first status on, Initialized after ten seconds, Ready after twenty. */
function conditionsOf(readiness: PodShape['readiness']) {
  if (readiness === undefined) return {};
  const ready = { ready: ['True', 20], never: ['False', 0], lost: ['False', 30] } as const;
  const [status, since] = ready[readiness];
  const condition = (type: string, value: string, seconds: number) => ({
    type,
    status: value,
    lastTransitionTime: at(seconds),
  });
  return { conditions: [condition('Ready', status, since), condition('Initialized', 'True', 10)] };
}

const at = (seconds = 0): string => new Date(Date.parse('2026-11-22T00:00:00Z') + seconds * 1000).toISOString();

/** A pod as the API server shows it; injected into service `<name without its last part>` unless told otherwise. */
export function pod(shape: PodShape): Pod {
  const { name, namespace = 'shop', injected = true, started } = shape;
  const service = shape.service ?? name.replace(/-[^-]*$/, '');
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      uid: shape.uid ?? `uid-${namespace}-${name}`,
      resourceVersion: '1',
      creationTimestamp: at(),
      labels: { app: service, ...(injected ? { 'tabard.dev/injected': 'true' } : {}), ...shape.labels },
      annotations: { ...(injected ? { 'tabard.dev/service': service } : {}), ...shape.annotations },
      ...(shape.leaving ? { deletionTimestamp: at(1) } : {}),
    },
    spec: { nodeName: shape.node ?? 'node-1', hostNetwork: shape.hostNetwork ?? false },
    status: {
      phase: shape.phase ?? 'Running',
      ...conditionsOf(shape.readiness),
      ...(started === undefined ? {} : { startTime: at(started) }),
      ...(shape.ips === undefined ? {} : { podIP: shape.ips[0], podIPs: shape.ips.map((ip) => ({ ip })) }),
    },
  };
  return object as unknown as Pod;
}

export interface ServiceShape {
  readonly name: string;
  readonly namespace?: string;
  readonly ips?: readonly string[];
  readonly ports?: readonly Readonly<Record<string, unknown>>[];
  readonly selector?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly ingress?: readonly Readonly<Record<string, string>>[];
  readonly created?: number;
}

/** A Service with one port, 80, that selects `app: <name>`, unless told otherwise. */
export function service(shape: ServiceShape): Service {
  const { name, namespace = 'shop', ips = [] } = shape;
  const object = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      namespace,
      uid: `uid-${namespace}-${name}`,
      resourceVersion: '1',
      creationTimestamp: at(shape.created),
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: ips[0] ?? '',
      clusterIPs: ips,
      selector: shape.selector ?? { app: name },
      ports: shape.ports ?? [{ port: 80, protocol: 'TCP' }],
      ...shape.spec,
    },
    status: { loadBalancer: shape.ingress === undefined ? {} : { ingress: shape.ingress } },
  };
  return object as unknown as Service;
}

export interface EndpointShape {
  readonly ip: string;
  /** Name of the pod it means; absent = a slice written by hand. */
  readonly pod?: string;
  readonly uid?: string;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly node?: string;
  readonly kind?: string;
}

export interface SliceShape {
  readonly name: string;
  readonly of: string;
  readonly namespace?: string;
  readonly endpoints: readonly EndpointShape[];
  readonly ports?: readonly Readonly<Record<string, unknown>>[];
  readonly type?: string;
  /** Namespace of the target references when it is not the slice's own. */
  readonly targetNamespace?: string;
}

/** An EndpointSlice with one port, 8080, unless told otherwise. */
export function slice(shape: SliceShape): EndpointSlice {
  const { namespace = 'shop' } = shape;
  const object = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: shape.name,
      namespace,
      uid: `uid-${shape.name}`,
      resourceVersion: '1',
      creationTimestamp: at(),
      labels: { 'kubernetes.io/service-name': shape.of },
    },
    addressType: shape.type ?? (shape.endpoints[0]?.ip.includes(':') ? 'IPv6' : 'IPv4'),
    ports: shape.ports ?? [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: shape.endpoints.map(({ ip, pod: name, uid, node, kind, ready = true, serving, terminating }) => ({
      addresses: [ip],
      conditions: { ready, serving: serving ?? ready, terminating: terminating ?? false },
      ...(node === undefined ? {} : { nodeName: node }),
      ...(name === undefined
        ? {}
        : {
            targetRef: {
              kind: kind ?? 'Pod',
              name,
              namespace: shape.targetNamespace ?? namespace,
              uid: uid ?? `uid-${namespace}-${name}`,
            },
          }),
    })),
  };
  return object;
}

/** What holds unless a test says otherwise. */
export const defaultPolicy: EffectivePolicy = {
  source: 'defaults',
  mode: 'Mutual',
  ports: [],
  tls: { minVersion: '1.3', ciphers: [], groups: ['X25519MLKEM768', 'X25519', 'P-256'] },
  connections: { maxAgeMs: 43_200_000, idleTimeoutMs: 3_600_000, handshakeTimeoutMs: 10_000, maxConcurrent: 10_000 },
  accessLog: 'None',
};

/** A mesh in the hands of a test: policies by Tabard service name, a clock of its choice. */
export class MeshBench<C extends Clock = StoodClock> {
  readonly clock: C;
  readonly policies = new Map<string, Partial<EffectivePolicy>>();
  readonly mesh: Mesh;

  constructor(clock: C) {
    this.clock = clock;
    this.mesh = createMesh({
      trustDomain: 'cluster.local',
      clusterDomain: 'cluster.local',
      clock,
      policyOf: ({ service: name }: MeshPod) => ({ ...defaultPolicy, ...this.policies.get(name) }),
    });
  }

  /** Objects appear or change, in this order. */
  apply(...objects: readonly KubeObject[]): this {
    for (const object of objects) this.#feed(object, undefined, object);
    return this;
  }

  /** Objects go away, in this order. */
  remove(...objects: readonly KubeObject[]): this {
    for (const object of objects) this.#feed(object, object, undefined);
    return this;
  }

  #feed({ kind }: KubeObject, before: KubeObject | undefined, after: KubeObject | undefined): void {
    if (kind === 'Pod') this.mesh.podChanged(before, after);
    else if (kind === 'Service') this.mesh.serviceChanged(before, after);
    else this.mesh.sliceChanged(before as EndpointSlice | undefined, after as EndpointSlice | undefined);
  }

  /** The answer for a destination as a short text, see textOf. */
  at(destination: string): string {
    return textOf(this.answer(destination));
  }

  answer(destination: string): Destination {
    const parsed = parseDestination(destination);
    if (parsed === undefined) throw new Error(`${destination} is no destination`);
    return this.mesh.destination(parsed);
  }
}

/** `unknown`, `undecided`, or `<server name without .svc.cluster.local>: <address:port> <namespace/service or plain reason>, …`. */
export function textOf(answer: Destination): string {
  if (answer.undecided) return 'undecided';
  if (!answer.known) return 'unknown';
  const endpoints = answer.endpoints.map(({ endpoint }) => {
    const who =
      endpoint.transport === 'plain' ? endpoint.why : endpoint.identity.replace(/^.*\/ns\/(.*)\/svc\//, '$1/');
    return `${endpoint.address}:${endpoint.port} ${who}`;
  });
  return `${answer.serverName?.replace('.svc.cluster.local', '')}: ${endpoints.join(', ') || 'none'}`;
}

/** One case: what is in the cluster, and the answers (textOf) for some destinations. */
export interface DestinationRow {
  readonly name: string;
  readonly objects: readonly KubeObject[];
  /** Removed after `objects` were applied. */
  readonly gone?: readonly KubeObject[];
  /** Applied last. */
  readonly later?: readonly KubeObject[];
  /** By Tabard service. */
  readonly policies?: Readonly<Record<string, Partial<EffectivePolicy>>>;
  readonly at: Readonly<Record<string, string>>;
}

/** What a new mesh answers for the destinations of a case. */
export function answers({ objects, gone = [], later = [], policies = {}, at }: DestinationRow): Record<string, string> {
  const bench = new MeshBench(new StoodClock());
  for (const [name, policy] of Object.entries(policies)) bench.policies.set(name, policy);
  bench
    .apply(...objects)
    .remove(...gone)
    .apply(...later);
  return Object.fromEntries(Object.keys(at).map((key) => [key, bench.at(key)]));
}

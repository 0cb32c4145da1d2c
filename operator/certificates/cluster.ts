// The cluster as certificates see it, read from the caches: a service's pods, the policy that governs them, the Services that
// select them. No I/O.
import { isInjectedKind, labels, written } from '../../lib/api/contract.ts';
import type { TLSBaseline } from '../../lib/api/tlsbaseline.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import type { Pod, Service } from '../../lib/kube/object.ts';
import type { Store, StoreOptions } from '../../lib/kube/store.ts';
import { isServiceName, type NamedService } from '../../lib/pki/identity.ts';
import { floorOf } from '../../lib/policy/baseline.ts';
import { type PortProtocol, portProtocols } from '../../lib/policy/protocols.ts';
import { governing, type Labels, precedence, type Selected } from '../../lib/policy/select.ts';

/** Indexes that the stores given to `Cluster` must declare. */
export const clusterIndexes = {
  pods: {
    indexes: {
      namespace: (pod: Pod) => (serviceKeyOf(pod) === undefined ? [] : [pod.metadata.namespace ?? '']),
      tabardService: (pod: Pod) => [serviceKeyOf(pod) ?? []].flat(),
    },
  },
  services: { indexes: { namespace: ({ metadata }: Service) => [metadata.namespace ?? ''] } },
  policies: { indexes: { namespace: ({ metadata }: TLSPolicy) => [metadata.namespace ?? ''] } },
} as const satisfies {
  readonly pods: StoreOptions<Pod>;
  readonly services: StoreOptions<Service>;
  readonly policies: StoreOptions<TLSPolicy>;
};

/**
 * `<namespace>/<service>` of an injected pod; undefined when it is not injected or shares the node's network, and when its
 * service is no name that admission would have written: somebody marked the pod by hand.
 */
export function serviceKeyOf({ metadata, spec }: Pod): string | undefined {
  const service = metadata.annotations?.[written.service];
  if (!isInjectedKind(metadata.labels?.[labels.injected]) || spec?.hostNetwork === true) return undefined;
  if (service === undefined || !isServiceName(service)) return undefined;
  return `${metadata.namespace ?? ''}/${service}`;
}

/** Whether an injected pod has a sidecar: one with the certificate alone never reports anything and proxies nothing. */
export function hasSidecar({ metadata }: Pick<Pod, 'metadata'>): boolean {
  return metadata.labels?.[labels.injected] === 'true';
}

/** Finished: phase Succeeded or Failed. */
export function isFinished({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

/** Most Kubernetes Services that one certificate names. */
export const maximumServices = 64;

/** The pods of a service that are not finished. */
export interface ServicePods {
  /** Not being deleted. */
  readonly live: readonly Pod[];
  readonly leaving: readonly Pod[];
}

/** The caches. */
export interface ClusterStores {
  /** Injected pods (label tabard.dev/injected), those with the certificate alone too. */
  readonly pods: Store<Pod>;
  readonly services: Store<Service>;
  readonly policies: Store<TLSPolicy>;
  /** Where there are any. */
  readonly baselines?: Pick<Store<TLSBaseline>, 'list'>;
}

/** Answers from the caches. */
export class Cluster {
  readonly #stores: ClusterStores;

  constructor(stores: ClusterStores) {
    this.#stores = stores;
  }

  /** The unfinished pods of `<namespace>/<service>`. */
  podsOf(key: string): ServicePods {
    const pods = this.#stores.pods.byIndex('tabardService', key).filter((pod) => !isFinished(pod));
    const isLeaving = ({ metadata }: Pod): boolean => metadata.deletionTimestamp !== undefined;
    return { live: pods.filter((pod) => !isLeaving(pod)), leaving: pods.filter(isLeaving) };
  }

  /** Longest lifetime of a certificate that the baselines allow, milliseconds; Infinity = any. */
  longestMs(): number {
    return floorOf(this.#stores.baselines?.list() ?? []).longestMs;
  }

  /** Keys of the services of a namespace that have pods of any state. */
  servicesIn(namespace: string): readonly string[] {
    const keys = this.#stores.pods.byIndex('namespace', namespace).map((pod) => serviceKeyOf(pod) ?? '');
    return [...new Set(keys)].sort();
  }

  /** Keys of all services that have pods. */
  *services(): Iterable<string> {
    for (const pod of this.#stores.pods.list()) {
      const key = serviceKeyOf(pod);
      if (key !== undefined) yield key;
    }
  }

  /** Who governs a pod with these labels. */
  selected(namespace: string, podLabels: Labels): Selected {
    return governing(this.#stores.policies.byIndex('namespace', namespace), podLabels);
  }

  /**
   * Who decides about the certificate of a service: the first, in the order of precedence, of those that govern its pods.
   * Usually all pods have one; during a change of labels, or when two workloads share a service, they may not.
   */
  policyOf(pods: readonly Pod[]): TLSPolicy | undefined {
    const found = pods.map(({ metadata }) => this.selected(metadata.namespace ?? '', metadata.labels ?? {}).policy);
    return found.filter((policy) => policy !== undefined).sort(precedence)[0];
  }

  /**
   * The Kubernetes Services that select any of these pods, all of one namespace, in the order of their names. Only so many as a
   * certificate can name: with thousands of names no handshake would take it (OpenSSL refuses chains above 100 kB).
   */
  servicesOf(pods: readonly Pod[]): readonly NamedService[] {
    const [first] = pods;
    if (first === undefined) return [];
    const found: NamedService[] = [];
    for (const service of this.#stores.services.byIndex('namespace', first.metadata.namespace ?? '')) {
      if (!selectsAny(service, pods)) continue;
      found.push({ name: service.metadata.name, headless: service.spec?.clusterIP === 'None' });
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, maximumServices);
  }

  /** What the Kubernetes Services in front of a pod say of its ports. */
  spokenBy(pod: Pod): readonly PortProtocol[] {
    const services = this.#stores.services.byIndex('namespace', pod.metadata.namespace ?? '');
    const own = services.filter((service) => selectsAny(service, [pod]));
    return portProtocols(own, { spec: { containers: [], ...pod.spec } });
  }
}

/**
 * Whether a Service selects one of the pods. Without a selector it selects nothing; an ExternalName Service is an alias. Asked of every
 * Service of a namespace for each certificate, several times: that took a third of all memory that issuing allocated.
 */
function selectsAny({ spec }: Service, pods: readonly Pod[]): boolean {
  const selector = spec?.selector;
  if (selector === undefined || spec?.type === 'ExternalName') return false;
  for (const { metadata } of pods) if (isSelected(metadata.labels, selector)) return true;
  return false;
}

function isSelected(podLabels: Labels | undefined, selector: Labels): boolean {
  let any = false;
  for (const name in selector) {
    if (podLabels?.[name] !== selector[name]) return false;
    any = true;
  }
  return any;
}

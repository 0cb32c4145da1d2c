// What the operator knows of the cluster: one store per kind, each kept by a reflector. Pods are watched by the label of
// injection and Secrets by the label of what Tabard writes; everything else whole. Every replica has all of it.
import { delivered, injectedKinds, labels, MANAGED_BY } from '../lib/api/contract.ts';
import type { TLSBaseline, TLSRole } from '../lib/api/tlsbaseline.ts';
import type { TLSIssuer } from '../lib/api/tlsissuer.ts';
import type { TLSPolicy } from '../lib/api/tlspolicy.ts';
import type { TLSRevocation } from '../lib/api/tlsrevocation.ts';
import type { Clock } from '../lib/clock.ts';
import type { KubeClient } from '../lib/kube/client.ts';
import { isKube } from '../lib/kube/errors.ts';
import type { KubeMetrics } from '../lib/kube/metrics.ts';
import type {
  ClusterTrustBundle,
  ConfigMap,
  EndpointSlice,
  KubeObject,
  Node,
  Pod,
  PodCertificateRequest,
  Secret,
  Service,
  ServiceCIDR,
} from '../lib/kube/object.ts';
import { Reflector, type ReflectorOptions } from '../lib/kube/reflector.ts';
import { metadataOf, type Resource, resourceName, resources } from '../lib/kube/resources.ts';
import { ObjectStore, type Store, type StoreOptions } from '../lib/kube/store.ts';
import { Texts } from '../lib/kube/texts.ts';
import type { Part, Stage } from '../lib/runtime/lifecycle.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import { clusterIndexes } from './certificates/cluster.ts';
import { requestIndexes } from './podcertificates/requests.ts';
import { secretTrimmer, trimNode, trimPod, trimService, trimSlice } from './trim.ts';

/** The stores. */
export interface Caches {
  /** Injected pods, trimmed (trim.ts). */
  readonly pods: Store<Pod>;
  readonly services: Store<Service>;
  readonly slices: Store<EndpointSlice>;
  readonly policies: Store<TLSPolicy>;
  readonly issuers: Store<TLSIssuer>;
  readonly revocations: Store<TLSRevocation>;
  readonly baselines: Store<TLSBaseline>;
  readonly roles: Store<TLSRole>;
  /** Those with app.kubernetes.io/managed-by=tabard, of all namespaces. */
  readonly secrets: Store<Secret>;
  /** All of Tabard's own namespace: keys and credentials that issuers name. */
  readonly ownSecrets: Store<Secret>;
  /** All of Tabard's own namespace. */
  readonly ownConfigMaps: Store<ConfigMap>;
  /** Pod ranges alone. */
  readonly nodes: Store<Node>;
  /** Empty where the API server does not know the kind (Kubernetes < 1.33). */
  readonly servicecidrs: Store<ServiceCIDR>;
  /** Metadata of namespaces that ask for the trust bundle (label tabard.dev/trust-bundle=enabled). */
  readonly trustNamespaces: Store<KubeObject>;
  /** ConfigMaps with app.kubernetes.io/managed-by=tabard, of all namespaces. */
  readonly trustMaps: Store<ConfigMap>;
  /** Those with app.kubernetes.io/managed-by=tabard; empty where the API server does not know the kind. */
  readonly clusterTrustBundles: Store<ClusterTrustBundle>;
  /** Those for Tabard's signer; empty where the API server does not know the kind (Kubernetes < 1.37). */
  readonly podCertificateRequests: Store<PodCertificateRequest>;
}

export interface CachesDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  /** Tabard's own. */
  readonly namespace: string;
}

/** The stores, what fills them, and how they are. */
export interface CacheSet {
  readonly stores: Caches;
  /** Starts one list-watch per kind. */
  start(stage: Stage): void;
  /** Milliseconds since the API server was last heard of a kind. */
  silentMs(resource: Resource): number;
  /** What is not filled yet, or was not heard of for long; empty = all is well. */
  notReady(): readonly string[];
}

/** After this long without a word from the API server about a kind, what is known of it counts as old. */
const oldMs = 300_000;

interface Kept {
  readonly name: string;
  readonly run: Part;
  synced(): boolean;
  silentMs(): number;
}

/** Makes the caches; nothing runs yet. */
export function createCaches(deps: CachesDeps): CacheSet {
  const kept: Kept[] = [];
  const texts = new Texts();
  const onListenerError = (err: unknown): void => deps.logger.error({ err }, 'a listener of a cache failed');
  const keep = <T extends KubeObject>(
    resource: Resource<T>,
    options: StoreOptions<T> & Pick<ReflectorOptions<T>, 'selection' | 'trim'> = {},
    isOptional = false,
  ): Store<T> => {
    const { indexes = {}, ...rest } = options;
    const store = new ObjectStore<T>({ indexes, onListenerError, texts });
    const reflector = new Reflector<T>({ ...deps, resource, store, ...rest });
    let isServed = true;
    kept.push({
      name: resourceName(resource),
      run: async (signal) => {
        isServed = !isOptional || (await served(deps, resource, signal));
        if (isServed) await reflector.run(signal);
        else store.replace([]);
      },
      synced: () => store.hasSynced,
      silentMs: () => (isServed ? reflector.silentMs : 0),
    });
    return store;
  };
  const injected = { labelSelector: `${labels.injected} in (${injectedKinds.join(',')})` };
  const own = { namespace: deps.namespace };
  const ours = { labelSelector: `${labels.managedBy}=${MANAGED_BY}` };
  const askForTrust = { labelSelector: `${labels.trustBundle}=enabled` };
  const forOurSigner = { fieldSelector: `spec.signerName=${delivered.signerName}` };
  return {
    stores: {
      pods: keep(resources.pods, { ...clusterIndexes.pods, selection: injected, trim: trimPod }),
      services: keep(resources.services, { ...clusterIndexes.services, trim: trimService }),
      slices: keep(resources.endpointslices, { trim: trimSlice }),
      policies: keep(resources.tlspolicies, clusterIndexes.policies),
      issuers: keep(resources.tlsissuers),
      revocations: keep(resources.tlsrevocations),
      baselines: keep(resources.tlsbaselines),
      roles: keep(resources.tlsroles),
      secrets: keep(resources.secrets, { selection: ours, trim: secretTrimmer() }),
      ownSecrets: keep(resources.secrets, { selection: own }),
      ownConfigMaps: keep(resources.configmaps, { selection: own }),
      nodes: keep(resources.nodes, { trim: trimNode }),
      servicecidrs: keep(resources.servicecidrs, {}, true),
      trustNamespaces: keep(metadataOf(resources.namespaces), { selection: askForTrust }),
      trustMaps: keep(resources.configmaps, { selection: ours }),
      clusterTrustBundles: keep(resources.clustertrustbundles, { selection: ours }, true),
      podCertificateRequests: keep(
        resources.podcertificaterequests,
        { ...requestIndexes, selection: forOurSigner },
        true,
      ),
    },
    start: (stage) => {
      for (const { name, run } of kept) stage.run(`cache of ${name}`, run);
    },
    silentMs: (resource) => {
      const found = kept.filter(({ name }) => name === resourceName(resource));
      return Math.max(0, ...found.map((each) => each.silentMs()));
    },
    notReady: () => [
      ...kept.filter((each) => !each.synced()).map(({ name }) => `${name}: not listed yet`),
      ...kept.filter((each) => each.synced() && each.silentMs() > oldMs).map(silence),
    ],
  };
}

function silence(each: Kept): string {
  return `${each.name}: nothing heard from the API server for ${Math.round(each.silentMs() / 1000)} s`;
}

/** Whether the API server knows a kind at all. Any doubt counts as yes: the reflector keeps asking. */
async function served({ client, logger }: CachesDeps, resource: Resource, signal: AbortSignal): Promise<boolean> {
  try {
    await client.list(resource, { limit: 1, signal });
    return true;
  } catch (error) {
    if (!isKube(error, 'NotFound')) return true;
    logger.info({ resource: resourceName(resource) }, 'the API server does not know this kind');
    return false;
  }
}

// Fills the snapshot that edge certificates are planned on: from the caches, from what sidecars reported, and from what the CA says of
// renewal. The API server is asked only whether somebody else's Secret is in the way.
import { edgeSecretName, spiffeId } from '../../../lib/api/contract.ts';
import type { TLSPolicy } from '../../../lib/api/tlspolicy.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import type { Pod, Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { certificateSettings } from '../../../lib/policy/effective.ts';
import type { Reports } from '../../control/report.ts';
import type { Issuers } from '../../issuers/issuers.ts';
import type { OpenOrders } from '../../issuers/orders.ts';
import type { Advice } from '../advice.ts';
import { type Cluster, hasSidecar } from '../cluster.ts';
import type { CertificateStores } from '../feeds.ts';
import type { RevocationLookup } from '../gather.ts';
import type { RecentSecrets } from '../recent.ts';
import { edgeNameFault } from './names.ts';
import type { EdgeOutcomes } from './outcomes.ts';
import { currentEdge } from './secret.ts';
import type { EdgeSnapshot, WantedEdge } from './snapshot.ts';

/** What gathering reads from. */
export interface EdgeGatherDeps {
  readonly client: Pick<KubeClient, 'get'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly stores: Pick<CertificateStores, 'issuers'>;
  readonly cluster: Cluster;
  readonly issuers: Issuers;
  readonly reports: Pick<Reports, 'ofService'>;
  readonly outcomes: Pick<EdgeOutcomes, 'failure'>;
  readonly revocations?: RevocationLookup;
  readonly recent: RecentSecrets;
  readonly advice: Advice;
  readonly orders: Pick<OpenOrders, 'of'>;
  readonly trustDomain: string;
  readonly clusterDomain: string;
}

/** A snapshot with the objects behind it. */
export interface GatheredEdge {
  readonly snapshot: EdgeSnapshot;
  readonly secret: Secret | undefined;
  readonly policy: TLSPolicy | undefined;
  readonly pods: readonly Pod[];
}

/** `<namespace>/<name>` of the edge Secret of `<namespace>/<service>`. */
export function edgeSecretKey(key: string): string {
  const [namespace = '', service = ''] = key.split('/');
  return `${namespace}/${edgeSecretName(service)}`;
}

/** Gathers. */
export class EdgeGatherer {
  readonly #deps: EdgeGatherDeps;

  constructor(deps: EdgeGatherDeps) {
    this.#deps = deps;
  }

  /** Everything about one service now. Rejects for the signal, or when the API server cannot be asked. */
  async gather(key: string, signal: AbortSignal): Promise<GatheredEdge> {
    const { cluster, clock, issuers, reports, outcomes } = this.#deps;
    const [namespace = '', service = ''] = key.split('/');
    const pods = cluster.podsOf(key).live.filter(hasSidecar);
    const policy = cluster.policyOf(pods);
    const wanted = pods.length === 0 ? undefined : wantedBy(policy);
    const secret = this.#deps.recent.get(edgeSecretKey(key)) ?? (await this.#unseen(key, wanted, signal));
    const current = currentEdge(secret);
    const now = clock.now();
    const advisedAt =
      current.kind === 'held' && wanted?.issuer === current.issuer
        ? await this.#deps.advice.of(key, { chain: current.chain, issuer: issuers.named(current.issuer) }, signal)
        : undefined;
    const snapshot: EdgeSnapshot = {
      now,
      key,
      pods: pods.length,
      reporting: reports.ofService({ namespace, service }).length,
      wanted,
      fault: wanted === undefined ? undefined : this.#fault(wanted),
      current,
      issuer: issuers.state(wanted?.issuer ?? '', now),
      advisedAt,
      failure: outcomes.failure(key),
      order: this.#deps.orders.of(key),
      revoked: this.#revoked({ namespace, service }, current),
    };
    return { snapshot, secret, policy, pods };
  }

  #revoked(
    { namespace, service }: { readonly namespace: string; readonly service: string },
    current: EdgeSnapshot['current'],
  ): { readonly identity: string | undefined; readonly serial: string | undefined } {
    const { revocations, trustDomain } = this.#deps;
    return {
      identity: revocations?.byIdentity(spiffeId(trustDomain, namespace, service)),
      serial: current.kind === 'held' ? revocations?.bySerial(current.facts.serial) : undefined,
    };
  }

  /** A Secret of somebody else is in no watch of ours: asked for only where one is to be written. */
  async #unseen(key: string, wanted: WantedEdge | undefined, signal: AbortSignal): Promise<Secret | undefined> {
    if (wanted === undefined) return undefined;
    const [namespace = '', service = ''] = key.split('/');
    try {
      return await this.#deps.client.get(resources.secrets, { namespace, name: edgeSecretName(service) }, { signal });
    } catch (error) {
      if (isKube(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  #fault({ issuer, dnsNames }: WantedEdge): string | undefined {
    const { stores, trustDomain, clusterDomain } = this.#deps;
    const object = stores.issuers.get(issuer);
    // A missing issuer is told by its state.
    if (object === undefined) return undefined;
    const { acme } = object.spec;
    if (acme === undefined)
      return `issuer "${issuer}" signs identities of the mesh; an edge certificate needs one of kind acme`;
    return edgeNameFault(dnsNames, { trustDomain, clusterDomain, acme });
  }
}

function wantedBy(policy: TLSPolicy | undefined): WantedEdge | undefined {
  const edge = policy?.spec.edge;
  if (edge === undefined) return undefined;
  const { key, renewAt } = certificateSettings(policy);
  const dnsNames = [...new Set(edge.dnsNames.map((name) => name.toLowerCase()))].sort();
  return { issuer: edge.issuer, dnsNames, key, renewAt };
}

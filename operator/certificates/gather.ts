// Fills the snapshot that the planner decides on, from the caches; the API server is asked only for what no cache shows: the
// workload behind a new ReplicaSet or Job, and whether a foreign Secret is still in the way.
import { certificateSecretName, secretKeys, spiffeId, written } from '../../lib/api/contract.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { isKube } from '../../lib/kube/errors.ts';
import type { Pod, Secret } from '../../lib/kube/object.ts';
import { metadataOf, resources } from '../../lib/kube/resources.ts';
import { dnsNamesOf } from '../../lib/pki/identity.ts';
import { certificateSettings } from '../../lib/policy/effective.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import {
  contentOf,
  type KeystoreState,
  type KeystoreWish,
  keystoreState,
  keystoreWish,
  passwordRefOf,
} from '../delivery/keystores.ts';
import type { Passwords } from '../delivery/passwords.ts';
import type { IssuerState } from '../issuers/issuer.ts';
import type { Issuers } from '../issuers/issuers.ts';
import type { OpenOrders } from '../issuers/orders.ts';
import { hasPodCertificate } from '../podcertificates/requests.ts';
import type { Advice } from './advice.ts';
import { type Cluster, hasSidecar } from './cluster.ts';
import type { Owners } from './owners.ts';
import { SecretReader } from './reader.ts';
import type { RecentSecrets } from './recent.ts';
import { dataOf, type Made, serviceOf } from './secret.ts';
import type { CurrentSecret, Failure, Snapshot, Wanted } from './snapshot.ts';

/** Names of the TLSRevocations by which an identity or a certificate is revoked (operator/revocation/book.ts). */
export interface RevocationLookup {
  byIdentity(identity: string): string | undefined;
  bySerial(serial: string): string | undefined;
}

/** What gathering reads from. */
export interface GatherDeps {
  readonly client: Pick<KubeClient, 'get'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
  readonly cluster: Cluster;
  readonly issuers: Issuers;
  readonly secrets: RecentSecrets;
  readonly owners: Owners;
  readonly passwords: Passwords;
  readonly orders: Pick<OpenOrders, 'of'>;
  readonly advice: Pick<Advice, 'of' | 'kept' | 'forget'>;
  /** Who is revoked; nobody, where it is not given. */
  readonly revocations?: RevocationLookup;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  /** Lowest lifetime of a leaf, milliseconds. */
  readonly shortestMs: number;
}

/** A snapshot with the objects behind it, for carrying the plan out. */
export interface Gathered {
  readonly snapshot: Snapshot;
  readonly secret: Secret | undefined;
  /** The policy that decides about the certificate; undefined = the defaults. */
  readonly policy: TLSPolicy | undefined;
  readonly keystores: KeystoreWish;
  /** PEM of the certificate that is there, where its CA is one that wants to know what a new one replaces. */
  readonly replaces?: string;
}

/** `<namespace>/<name>` of the Secret of `<namespace>/<service>`. */
export function secretKeyOf(key: string): string {
  const [namespace = '', service = ''] = key.split('/');
  return `${namespace}/${certificateSecretName(service)}`;
}

const readsSecret = (pod: Pod): boolean => !hasPodCertificate(pod);

/** Gathers, and remembers between times what no cache does. */
export class Gatherer {
  readonly #deps: GatherDeps;
  readonly #reader = new SecretReader();
  readonly #foreign = new Set<string>();
  readonly #idleSince = new Map<string, Date>();

  constructor(deps: GatherDeps) {
    this.#deps = deps;
  }

  /** A Secret of that service's name turned out to be there, and not ours. */
  noteForeign(key: string): void {
    this.#foreign.add(key);
  }

  /** What was just written, and what the API server answered. */
  noteWritten(secret: Secret, made: Made, trustBundle: string): void {
    this.#reader.written(secret, made, trustBundle);
  }

  /** Whether this version of a Secret was read, or written, before. */
  knows(secret: Secret): boolean {
    return this.#reader.knows(secret);
  }

  /** Everything about one service now. Rejects only for the signal or when the API server cannot be asked. */
  async gather(key: string, failure: Failure | undefined, signal: AbortSignal): Promise<Gathered> {
    const { clock, cluster, issuers } = this.#deps;
    const { live: all, leaving: allLeaving } = cluster.podsOf(key);
    const policy = cluster.policyOf(all);
    const live = all.filter(readsSecret);
    const leaving = allLeaving.filter(readsSecret);
    const wanted = live.length === 0 ? undefined : await this.#wanted(key, live, policy, signal);
    const secret = await this.#secret(key, signal);
    const own = secret === 'foreign' ? undefined : secret;
    const keystores = await this.#keystores(key, policy, { isIdle: live.length === 0, secret: own }, signal);
    const now = clock.now();
    const recorded = secret === 'foreign' ? undefined : secret?.metadata.annotations?.[written.issuer];
    const state = issuers.state(wanted?.issuer ?? recorded ?? '', now);
    const issuer = state.ready && !state.mesh && wanted !== undefined ? outsideState(state, wanted, live) : state;
    const current =
      secret === 'foreign'
        ? ({ kind: 'foreign' } as const)
        : // Whether the world trusts a CA of the world is not ours to say.
          this.#reader.read(secret, issuer.ready && issuer.mesh ? issuer.trustBundle : undefined);
    const idle = live.length + leaving.length === 0;
    const replaces = this.#outsideChain(issuer, wanted, { current, secret: own });
    const snapshot: Snapshot = {
      now,
      key,
      pods: live.length,
      leaving: leaving.length,
      podCertificates: all.length - live.length,
      refusesSecret: certificateSettings(policy).delivery === 'PodCertificate',
      idleSince: this.#idle(key, idle, current.kind !== 'absent', now),
      wanted,
      current,
      issuer,
      failure,
      advisedAt: issuer.ready
        ? await this.#advisedAt(key, wanted?.issuer, replaces, signal)
        : this.#deps.advice.kept(key),
      order: this.#deps.orders.of(key),
      keystores: stateOfKeystores(keystores, own, current),
      ...this.#revoked(key, current),
    };
    return { snapshot, policy, secret: own, keystores, ...(replaces === undefined ? {} : { replaces }) };
  }

  /** The chain of the CA of the outside that is to issue the next one, too; the mesh's own say nothing of renewal. */
  #outsideChain(
    issuer: IssuerState,
    wanted: Wanted | undefined,
    { current, secret }: { readonly current: CurrentSecret; readonly secret: Secret | undefined },
  ): string | undefined {
    if (!issuer.ready || issuer.mesh || current.kind !== 'held' || secret === undefined) return undefined;
    return wanted?.issuer === current.issuer ? dataOf(secret, secretKeys.certificate) || undefined : undefined;
  }

  async #advisedAt(
    key: string,
    issuer: string | undefined,
    chain: string | undefined,
    signal: AbortSignal,
  ): Promise<Date | undefined> {
    const { advice, issuers } = this.#deps;
    if (issuer !== undefined && chain !== undefined)
      return advice.of(key, { chain, issuer: issuers.named(issuer) }, signal);
    advice.forget(key);
    return undefined;
  }

  #revoked(key: string, current: CurrentSecret): Pick<Snapshot, 'revoked'> {
    const { revocations, trustDomain } = this.#deps;
    if (revocations === undefined) return {};
    const [namespace = '', service = ''] = key.split('/');
    const identity = revocations.byIdentity(spiffeId(trustDomain, namespace, service));
    const serial = current.kind === 'held' ? revocations.bySerial(current.facts.serial) : undefined;
    return identity === undefined && serial === undefined ? {} : { revoked: { identity, serial } };
  }

  async #keystores(
    key: string,
    policy: TLSPolicy | undefined,
    { isIdle, secret }: { readonly isIdle: boolean; readonly secret: Secret | undefined },
    signal: AbortSignal,
  ): Promise<KeystoreWish> {
    const [namespace = ''] = key.split('/');
    const ref = passwordRefOf(policy?.spec.certificate?.keystores?.[0], isIdle, secret);
    return keystoreWish(ref, ref === undefined ? undefined : await this.#deps.passwords.of(namespace, ref, signal));
  }

  async #wanted(
    key: string,
    pods: readonly Pod[],
    policy: TLSPolicy | undefined,
    signal: AbortSignal,
  ): Promise<Wanted> {
    const { cluster, trustDomain, clusterDomain, shortestMs } = this.#deps;
    const [namespace = '', service = ''] = key.split('/');
    const { dnsNames: extra, ...settings } = certificateSettings(policy, shortestMs, cluster.longestMs());
    const owners = await this.#owners(key, pods, signal);
    // A CA of the outside proves names, and knows neither identities nor the names of Services.
    if (!this.#deps.issuers.signsIdentities(settings.issuer)) return { ...settings, uri: '', dnsNames: extra, owners };
    const services = cluster.servicesOf(pods);
    return {
      ...settings,
      lifetimeMs: this.#lifetimeMs(settings),
      uri: spiffeId(trustDomain, namespace, service),
      dnsNames: dnsNamesOf({ namespace, clusterDomain, services, extra }),
      owners,
    };
  }

  /** What the policy asks for, as far as its issuer gives it. An issuer that cannot sign now is not asked. */
  #lifetimeMs({ issuer, lifetimeMs }: { readonly issuer: string; readonly lifetimeMs: number }): number {
    const state = this.#deps.issuers.state(issuer, this.#deps.clock.now());
    return Math.min(lifetimeMs, state.ready ? (state.longestLifetimeMs ?? lifetimeMs) : lifetimeMs);
  }

  /** A certificate is not kept waiting for its owner: it is written without, and again when the owner is known. */
  async #owners(key: string, pods: readonly Pod[], signal: AbortSignal): Promise<Wanted['owners']> {
    try {
      return await this.#deps.owners.of(pods, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#deps.logger.warn({ service: key, err: error }, 'owner of pods not found');
      return undefined;
    }
  }

  async #secret(key: string, signal: AbortSignal): Promise<Secret | 'foreign' | undefined> {
    const { client, secrets } = this.#deps;
    const secretKey = secretKeyOf(key);
    const known = secrets.get(secretKey);
    if (known !== undefined || !this.#foreign.has(key)) return known;
    const [namespace = '', name = ''] = secretKey.split('/');
    try {
      const live = await client.get(metadataOf(resources.secrets), { namespace, name }, { signal });
      if (serviceOf(live) === undefined) return 'foreign';
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
    }
    this.#foreign.delete(key);
    return undefined;
  }

  #idle(key: string, idle: boolean, hasSecret: boolean, now: Date): Date | undefined {
    if (!idle || !hasSecret) {
      this.#idleSince.delete(key);
      return undefined;
    }
    const since = this.#idleSince.get(key) ?? now;
    this.#idleSince.set(key, since);
    return since;
  }
}

function stateOfKeystores(wish: KeystoreWish, secret: Secret | undefined, current: CurrentSecret): KeystoreState {
  const content = current.kind === 'held' ? contentOf(current.facts.serial, current.bundleFingerprint) : '';
  return keystoreState(wish, secret, content);
}

/** An issuer of certificates without an identity is of use only to pods that terminate TLS themselves, and by names of theirs. */
function outsideState(state: IssuerState, { issuer, dnsNames }: Wanted, pods: readonly Pod[]): IssuerState {
  const refused = (why: string): IssuerState => ({
    ready: false,
    reason: 'IssuerNotReady',
    message: `TLSIssuer "${issuer}" signs no identities of the mesh: ${why}`,
  });
  if (pods.some(hasSidecar))
    return refused('pods with a sidecar need one that does; for names of the outside there is spec.edge');
  return dnsNames.length === 0 ? refused('its certificates need names, set spec.certificate.dnsNames') : state;
}

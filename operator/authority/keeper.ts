// Sees to it, on the leader, that the TLSIssuer `cluster` exists, that every issuer which keeps its CAs here has them in a Secret,
// that they are rotated, and that every TLSIssuer says in its status whether it can sign. A first Secret is created, never
// applied: whoever creates it first, every replica uses that one, and no upgrade, restart or second leader ever makes a second
// CA beside a first.
import { fieldManagers, labels, MANAGED_BY, names } from '../../lib/api/contract.ts';
import { sameJson } from '../../lib/api/equal.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import { type Clock, formatDuration, parseDuration } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import { createAuthority } from '../../lib/pki/ca.ts';
import { authorityLifetimeMs } from '../../lib/policy/defaults.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { AuditTrail } from '../audit/audit.ts';
import type { Offer } from '../issuers/ca/offer.ts';
import type { Issuer } from '../issuers/issuer.ts';
import type { Authorities, ClusterAuthority } from './authority.ts';
import type { AuthorityMetrics } from './metrics.ts';
import { type Generation, madeGeneration, type Ring, ringSecret } from './ring.ts';
import type { Decision, Waits } from './rotationview.ts';
import { type PeersView, Rotator } from './rotator.ts';
import { authorityStatus, foreignStatus, withRoots } from './status.ts';
import { firstRing } from './turn.ts';

/** What the keeper works with and on. */
export interface KeeperDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly audit: AuditTrail;
  readonly metrics: AuthorityMetrics;
  readonly issuers: Store<TLSIssuer>;
  /** Tabard's Secrets (label app.kubernetes.io/managed-by=tabard). */
  readonly secrets: Store<Secret>;
  readonly authorities: Authorities;
  readonly peers: PeersView;
  /** What somebody else offers to an issuer of kind `ca`. */
  readonly offers: { of(issuer: TLSIssuer, now: Date): Offer | undefined };
  /** Issuers of other kinds that are at work. */
  readonly running: { get(name: string): Issuer | undefined };
  /** What is wrong with the further roots that an issuer names; nothing, where it is not given. */
  readonly rootFaults?: (issuer: string) => readonly string[];
  /** Tabard's own namespace. */
  readonly namespace: string;
  readonly trustDomain: string;
  /** Settings of the TLSIssuer `cluster` where it is absent; undefined = it is not made. */
  readonly defaultIssuer: { readonly lifetimeMs: number } | undefined;
  readonly waits?: Partial<Waits>;
  /** See RotatorDeps. */
  readonly leftAt?: (() => Date | undefined) | undefined;
}

/** Status is looked at again this often, for what only time changes. */
const againMs = 600_000;

/** Reconciles by the name of a TLSIssuer; `cluster` also when there is none. */
export class AuthorityKeeper {
  readonly #deps: KeeperDeps;
  readonly #rotator: Rotator;

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
    this.#rotator = new Rotator({ ...deps, make: (issuer) => this.#make(issuer) });
  }

  /** Whether a rotation is under way, so that it matters how far every peer has come. */
  isRotating(name: string): boolean {
    const phase = this.#deps.authorities.of(name).ring?.notes.phase;
    return phase !== undefined && phase !== 'Idle';
  }

  /** Brings one issuer in order. Rejects when the API server does; the controller tries again. */
  async reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { issuers } = this.#deps;
    let issuer = issuers.get(name);
    if (name === names.defaultIssuer) issuer ??= await this.#createIssuer(signal);
    // The control plane signs its own certificates with the CA of `cluster`, whatever that issuer is.
    if (issuer === undefined) {
      this.#deps.metrics.ready.remove({ issuer: name });
      if (name === names.defaultIssuer) await this.#ensureSecret(name, undefined, undefined, signal);
      return undefined;
    }
    if (name === names.defaultIssuer || keepsItsCas(issuer)) return this.#keep(issuer, signal);
    const now = this.#deps.clock.now();
    await this.#writeStatus(issuer, foreignStatus(issuer, this.#deps.running.get(name)?.state(now), now), signal);
    return { after: againMs };
  }

  async #keep(issuer: TLSIssuer, signal: AbortSignal): Promise<ReconcileResult> {
    const { clock, authorities, offers, metrics, running } = this.#deps;
    const { name } = issuer.metadata;
    const authority = authorities.of(name);
    const offer = offers.of(issuer, clock.now());
    await this.#ensureSecret(name, issuer, offer, signal);
    const decision = await this.#rotator.advance({ issuer, authority, offer }, signal);
    const now = clock.now();
    const { ring, secret, secretName } = authority;
    const current = () => authority.current();
    const offerRefused = offer?.kind === 'refused' ? offer : undefined;
    const view = { secretName, secret, ring, current, offerRefused, decision };
    const status = keepsItsCas(issuer)
      ? authorityStatus(issuer, view, now)
      : foreignStatus(issuer, running.get(name)?.state(now), now);
    await this.#writeStatus(issuer, status, signal);
    if (ring !== undefined) {
      metrics.phase(name, ring.notes.phase);
      metrics.notAfter.set(ring.active.authority.notAfter.getTime() / 1_000, { issuer: name });
      metrics.lagging.set(decision?.kind === 'wait' ? decision.waitingFor.length : 0, { issuer: name });
    }
    return { after: this.#nextLookMs(decision) };
  }

  #nextLookMs(decision: Decision | undefined): number {
    const next = decision === undefined || !('nextCheck' in decision) ? undefined : decision.nextCheck;
    if (next === undefined) return againMs;
    return Math.min(againMs, Math.max(20, next.getTime() - this.#deps.clock.now().getTime()));
  }

  async #writeStatus(issuer: TLSIssuer, own: NonNullable<TLSIssuer['status']>, signal: AbortSignal): Promise<void> {
    const faults = this.#deps.rootFaults?.(issuer.metadata.name) ?? [];
    const status = withRoots(issuer, own, faults, this.#deps.clock.now());
    const isReady = status.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') === true;
    this.#deps.metrics.ready.set(isReady ? 1 : 0, { issuer: issuer.metadata.name });
    if (sameJson(status, issuer.status)) return;
    const input = { metadata: { name: issuer.metadata.name }, status };
    const options = { signal, fieldManager: fieldManagers.operator, force: true };
    await this.#deps.client.applyStatus(resources.tlsissuers, input, options);
    this.#report(issuer, status);
  }

  async #createIssuer(signal: AbortSignal): Promise<TLSIssuer | undefined> {
    const { client, defaultIssuer, logger } = this.#deps;
    if (defaultIssuer === undefined) return undefined;
    const lifetime = formatDuration(defaultIssuer.lifetimeMs);
    const input = {
      metadata: { name: names.defaultIssuer, labels: { [labels.managedBy]: MANAGED_BY } },
      spec: { selfSigned: { lifetime } },
    };
    try {
      const made = await client.create(resources.tlsissuers, input, { signal, fieldManager: fieldManagers.operator });
      logger.info({ issuer: names.defaultIssuer, lifetime }, 'issuer made');
      return made;
    } catch (error) {
      if (!isKube(error, 'AlreadyExists')) throw error;
      return client.get(resources.tlsissuers, { name: names.defaultIssuer }, { signal });
    }
  }

  /** Makes the CAs' Secret if there is none: with those in memory if there are, so that a deleted Secret comes back. */
  async #ensureSecret(
    name: string,
    issuer: TLSIssuer | undefined,
    offer: Offer | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { authorities, namespace, secrets } = this.#deps;
    const authority = authorities.of(name);
    if (secrets.get(`${namespace}/${authority.secretName}`) !== undefined && authority.live !== undefined) return;
    if (await this.#adopt(authority, signal)) return;
    const restored = authority.ring;
    const ring = restored ?? (await this.#firstRing(issuer, offer));
    if (ring !== undefined) await this.#create(name, issuer, { ring, restored: restored !== undefined }, signal);
  }

  async #firstRing(issuer: TLSIssuer | undefined, offer: Offer | undefined): Promise<Ring | undefined> {
    if (offer === undefined) return firstRing(await this.#make(issuer));
    return offer.kind === 'good' ? firstRing(offer.generation) : undefined;
  }

  async #create(
    name: string,
    issuer: TLSIssuer | undefined,
    { ring, restored }: { readonly ring: Ring; readonly restored: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { client, authorities, namespace, logger, audit, metrics } = this.#deps;
    const authority = authorities.of(name);
    try {
      const input = ringSecret(namespace, name, ring, name === names.defaultIssuer ? undefined : issuer);
      authority.offer(await client.create(resources.secrets, input, { signal, fieldManager: fieldManagers.operator }));
    } catch (error) {
      if (!isKube(error, 'AlreadyExists')) throw error;
      await this.#adopt(authority, signal);
      return;
    }
    const { fingerprint, notAfter } = ring.active.authority;
    logger.info(
      { issuer: name, fingerprint, notAfter: notAfter.toISOString(), restored },
      'certificate authority written',
    );
    this.#rotator.told(name, ring);
    if (restored) return;
    metrics.steps.inc({ issuer: name, step: 'created' });
    const askedBy = [issuer === undefined ? 'Tabard' : `TLSIssuer ${name}`];
    audit.record({ action: 'CaCreated', askedBy, reason: 'Missing', issuer: name, sha256: fingerprint, notAfter });
  }

  /** Uses a CA Secret that exists but is not in the store yet, or lost its label (restored from a backup, say). */
  async #adopt(authority: ClusterAuthority, signal: AbortSignal): Promise<boolean> {
    const { client, namespace } = this.#deps;
    const ref = { namespace, name: authority.secretName };
    try {
      const secret = await client.get(resources.secrets, ref, { signal });
      authority.offer(secret);
      if (secret.metadata.labels?.[labels.managedBy] !== MANAGED_BY) {
        const patch = { metadata: { labels: { [labels.managedBy]: MANAGED_BY } } };
        authority.offer(
          await client.patch(resources.secrets, ref, patch, { signal, fieldManager: fieldManagers.operator }),
        );
      }
      return true;
    } catch (error) {
      if (isKube(error, 'NotFound')) return false;
      throw error;
    }
  }

  async #make(issuer: TLSIssuer | undefined): Promise<Generation> {
    const { clock, trustDomain, defaultIssuer } = this.#deps;
    const lifetime = issuer?.spec.selfSigned?.lifetime;
    const lifetimeMs =
      lifetime === undefined ? (defaultIssuer?.lifetimeMs ?? authorityLifetimeMs) : parseDuration(lifetime);
    return madeGeneration(await createAuthority({ trustDomain, lifetimeMs, now: clock.now() }));
  }

  /** An event when a condition turns. What a step says of itself is not said again. */
  #report(issuer: TLSIssuer, status: NonNullable<TLSIssuer['status']>): void {
    for (const condition of status.conditions ?? []) {
      const before = issuer.status?.conditions?.find(({ type }) => type === condition.type);
      if (condition.status === before?.status && condition.reason === before.reason) continue;
      const isNews = condition.type !== 'Rotating' || condition.reason === 'Paused';
      if (!isNews) continue;
      const type = condition.status === 'True' ? 'Normal' : 'Warning';
      const { reason, message: note } = condition;
      this.#deps.events.record(subjectOf(issuer), { type, reason, action: 'CheckIssuer', note });
    }
  }
}

/** Whether the CAs of an issuer lie in a Secret of Tabard's. */
export function keepsItsCas({ spec }: TLSIssuer): boolean {
  return spec.selfSigned !== undefined || spec.ca !== undefined;
}

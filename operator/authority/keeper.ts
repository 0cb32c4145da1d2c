// Sees to it, on the leader, that the CA's Secret exists, that the TLSIssuer `cluster` exists, and that every TLSIssuer says
// in its status whether it can sign. The Secret is created, never applied: whoever creates it first, every replica uses that
// one, and no upgrade, restart or second leader ever makes a second CA beside a first.
import { fieldManagers, labels, MANAGED_BY, names } from '../../lib/api/contract.ts';
import { sameJson } from '../../lib/api/equal.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import { type Clock, formatDuration, parseDuration } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import { type Feed, feed } from '../../lib/kube/feed.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import { createAuthority } from '../../lib/pki/ca.ts';
import { authorityLifetimeMs } from '../../lib/policy/defaults.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { authoritySecret, type ClusterAuthority, newlyTrusted } from './authority.ts';
import { issuerStatus } from './status.ts';

/** What the keeper works with and on. */
export interface KeeperDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly issuers: Store<TLSIssuer>;
  /** Tabard's Secrets (label app.kubernetes.io/managed-by=tabard). */
  readonly secrets: Store<Secret>;
  readonly authority: ClusterAuthority;
  /** Tabard's own namespace. */
  readonly namespace: string;
  readonly trustDomain: string;
  /** Settings of the TLSIssuer `cluster` where it is absent; undefined = it is not made. */
  readonly defaultIssuer: { readonly lifetimeMs: number } | undefined;
}

/** Status is looked at again this often, for what only time changes. */
const againMs = 600_000;

/** Reconciles by the name of a TLSIssuer; `cluster` also when there is none. */
export class AuthorityKeeper {
  readonly #deps: KeeperDeps;

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
  }

  /** The feeds for the controller that runs `reconcile`. */
  feeds(): readonly Feed[] {
    const { issuers, secrets, namespace } = this.#deps;
    const always: Feed = {
      subscribe: (add) => {
        add(names.defaultIssuer);
        return () => undefined;
      },
      keys: () => [names.defaultIssuer],
      synced: () => Promise.resolve(),
    };
    const isOurs = ({ metadata }: Secret): boolean =>
      metadata.name === names.caSecret && metadata.namespace === namespace;
    return [always, feed(issuers), feed(secrets, (secret) => (isOurs(secret) ? [names.defaultIssuer] : []))];
  }

  /** Brings one issuer in order. Rejects when the API server does; the controller tries again. */
  async reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { clock, client, issuers, authority } = this.#deps;
    let issuer = issuers.get(name);
    if (name === names.defaultIssuer) {
      issuer ??= await this.#createIssuer(signal);
      await this.#ensureSecret(issuer, signal);
    }
    if (issuer === undefined) return undefined;
    const now = clock.now();
    const status = issuerStatus(issuer, authority, now);
    if (!sameJson(status, issuer.status)) {
      const input = { metadata: { name }, status };
      await client.applyStatus(resources.tlsissuers, input, {
        signal,
        fieldManager: fieldManagers.operator,
        force: true,
      });
      this.#report(issuer, status);
    }
    return { after: againMs };
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

  /** Makes the CA's Secret if there is none: with the CA in memory if there is one, so that a deleted Secret comes back. */
  async #ensureSecret(issuer: TLSIssuer | undefined, signal: AbortSignal): Promise<void> {
    const { client, authority, clock, namespace, secrets, logger } = this.#deps;
    if (secrets.get(`${namespace}/${names.caSecret}`) !== undefined) return;
    const found = await this.#adopt(signal);
    if (found) return;
    const known = authority.current();
    const restored = known !== undefined && clock.now() < known.authority.notAfter ? known : undefined;
    const next = restored ?? newlyTrusted(await createAuthority(this.#request(issuer)));
    try {
      const input = authoritySecret(namespace, next);
      authority.offer(await client.create(resources.secrets, input, { signal, fieldManager: fieldManagers.operator }));
    } catch (error) {
      if (!isKube(error, 'AlreadyExists')) throw error;
      await this.#adopt(signal);
      return;
    }
    const { fingerprint, notAfter } = next.authority;
    logger.info(
      { fingerprint, notAfter: notAfter.toISOString(), restored: restored !== undefined },
      'certificate authority written',
    );
  }

  /** Uses a CA Secret that exists but is not in the store yet, or lost its label (restored from a backup, say). */
  async #adopt(signal: AbortSignal): Promise<boolean> {
    const { client, authority, namespace } = this.#deps;
    const ref = { namespace, name: names.caSecret };
    try {
      const secret = await client.get(resources.secrets, ref, { signal });
      authority.offer(secret);
      if (secret.metadata.labels?.[labels.managedBy] !== MANAGED_BY) {
        const patch = { metadata: { labels: { [labels.managedBy]: MANAGED_BY } } };
        await client.patch(resources.secrets, ref, patch, { signal, fieldManager: fieldManagers.operator });
      }
      return true;
    } catch (error) {
      if (isKube(error, 'NotFound')) return false;
      throw error;
    }
  }

  #request(issuer: TLSIssuer | undefined) {
    const { clock, trustDomain, defaultIssuer } = this.#deps;
    const lifetime = issuer?.spec.selfSigned?.lifetime;
    const lifetimeMs =
      lifetime === undefined ? (defaultIssuer?.lifetimeMs ?? authorityLifetimeMs) : parseDuration(lifetime);
    return { trustDomain, lifetimeMs, now: clock.now() };
  }

  /** An event when Ready turns. */
  #report(issuer: TLSIssuer, status: NonNullable<TLSIssuer['status']>): void {
    const [ready] = status.conditions ?? [];
    const before = issuer.status?.conditions?.find(({ type }) => type === 'Ready');
    if (ready === undefined || (ready.status === before?.status && ready.reason === before.reason)) return;
    const type = ready.status === 'True' ? 'Normal' : 'Warning';
    this.#deps.events.record(subjectOf(issuer), {
      type,
      reason: ready.reason,
      action: 'CheckIssuer',
      note: ready.message,
    });
  }
}

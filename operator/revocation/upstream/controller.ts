// Tells the CAs outside of the cluster what is revoked, on the leader: Vault's PKI engine and ACME servers. Nobody waits for it: sidecars
// refuse the revoked from their own list by then. It is tried until the CA has done it or the revocation no longer holds.
import { X509Certificate } from 'node:crypto';
import { fieldManagers, secretKeys } from '../../../lib/api/contract.ts';
import { sameJson } from '../../../lib/api/equal.ts';
import { plainSerial } from '../../../lib/api/revocations.ts';
import type { TLSRevocation, UpstreamRevocation } from '../../../lib/api/tlsrevocation.ts';
import type { Clock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../../lib/kube/controller.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../../lib/kube/events.ts';
import { feed } from '../../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../../lib/kube/metrics.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { backoffMs } from '../../../lib/runtime/backoff.ts';
import { deadline } from '../../../lib/runtime/deadline.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import { type AuditTrail, askedByObject } from '../../audit/audit.ts';
import { dataOf } from '../../certificates/secret.ts';
import type { Issuers } from '../../issuers/issuers.ts';
import { canRevoke, type Unrevocable } from '../../issuers/revoke.ts';
import type { BookEntry, RevocationBook } from '../book.ts';
import { type TargetSources, type UpstreamTarget, upstreamTargets } from './targets.ts';

/** What the controller works with and on. */
export interface UpstreamDeps extends TargetSources {
  readonly client: Pick<KubeClient, 'get' | 'applyStatus'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly audit: AuditTrail;
  readonly book: Pick<RevocationBook, 'get' | 'list' | 'subscribe'>;
  readonly revocations: Store<TLSRevocation>;
  readonly signers: Pick<Issuers, 'named'>;
}

/** Of a field manager of its own: the rest of the status is another controller's. */
const manager = `${fieldManagers.operator}-upstream`;
/** One CA must not hold up others for long. */
const askMs = 30_000;
const retry = { initialMs: 10_000, maxMs: 3_600_000 };
/** As many as a status holds (crds/). */
const mostTargets = 50;

/** The controller. `run` once. */
export class UpstreamRevoker {
  readonly #deps: UpstreamDeps;
  readonly #controller: Controller;
  /** What each revocation means, as it was when it came: a moment later the Secret holds another certificate. */
  readonly #targets = new Map<string, readonly UpstreamTarget[]>();
  /** What was written last, by name: the cache may be behind it. */
  readonly #stated = new Map<string, readonly UpstreamRevocation[]>();
  readonly #failures = new Map<string, number>();

  constructor(deps: UpstreamDeps) {
    this.#deps = deps;
    const { clock, logger, kubeMetrics: metrics, revocations } = deps;
    this.#controller = new Controller({
      name: 'upstream revocations',
      feeds: [feed(revocations)],
      reconcile: (name, signal) => this.#reconcile(name, signal),
      clock,
      logger,
      metrics,
      workers: 4,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { book, secrets, issuers } = this.#deps;
    await Promise.all([secrets.synced(signal), issuers.synced(signal)]);
    const look = (): void => {
      for (const entry of book.list()) this.#meet(entry);
    };
    const end = book.subscribe(look);
    look();
    try {
      await this.#controller.run(signal);
    } finally {
      end();
    }
  }

  #meet({ object: { metadata, spec }, standing, resolution }: BookEntry): void {
    const { name } = metadata;
    // A pod's serials may grow until they are written down, and nothing fresh is issued before.
    const isKnown = this.#targets.has(name) || !resolution.recorded;
    // What may be taken back is not told: a CA takes nothing back.
    if (isKnown || standing !== 'holds' || spec.until !== undefined || spec.reason === 'certificateHold') return;
    this.#targets.set(name, upstreamTargets(resolution, this.#deps).slice(0, mostTargets));
    this.#controller.enqueue(name);
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const object = this.#deps.revocations.get(name);
    if (object === undefined || this.#deps.book.get(name)?.standing !== 'holds') return this.#forget(name);
    const known = this.#stated.get(name) ?? object.status?.upstream ?? [];
    const fresh = (this.#targets.get(name) ?? []).filter(({ serial }) => !known.some((each) => each.serial === serial));
    const begun = [...known, ...(await Promise.all(fresh.map((target) => this.#begun(target, signal))))];
    await this.#state(object, begun, signal);
    const done: UpstreamRevocation[] = [];
    for (const each of begun) done.push(each.state === 'Pending' ? await this.#tell(object, each, signal) : each);
    await this.#state(object, done, signal);
    if (done.every(({ state }) => state !== 'Pending')) return undefined;
    const failures = (this.#failures.get(name) ?? 0) + 1;
    this.#failures.set(name, failures);
    return { after: backoffMs(failures, retry) };
  }

  #forget(name: string): void {
    for (const map of [this.#targets, this.#stated, this.#failures]) map.delete(name);
  }

  /** With the certificate itself, which some CAs want to see: soon its Secret holds another one. */
  async #begun({ serial, issuer, secret }: UpstreamTarget, signal: AbortSignal): Promise<UpstreamRevocation> {
    const certificate = secret === undefined ? undefined : await this.#certificate(serial, secret, signal);
    const common = { serial, issuer, state: 'Pending', message: 'the CA is being told' } as const;
    return certificate === undefined ? common : { ...common, certificate: certificate.toString('base64') };
  }

  async #certificate(serial: string, secret: Secret, signal: AbortSignal): Promise<Buffer | undefined> {
    const seen = leafIn(secret, serial);
    if (seen !== undefined) return seen;
    const { name, namespace = '' } = secret.metadata;
    try {
      return leafIn(await this.#deps.client.get(resources.secrets, { name, namespace }, { signal }), serial);
    } catch (error) {
      if (isKube(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  /** Tells one CA; how that stands then. */
  async #tell(object: TLSRevocation, target: UpstreamRevocation, signal: AbortSignal): Promise<UpstreamRevocation> {
    try {
      const never = await this.#revoke(object, target, signal);
      const { serial, issuer } = target;
      const revoked = { serial, issuer, state: 'Revoked', message: 'the CA has revoked it' } as const;
      const outcome =
        never === undefined ? revoked : ({ ...revoked, state: 'NotPossible', message: never.never } as const);
      this.#say(object, outcome);
      return outcome;
    } catch (error) {
      signal.throwIfAborted();
      const failed = { ...target, message: `${messageOf(error)}; it is told again`.slice(0, 1_000) };
      if (failed.message !== target.message) this.#say(object, failed);
      return failed;
    }
  }

  async #revoke(
    { spec }: TLSRevocation,
    { serial, issuer: name, certificate }: UpstreamRevocation,
    signal: AbortSignal,
  ): Promise<Unrevocable | undefined> {
    const issuer = this.#deps.signers.named(name);
    if ('ready' in issuer) throw new Error(issuer.message);
    if (!canRevoke(issuer)) return { never: `TLSIssuer "${name}" is of a kind that revokes nothing` };
    const limit = deadline(this.#deps.clock, askMs, `revoking at TLSIssuer "${name}"`, signal);
    const der = certificate === undefined ? undefined : Buffer.from(certificate, 'base64');
    try {
      return await issuer.revoke({ serial, certificate: der, reason: spec.reason ?? 'unspecified' }, limit.signal);
    } finally {
      limit.end();
    }
  }

  #say(object: TLSRevocation, { serial, issuer, state, message }: UpstreamRevocation): void {
    const { events, audit, logger } = this.#deps;
    const isDone = state === 'Revoked';
    const note = `certificate ${serial} of TLSIssuer "${issuer}": ${message}`;
    const reason = isDone ? 'RevokedUpstream' : 'NotRevokedUpstream';
    logger[isDone ? 'info' : 'warn'](
      { revocation: object.metadata.name, issuer, serial, state, why: message },
      'upstream revocation',
    );
    audit.record({
      action: isDone ? 'CertificateRevokedUpstream' : 'UpstreamRevocationFailed',
      askedBy: [askedByObject(object)],
      reason: object.spec.reason ?? 'unspecified',
      serial,
      issuer,
      note: message,
    });
    events.record(subjectOf(object), { type: isDone ? 'Normal' : 'Warning', reason, action: 'RevokeUpstream', note });
  }

  async #state(object: TLSRevocation, upstream: readonly UpstreamRevocation[], signal: AbortSignal): Promise<void> {
    const { name } = object.metadata;
    if (sameJson(upstream, this.#stated.get(name) ?? object.status?.upstream ?? [])) return;
    try {
      const options = { signal, fieldManager: manager, force: true };
      await this.#deps.client.applyStatus(
        resources.tlsrevocations,
        { metadata: { name }, status: { upstream } },
        options,
      );
      this.#stated.set(name, upstream);
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
    }
  }
}

/** DER of the certificate in a Secret, if it is the one with this serial. */
function leafIn(secret: Secret, serial: string): Buffer | undefined {
  try {
    const leaf = new X509Certificate(dataOf(secret, secretKeys.certificate));
    return plainSerial(leaf.serialNumber) === serial ? leaf.raw : undefined;
  } catch {
    return undefined;
  }
}

// Keeps the status of every TLSRevocation true, on the leader: what it came to, who enforces it. A pod's serials are written down before
// anything else, because only then fresh certificates are issued. Reports that come together are written together. No sidecar waits for
// any of this: every replica tells them from its own watch (book.ts).
import { fieldManagers } from '../../lib/api/contract.ts';
import { sameJson } from '../../lib/api/equal.ts';
import type { TLSRevocation, TLSRevocationStatus } from '../../lib/api/tlsrevocation.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import { feed } from '../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { Pod } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { type AuditTrail, askedByObject } from '../audit/audit.ts';
import type { RevocationBook } from './book.ts';
import { type EnforcedReports, enforcers } from './enforcers.ts';
import { requiredNumber } from './list.ts';
import { serialsToRecord } from './resolve.ts';
import { revocationStatus } from './status.ts';
import { podView, type ViewSources } from './view.ts';

export interface RevocationControllerDeps {
  readonly client: Pick<KubeClient, 'applyStatus'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly audit: AuditTrail;
  readonly book: Pick<RevocationBook, 'get' | 'list' | 'find' | 'subscribe'>;
  readonly revocations: Store<TLSRevocation>;
  readonly pods: Store<Pod>;
  readonly secrets: ViewSources['secrets'];
  readonly reports: ViewSources['reports'] & EnforcedReports & { subscribe(listener: () => void): () => void };
  readonly trustDomain: string;
}

/** Reports within this time are written together; longer by so much per thousand pods, since each look is at all of them. */
const gatherMs = 100;
const gatherPerThousandMs = 50;
/** While somebody lags, or a pod is not known. */
const againMs = 5_000;

/** The controller of all revocations' statuses. `run` once. */
export class RevocationController {
  readonly #deps: RevocationControllerDeps;
  readonly #controller: Controller;
  /** The reason that was last recorded of a revocation, by its uid. */
  readonly #recorded = new Map<string, string>();

  constructor(deps: RevocationControllerDeps) {
    this.#deps = deps;
    this.#controller = new Controller({
      name: 'revocations',
      feeds: [feed(deps.revocations)],
      reconcile: (name, signal) => this.#reconcile(name, signal),
      clock: deps.clock,
      logger: deps.logger,
      metrics: deps.kubeMetrics,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { reports, pods, book, revocations } = this.#deps;
    await Promise.all([pods.synced(signal), revocations.synced(signal)]);
    const open = (): void => {
      for (const { object } of book.list()) if (object.status?.enforcedAt === undefined) this.#later(object);
    };
    const ends = [
      reports.subscribe(open),
      pods.subscribe((before, after) => {
        if (before === undefined || after === undefined) open();
      }),
      book.subscribe(() => {
        for (const { object } of book.list()) this.#later(object);
      }),
      revocations.subscribe((before, after) => {
        if (before === undefined || after !== undefined) return;
        this.#recorded.delete(before.metadata.uid);
        this.#lifted(before, 'Deleted');
      }),
    ];
    try {
      await this.#controller.run(signal);
    } finally {
      for (const end of ends) end();
    }
  }

  #later({ metadata }: TLSRevocation): void {
    this.#controller.enqueue(metadata.name, gatherMs + (this.#deps.pods.size / 1_000) * gatherPerThousandMs);
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const entry = this.#deps.book.get(name);
    const object = this.#deps.revocations.get(name);
    if (object === undefined || entry === undefined) return undefined;
    const next = this.#statusOf(object, entry.standing);
    // What other CAs were told is another controller's to write.
    const { upstream: _, ...own } = object.status ?? {};
    if (!sameJson(next, own)) {
      this.#record(object, next);
      if (!(await this.#write(name, next, signal))) return undefined;
      this.#say(object, next);
    }
    return next.enforcedAt === undefined ? { after: againMs } : undefined;
  }

  #statusOf(object: TLSRevocation, standing: Parameters<typeof revocationStatus>[0]['standing']): TLSRevocationStatus {
    const { clock, trustDomain, pods, reports, book } = this.#deps;
    const { spec, status } = object;
    const now = clock.now();
    const serials = this.#serialsOf(object);
    // Sidecars can only enforce what is in the list of every replica: for a pod, once its serials are written down.
    const isRecorded = spec.pod === undefined || (status?.serials ?? []).length > 0;
    return revocationStatus({
      object,
      standing: standing === 'unresolved' && serials.length > 0 ? 'holds' : standing,
      serials,
      required: isRecorded ? requiredNumber(object) : undefined,
      sidecars: enforcers({ pods, reports, trustDomain, find: (subject) => book.find(subject) }, now),
      now,
    });
  }

  #serialsOf({ spec, status }: TLSRevocation): readonly string[] {
    if (spec.serial !== undefined) return [spec.serial];
    if (spec.pod === undefined) return [];
    if (status?.serials !== undefined && status.serials.length > 0) return status.serials;
    const pod = podView(this.#deps, spec.pod);
    return pod === undefined ? [] : serialsToRecord(pod);
  }

  /** False when the object is gone. */
  async #write(name: string, status: TLSRevocationStatus, signal: AbortSignal): Promise<boolean> {
    const options = { signal, fieldManager: fieldManagers.operator, force: true };
    try {
      await this.#deps.client.applyStatus(resources.tlsrevocations, { metadata: { name }, status }, options);
      return true;
    } catch (error) {
      if (isKube(error, 'NotFound')) return false;
      throw error;
    }
  }

  /**
   * What belongs into the trail, before the status says so: a leader that is killed in between leaves it to the next one, which finds the
   * status as it was and records it again. A write that fails is no news.
   */
  #record(object: TLSRevocation, next: TLSRevocationStatus): void {
    const { audit } = this.#deps;
    const [condition] = next.conditions ?? [];
    const [before] = object.status?.conditions ?? [];
    const { uid } = object.metadata;
    if (condition === undefined || condition.reason === before?.reason) return;
    const { reason, message } = condition;
    if (this.#recorded.get(uid) === reason) return;
    const isFirst = before === undefined && !this.#recorded.has(uid);
    this.#recorded.set(uid, reason);
    if (isFirst && (reason === 'Spreading' || reason === 'Enforced')) {
      audit.record({ action: 'CertificateRevoked', ...recordOf(object) });
    }
    if (reason === 'Enforced') audit.record({ action: 'RevocationEnforced', ...recordOf(object), note: message });
    if (reason === 'Ended' || reason === 'Expired') this.#lifted(object, reason);
  }

  /** What a person should know, each once: that it came into force, that all enforce it, that it cannot, that it is over. */
  #say(object: TLSRevocation, next: TLSRevocationStatus): void {
    const { events, logger } = this.#deps;
    const [condition] = next.conditions ?? [];
    const [before] = object.status?.conditions ?? [];
    if (condition === undefined || condition.reason === before?.reason) return;
    const { reason, message } = condition;
    logger.info({ revocation: object.metadata.name, reason, why: message }, 'revocation changed');
    if (reason === 'Spreading') return;
    const type = reason === 'PodUnknown' || reason === 'OperatorIdentity' ? 'Warning' : 'Normal';
    events.record(subjectOf(object), { type, reason, action: 'Revoke', note: message });
  }

  #lifted(object: TLSRevocation, why: string): void {
    // One that ended by time was said to be over then.
    const [last] = object.status?.conditions ?? [];
    if (last?.reason === 'Ended' || last?.reason === 'Expired') return;
    this.#deps.audit.record({ action: 'RevocationLifted', ...recordOf(object), note: why });
  }
}

function recordOf(object: TLSRevocation) {
  const { identity, serial, reason = 'unspecified' } = object.spec;
  const [first] = object.status?.serials ?? [];
  const known = serial ?? first;
  return {
    askedBy: [askedByObject(object)],
    reason,
    ...(identity === undefined ? {} : { identity }),
    ...(known === undefined ? {} : { serial: known }),
  };
}

// Takes in the revocation lists of CAs that somebody else keeps, on the leader: looks at each source again and again, judges what is there,
// keeps the last good list, and says on the TLSIssuer how it stands (condition CrlImported).
import type { X509Certificate } from 'node:crypto';
import { mergeConditions, type WantedCondition } from '../../../lib/api/conditions.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../../lib/kube/controller.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../../lib/kube/events.ts';
import { type Feed, feed } from '../../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../../lib/kube/metrics.ts';
import type { ConfigMap } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import type { Store } from '../../../lib/kube/store.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import { type AuditTrail, askedByObject } from '../../audit/audit.ts';
import { crlManager } from '../crl/store.ts';
import { fetchList } from './fetch.ts';
import { type ImportedList, type ImportVerdict, judgeImport } from './judge.ts';
import { importedIn, importLabel, importMap, importMapName } from './store.ts';

export interface ImporterDeps {
  readonly client: Pick<KubeClient, 'apply' | 'applyStatus' | 'delete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly audit: AuditTrail;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly issuers: Store<TLSIssuer>;
  /** Of Tabard's namespace. */
  readonly configMaps: Store<ConfigMap>;
  readonly namespace: string;
  /** Certificates of the CAs of an issuer: the one that signs and those above it. */
  authoritiesOf(issuer: TLSIssuer): readonly X509Certificate[];
  /** How often a source is looked at again, in milliseconds; 5 minutes by default. */
  readonly againMs?: number;
}

/** The controller of all imports. `run` once. */
export class CrlImporter {
  readonly #deps: ImporterDeps;
  readonly #controller: Controller;

  constructor(deps: ImporterDeps) {
    this.#deps = deps;
    this.#controller = new Controller({
      name: 'crl imports',
      feeds: [feed(deps.issuers), this.#sources()],
      reconcile: (name, signal) => this.#reconcile(name, signal),
      clock: deps.clock,
      logger: deps.logger,
      metrics: deps.kubeMetrics,
      workers: 4,
    });
  }

  /** Works until the signal is aborted. */
  run(signal: AbortSignal): Promise<void> {
    return this.#controller.run(signal);
  }

  /** From a ConfigMap that is imported from, or that holds what was, to its issuers. */
  #sources(): Feed {
    const { configMaps, issuers } = this.#deps;
    return feed(configMaps, ({ metadata }) => {
      const own = metadata.labels?.[importLabel];
      const from = issuers
        .list()
        .filter(({ spec }) => spec.crl?.importFrom?.configMapRef?.name === metadata.name)
        .map((issuer) => issuer.metadata.name);
      return own === undefined ? from : [own, ...from];
    });
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { issuers, configMaps, namespace, clock, againMs = 300_000 } = this.#deps;
    const issuer = issuers.get(name);
    const map = configMaps.get(`${namespace}/${importMapName(name)}`);
    const source = issuer?.spec.crl?.importFrom;
    if (issuer === undefined || source === undefined) return this.#drop(issuer, map, signal);
    const found = await fetchList(source, (of) => configMaps.get(`${namespace}/${of}`), signal);
    const last = importedIn(map);
    const now = clock.now();
    const verdict = judgeImport({ found, authorities: this.#deps.authoritiesOf(issuer), last, now });
    if (verdict.ok && verdict.list.fingerprint !== last?.fingerprint) await this.#keep(issuer, verdict.list, signal);
    await this.#say(issuer, verdict, last, signal);
    const endsMs = verdict.ok && verdict.list.nextUpdate !== undefined ? Date.parse(verdict.list.nextUpdate) : Infinity;
    return { after: Math.max(1_000, Math.min(againMs, endsMs - now.getTime())) };
  }

  async #keep(issuer: TLSIssuer, list: ImportedList, signal: AbortSignal): Promise<void> {
    const { client, namespace, audit, logger } = this.#deps;
    const { name } = issuer.metadata;
    const input = importMap(namespace, name, list);
    await client.apply(resources.configmaps, input, { signal, fieldManager: crlManager, force: true });
    const note = `number ${list.number ?? 'unknown'} of ${list.issuer.replaceAll('\n', ', ')} with ${list.serials.length} serials`;
    logger.info({ issuer: name, number: list.number, serials: list.serials.length }, 'revocation list taken in');
    audit.record({ action: 'CrlImported', askedBy: [askedByObject(issuer)], reason: 'Imported', issuer: name, note });
  }

  async #say(
    issuer: TLSIssuer,
    verdict: ImportVerdict,
    last: ImportedList | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { audit, events } = this.#deps;
    const condition = conditionOf(verdict, last);
    const before = issuer.status?.conditions?.find(({ type }) => type === condition.type);
    if (before?.reason === condition.reason && before.message === condition.message) return;
    await this.#status(issuer, [condition], signal);
    if (verdict.ok || before?.reason === condition.reason) return;
    const { reason, message } = condition;
    events.record(subjectOf(issuer), { type: 'Warning', reason, action: 'ImportRevocationList', note: message });
    audit.record({
      action: 'CrlRefused',
      askedBy: [askedByObject(issuer)],
      reason,
      issuer: issuer.metadata.name,
      note: message,
    });
  }

  /** Under a field manager of its own: the other conditions are the keeper's of CAs. */
  async #status(issuer: TLSIssuer, wanted: readonly WantedCondition[], signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#deps;
    const { name, generation } = issuer.metadata;
    const stated = wanted.map((each) => ({
      ...each,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    }));
    const status = { conditions: mergeConditions(issuer.status?.conditions, stated, clock.now()) };
    const options = { signal, fieldManager: crlManager, force: true };
    try {
      await client.applyStatus(resources.tlsissuers, { metadata: { name }, status }, options);
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
    }
  }

  /** Nothing is imported any more: what was taken in is given up. */
  async #drop(issuer: TLSIssuer | undefined, map: ConfigMap | undefined, signal: AbortSignal): Promise<void> {
    const { client } = this.#deps;
    if (map !== undefined) {
      const { name, namespace = '' } = map.metadata;
      try {
        await client.delete(resources.configmaps, { name, namespace }, { signal });
      } catch (error) {
        if (!isKube(error, 'NotFound')) throw error;
      }
    }
    if (issuer?.status?.conditions?.some(({ type }) => type === 'CrlImported') === true) {
      await this.#status(issuer, [], signal);
    }
  }
}

function conditionOf(verdict: ImportVerdict, last: ImportedList | undefined): WantedCondition {
  const type = 'CrlImported';
  if (verdict.ok) {
    const { number, serials, nextUpdate } = verdict.list;
    const end = nextUpdate === undefined ? '' : `, good until ${nextUpdate}`;
    const message = `list number ${number ?? 'unknown'} with ${serials.length} revoked serials is in force${end}`;
    return { type, status: 'True', reason: 'Imported', message };
  }
  const kept =
    last === undefined
      ? 'no list is in force'
      : `the last good list (number ${last.number ?? 'unknown'}, ${last.serials.length} serials) stays in force`;
  return { type, status: 'False', reason: verdict.fault, message: `${verdict.message}; ${kept}` };
}

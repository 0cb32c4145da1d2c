// Publishes certificates to the sinks that their policies name, as soon as the Secret changes (external-secrets#6069: a poll missed it) and
// never again while nothing does (#6098: a loop pushed without end). A failure is tried again with back-off and told once per reason.
import { createHash } from 'node:crypto';
import { certificateSecretName, secretKeys, spiffeId, written } from '../../../lib/api/contract.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { TLSPolicy } from '../../../lib/api/tlspolicy.ts';
import { messageOf } from '../../../lib/errors.ts';
import { Controller, type ReconcileResult } from '../../../lib/kube/controller.ts';
import { type EventRecorder, subjectOf } from '../../../lib/kube/events.ts';
import { feed, specFeed } from '../../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../../lib/kube/metrics.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { backoffMs } from '../../../lib/runtime/backoff.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import type { CounterMetric, Metrics } from '../../../lib/runtime/metrics.ts';
import { type AuditTrail, askedByObject } from '../../audit/audit.ts';
import type { Cluster } from '../../certificates/cluster.ts';
import { dataOf, serviceOf } from '../../certificates/secret.ts';
import type { SinkOutcomes } from './outcomes.ts';
import { SinkPool, type SinkPoolDeps } from './pool.ts';
import { SinkError, valueOf } from './sink.ts';
import { reasonWord } from './status.ts';

/** What the controller works with and on. */
export interface SinksDeps extends SinkPoolDeps {
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly metrics: Metrics;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly cluster: Cluster;
  readonly ownSecrets: Store<Secret>;
  /** Label app.kubernetes.io/managed-by=tabard. */
  readonly secrets: Store<Secret>;
  readonly policies: Store<TLSPolicy>;
  readonly issuers: Store<TLSIssuer>;
  readonly trustDomain: string;
  readonly audit: AuditTrail;
  /** Where it is noted how publishing stands. */
  readonly sinkOutcomes: SinkOutcomes;
}

const workers = 4;
const keepMs = 60_000;

/** Reconciles by `<namespace>/<service>`. `run` once, on the leader alone. */
export class Sinks {
  readonly #deps: SinksDeps;
  readonly #pool: SinkPool;
  readonly #controller: Controller;
  readonly #publications: CounterMetric;
  /** Digest of what each sink holds, by service and sink, as far as this process has seen. */
  readonly #held = new Map<string, string>();
  /** Failures in a row, by service and sink. */
  readonly #failures = new Map<string, number>();

  constructor(deps: SinksDeps) {
    this.#deps = deps;
    this.#pool = new SinkPool(deps);
    const { clock, logger, kubeMetrics: metrics, secrets, policies, issuers, ownSecrets } = deps;
    this.#publications = deps.metrics.counter({
      name: 'tabard_sink_publications_total',
      help: 'Certificates published outside of the cluster, by sink and outcome: written, unchanged, or why not.',
      labels: ['sink', 'outcome'],
    });
    const inNamespace = ({ metadata }: TLSPolicy) =>
      this.#keys((secret) => secret.metadata.namespace === metadata.namespace);
    this.#controller = new Controller({
      name: 'sinks',
      feeds: [
        feed(secrets, keysOf),
        specFeed(policies, inNamespace),
        specFeed(issuers, ({ metadata }) =>
          this.#keys((secret) => secret.metadata.annotations?.[written.issuer] === metadata.name),
        ),
        // Credentials: whatever uses them is looked at again, and most of it is unchanged.
        feed(ownSecrets, ({ metadata }) => (this.#isCredential(metadata.name) ? this.#keys(() => true) : [])),
      ],
      reconcile: (key, signal) => this.#reconcile(key, signal),
      clock,
      logger,
      metrics,
      workers,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const keeping = (async () => {
      while (!signal.aborted) {
        await clock.sleep(keepMs, signal);
        await this.#pool.keep(signal);
      }
    })().catch(() => undefined);
    try {
      await this.#controller.run(signal);
    } finally {
      await keeping;
      await this.#pool.close();
    }
  }

  *#keys(matches: (secret: Secret) => boolean): Iterable<string> {
    for (const secret of this.#deps.secrets.list()) if (matches(secret)) yield* keysOf(secret);
  }

  #isCredential(name: string): boolean {
    return this.#deps.issuers
      .list()
      .some(({ spec }) =>
        (spec.sinks ?? []).some(
          ({ awsSecretsManager: aws, vaultKV: kv }) =>
            aws?.credentialsSecretRef?.name === name || kv?.auth.tokenSecretRef?.name === name,
        ),
      );
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { cluster, secrets } = this.#deps;
    const [namespace = '', service = ''] = key.split('/');
    const secret = secrets.get(`${namespace}/${certificateSecretName(service)}`);
    const policy = cluster.policyOf(cluster.podsOf(key).live);
    const names = policy?.spec.certificate?.sinks ?? [];
    for (const known of this.#deps.sinkOutcomes.sinksOf(key)) if (!names.includes(known)) this.#forget(key, known);
    if (secret === undefined || serviceOf(secret) !== service || policy === undefined) return undefined;
    const waits: number[] = [];
    for (const name of names) {
      const wait = await this.#publish({ key, name, secret, policy }, signal);
      if (wait !== undefined) waits.push(wait);
    }
    return waits.length === 0 ? undefined : { after: Math.min(...waits) };
  }

  /** Publishes to one sink; how long to wait before the next try, when it failed. */
  async #publish(
    {
      key,
      name,
      secret,
      policy,
    }: { readonly key: string; readonly name: string; readonly secret: Secret; readonly policy: TLSPolicy },
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const id = `${key} ${name}`;
    try {
      const { sink, item, digest } = this.#item(key, name, secret);
      if (this.#held.get(id) === digest) return undefined;
      const outcome = await sink.publish(item, signal);
      this.#held.set(id, digest);
      this.#failures.delete(id);
      this.#deps.sinkOutcomes.note(key, name, { kind: 'held' });
      this.#publications.inc({ sink: name, outcome });
      const serial = secret.metadata.annotations?.[written.serial] ?? '';
      this.#deps.logger.info({ service: key, sink: name, as: item.name, outcome, serial }, 'certificate published');
      if (outcome === 'written')
        this.#record('SinkWritten', { policy, secret, reason: name, note: `published as ${item.name}` });
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return this.#failed({ key, sink: name, secret, policy }, error);
    }
  }

  #item(key: string, name: string, secret: Secret) {
    const notes = secret.metadata.annotations ?? {};
    const issuer = notes[written.issuer] ?? '';
    const spec = this.#deps.issuers.get(issuer)?.spec.sinks?.find((each) => each.name === name);
    if (spec === undefined) throw new SinkError('SinkMissing', `issuer "${issuer}" has no sink "${name}"`);
    const prefix = spec.awsSecretsManager?.prefix ?? spec.vaultKV?.prefix ?? '';
    const value = valueOf({
      certificate: dataOf(secret, secretKeys.certificate),
      key: dataOf(secret, secretKeys.key),
      trustBundle: dataOf(secret, secretKeys.trustBundle),
      serial: notes[written.serial] ?? '',
      notAfter: notes[written.notAfter] ?? '',
    });
    const [namespace = '', service = ''] = key.split('/');
    const identity = spiffeId(this.#deps.trustDomain, namespace, service);
    const item = { name: `${prefix}/${key}`, identity, value };
    const digest = createHash('sha256')
      .update(JSON.stringify([spec, item]))
      .digest('hex');
    return { sink: this.#pool.get(issuer, spec), item, digest };
  }

  #failed(
    {
      key,
      sink,
      secret,
      policy,
    }: { readonly key: string; readonly sink: string; readonly secret: Secret; readonly policy: TLSPolicy },
    error: unknown,
  ): number {
    const { logger, events, sinkOutcomes } = this.#deps;
    const id = `${key} ${sink}`;
    const reason = error instanceof SinkError ? error.reason : 'Failed';
    const before = sinkOutcomes.get(key, sink);
    const count = (this.#failures.get(id) ?? 0) + 1;
    const message = messageOf(error);
    this.#failures.set(id, count);
    sinkOutcomes.note(key, sink, { kind: 'failing', reason, message });
    this.#publications.inc({ sink, outcome: reason });
    logger.warn({ service: key, sink, reason, failures: count, err: error }, 'certificate not published');
    if (before?.kind !== 'failing' || before.reason !== reason) {
      const note = `certificate of service ${key.split('/')[1] ?? ''}, sink "${sink}": ${message}`;
      events.record(subjectOf(policy), {
        type: 'Warning',
        reason: reasonWord(reason),
        action: 'PublishCertificate',
        note,
      });
      this.#record('SinkFailed', { policy, secret, reason, note });
    }
    return backoffMs(count, { initialMs: 5_000, maxMs: 300_000 });
  }

  #record(
    action: 'SinkWritten' | 'SinkFailed',
    {
      policy,
      secret,
      reason,
      note,
    }: { readonly policy: TLSPolicy; readonly secret: Secret; readonly reason: string; readonly note: string },
  ): void {
    const { [written.serial]: serial, [written.issuer]: issuer } = secret.metadata.annotations ?? {};
    this.#deps.audit.record({
      action,
      askedBy: [askedByObject(policy)],
      reason,
      ...(serial === undefined ? {} : { serial }),
      ...(issuer === undefined ? {} : { issuer }),
      note,
    });
  }

  #forget(key: string, sink: string): void {
    this.#held.delete(`${key} ${sink}`);
    this.#failures.delete(`${key} ${sink}`);
    this.#deps.sinkOutcomes.forget(key, sink);
  }
}

function keysOf(secret: Secret): readonly string[] {
  const service = serviceOf(secret);
  return service === undefined ? [] : [`${secret.metadata.namespace ?? ''}/${service}`];
}

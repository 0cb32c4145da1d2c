// Tells what became of each request: one log line, a counter and a histogram, and an event where a person would look for
// it. Never waits, never fails the request, and writes no event on a dry run.
import { labels } from '../lib/api/contract.ts';
import type { EventFacts, EventRecorder, EventSubject } from '../lib/kube/events.ts';
import type { KubeObject } from '../lib/kube/object.ts';
import type { StoreListener } from '../lib/kube/store.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { CounterMetric, HistogramMetric, Metrics } from '../lib/runtime/metrics.ts';
import type { Admission, AdmissionRecord } from './admit.ts';
import { stringAt } from './json.ts';
import type { PolicyAdmission } from './policies.ts';
import type { Review } from './review.ts';
import { serviceOf } from './service.ts';

/** The metric families of admission. */
export interface AdmissionMetrics {
  /** Labels: kind, outcome, reason. */
  readonly admissions: CounterMetric;
  /** Label: outcome. */
  readonly seconds: HistogramMetric;
  /** Requests that got no review as an answer. Label: status. */
  readonly failures: CounterMetric;
}

/** Declares the families; once per Metrics object. */
export function admissionMetrics(metrics: Metrics): AdmissionMetrics {
  return {
    admissions: metrics.counter({
      name: 'tabard_webhook_admissions_total',
      help: 'Reviews answered, by kind of object, outcome and reason (docs/injection.md).',
      labels: ['kind', 'outcome', 'reason'],
    }),
    seconds: metrics.histogram({
      name: 'tabard_webhook_admission_seconds',
      help: 'Time from the whole request to its answer.',
      labels: ['outcome'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
    }),
    failures: metrics.counter({
      name: 'tabard_webhook_failed_requests_total',
      help: 'Requests that got no review as an answer, by HTTP status. 500 is a bug of Tabard.',
      labels: ['status'],
    }),
  };
}

export interface ReporterOptions {
  readonly logger: Logger;
  readonly metrics: AdmissionMetrics;
  readonly events: Pick<EventRecorder, 'record'>;
}

/** Fields of a policy that one line names. */
const mostFields = 10;

/** Kinds that may be a label; anything else is `other`. */
const workloadKinds = ['Pod', 'Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'CronJob'];
const kinds: readonly string[] = workloadKinds.concat('TLSPolicy', 'TLSBaseline', 'TLSRole');

/** Outcomes that a person may ask about later. */
const facts: Readonly<Partial<Record<AdmissionRecord['outcome'], Pick<EventFacts, 'type' | 'reason'>>>> = {
  injected: { type: 'Normal', reason: 'Injected' },
  skipped: { type: 'Warning', reason: 'InjectionSkipped' },
  refused: { type: 'Warning', reason: 'InjectionRefused' },
};

/** The function that is told of every answered review; `ms` is the time it took. */
export function createReporter({ logger, metrics, events }: ReporterOptions) {
  return (review: Review, { record, answer }: Admission, ms: number): void => {
    const { outcome, reason, message, service, owner } = record;
    const { uid, namespace, name, operation, dryRun, kind } = review;
    const series = { kind: kinds.includes(kind) ? kind : 'other', outcome, reason };
    metrics.admissions.inc(series);
    metrics.seconds.observe(ms / 1000, { outcome });
    logger.info(
      {
        uid,
        kind,
        namespace,
        name: name === '' ? (stringAt(review.object, 'metadata', 'generateName') ?? '') : name,
        operation,
        ...(owner === undefined ? {} : { owner: `${owner.kind}/${owner.name}` }),
        outcome,
        ...(reason === '' ? {} : { reason, message }),
        ...(service === undefined ? {} : { service }),
        patch: answer.operations.length,
        dryRun,
        ms: Math.round(ms * 100) / 100,
      },
      'admission',
    );
    const event = facts[outcome];
    if (event === undefined || dryRun || reason === 'opted_out' || reason === 'not_requested') return;
    const note = reason === '' ? message : `${reason}: ${message}`;
    events.record(subjectOf(review, record), { ...event, action: 'Inject', note });
  };
}

/** The function that is told of every answered review of a policy. What was refused was never stored, and has no events. */
export function createPolicyReporter({ logger, metrics }: Pick<ReporterOptions, 'logger' | 'metrics'>) {
  return ({ uid, kind, namespace, name, operation, dryRun }: Review, said: PolicyAdmission, ms: number): void => {
    const { outcome, fields } = said;
    metrics.admissions.inc({ kind: kinds.includes(kind) ? kind : 'other', outcome, reason: '' });
    metrics.seconds.observe(ms / 1000, { outcome });
    const rounded = Math.round(ms * 100) / 100;
    const named = fields.length === 0 ? {} : { fields: fields.slice(0, mostFields) };
    logger.info({ uid, kind, namespace, name, operation, outcome, ...named, dryRun, ms: rounded }, 'policy checked');
  };
}

/** The function that tells of protected namespaces which carry the label all the same: their pods never reach the webhook. */
export function createNamespaceReporter(
  protectedNamespaces: readonly string[],
  { logger, events }: Pick<ReporterOptions, 'logger' | 'events'>,
): StoreListener<KubeObject> {
  const asks = (namespace: KubeObject | undefined) => namespace?.metadata.labels?.[labels.injection] === 'enabled';
  return (before, after) => {
    if (after === undefined || !asks(after) || asks(before)) return;
    const { name, uid } = after.metadata;
    if (!protectedNamespaces.includes(name)) return;
    const note = `protected_namespace: namespace ${name} is never injected, whatever its label ${labels.injection} says`;
    logger.warn({ namespace: name }, 'the label on a protected namespace has no effect');
    const subject = { apiVersion: 'v1', kind: 'Namespace', name, uid };
    events.record(subject, { type: 'Warning', reason: 'InjectionSkipped', action: 'Inject', note });
  };
}

/** The pod's controller, which is there already; else the object itself, which has no uid yet unless it existed before. */
function subjectOf({ namespace, kind, object, name }: Review, { owner }: AdmissionRecord): EventSubject {
  if (owner !== undefined) return { ...owner, namespace };
  const uid = stringAt(object, 'metadata', 'uid');
  return {
    apiVersion: stringAt(object, 'apiVersion') ?? 'v1',
    kind,
    namespace,
    name: name === '' ? serviceOf(object) : name,
    ...(uid === undefined ? {} : { uid }),
  };
}

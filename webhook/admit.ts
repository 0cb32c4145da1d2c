// From a review to its answer and the record of it: the whole of admission without transport, clock or network. Pure.
import type { Annotations } from './annotations.ts';
import { certificatePatch } from './certificate.ts';
import { neverInjectedNamespaces, webhookPaths } from './configuration.ts';
import { isInjected } from './conflicts.ts';
import type { SidecarConfig } from './container.ts';
import { decide, type RefuseReason, type SkipReason } from './decide.ts';
import { injectionPatch } from './inject.ts';
import { stringAt } from './json.ts';
import type { Answer, Review } from './review.ts';
import { type Owner, ownerOf } from './service.ts';
import { workloadVerdict } from './workload.ts';

/** How a request ended. Metric label, event and log field. */
export type Outcome = 'injected' | 'reinvoked' | 'skipped' | 'refused' | 'copied' | 'unchanged';

/** What is told about one request: to metrics, events and the log. */
export interface AdmissionRecord {
  readonly outcome: Outcome;
  /** Empty for what needs none. */
  readonly reason: SkipReason | RefuseReason | '';
  readonly message: string;
  /** The service that a pod was injected as. */
  readonly service?: string;
  /** What an event should hang on: the pod's controller. */
  readonly owner?: Owner;
}

/** An answer with its record. */
export interface Admission {
  readonly answer: Answer;
  readonly record: AdmissionRecord;
}

/** What admission knows besides the review. */
export interface AdmissionContext {
  readonly config: SidecarConfig;
  /** Labels of a namespace, as far as they are known. */
  readonly namespaceLabels: (namespace: string) => Annotations;
}

/** Answers a review that came in on `path` (configuration.ts webhookPaths). */
export function admit(path: string, review: Review, context: AdmissionContext): Admission {
  return path === webhookPaths.workloads ? admitWorkload(review, context) : admitPod(path, review, context);
}

function admitPod(path: string, review: Review, { config, namespaceLabels }: AdmissionContext): Admission {
  const pod = review.object;
  const owner = ownerOf(pod);
  const told = owner === undefined ? {} : { owner };
  const verdict = decide({
    pod,
    namespace: review.namespace,
    namespaceLabels: namespaceLabels(review.namespace),
    askedBy: path === webhookPaths.namespacePods ? 'namespace' : 'annotation',
    protectedNamespaces: neverInjectedNamespaces(config.namespace),
    defaults: config.defaults,
  });
  if (verdict.kind === 'refuse') return refused(verdict.reason, verdict.message, told);
  if (verdict.kind === 'skip') return skipped(verdict.reason, verdict.message, told);
  const outcome = isInjected(pod) ? 'reinvoked' : 'injected';
  const { what, service, settings, warnings } = verdict;
  const operations =
    what === 'certificate'
      ? certificatePatch(pod, { service, settings })
      : injectionPatch(pod, { service, settings, seed: review.uid }, config);
  const message = `the pod belongs to service ${service}${what === 'certificate' ? ' and gets its certificate, no sidecar' : ''}`;
  return {
    answer: { ...answered({ outcome, service }, outcome === 'injected' ? warnings : []), operations },
    record: { outcome, reason: '', message, service, ...told },
  };
}

function admitWorkload(review: Review, { config, namespaceLabels }: AdmissionContext): Admission {
  const { object, before, namespace, kind } = review;
  const verdict = workloadVerdict({
    object: stringAt(object, 'kind') === undefined ? { ...object, kind } : object,
    before,
    namespace,
    namespaceLabels: namespaceLabels(namespace),
    protectedNamespaces: neverInjectedNamespaces(config.namespace),
    defaults: config.defaults,
  });
  if (verdict.kind === 'refuse') return refused(verdict.reason, verdict.message, {});
  if (verdict.kind === 'skip') return skipped(verdict.reason, verdict.message, {});
  const { operations, warnings } = verdict;
  const outcome = operations.length > 0 ? 'copied' : 'unchanged';
  return {
    answer: { ...answered({ outcome }, warnings), operations },
    record: { outcome, reason: '', message: `annotations of the ${kind} and its pod template` },
  };
}

function answered(audit: Readonly<Record<string, string>>, warnings: readonly string[]): Answer {
  return { allowed: true, operations: [], warnings, audit };
}

function skipped(reason: SkipReason, message: string, told: { readonly owner?: Owner }): Admission {
  return {
    answer: answered({ outcome: 'skipped', reason }, [`not injected: ${message}`]),
    record: { outcome: 'skipped', reason, message, ...told },
  };
}

function refused(reason: RefuseReason, message: string, told: { readonly owner?: Owner }): Admission {
  return {
    answer: { allowed: false, message, operations: [], warnings: [], audit: { outcome: 'refused', reason } },
    record: { outcome: 'refused', reason, message, ...told },
  };
}

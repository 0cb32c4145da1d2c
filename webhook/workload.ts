// Annotations on a Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob: copied into its pod template, so that
// `kubectl annotate` is enough. Says at once what will become of the pods. Pure.
import { annotations as keys, labels, written } from '../lib/api/contract.ts';
import { type Annotations, annotationRules, describeFaults, readAnnotations } from './annotations.ts';
import { copiesOf } from './copies.ts';
import { decide, type Question, type RefuseReason, type SkipReason } from './decide.ts';
import { isEqual, isTrueAt, type JsonObject, objectAt, stringAt, stringsAt } from './json.ts';
import { PatchBuilder, type PatchOperation } from './patch.ts';
import { ownerOf, serviceName } from './service.ts';

/** One request about a workload object. */
export interface WorkloadQuestion extends Omit<Question, 'pod' | 'askedBy'> {
  readonly object: JsonObject;
  /** The object before an UPDATE. */
  readonly before: JsonObject | undefined;
}

/** What becomes of it. */
export type WorkloadVerdict =
  | { readonly kind: 'copy'; readonly operations: readonly PatchOperation[]; readonly warnings: readonly string[] }
  | { readonly kind: 'skip'; readonly reason: SkipReason; readonly message: string }
  | { readonly kind: 'refuse'; readonly reason: RefuseReason; readonly message: string };

/** Copies annotations into the pod template, or refuses the object because its pods could only be refused. */
export function workloadVerdict(question: WorkloadQuestion): WorkloadVerdict {
  const { object, before, namespace, protectedNamespaces } = question;
  if (protectedNamespaces.includes(namespace)) {
    const message = `namespace ${namespace} is never injected`;
    return { kind: 'skip', reason: 'protected_namespace', message };
  }
  const template = templatePath(object);
  const present = stringsAt(object, ...template, 'metadata', 'annotations');
  const { changes, record, overruled } = copiesOf({
    wanted: wantedOf(object),
    wantedBefore: wantedOf(before ?? object),
    template: present,
    record: recordOf(object) ?? recordOf(before),
  });
  const patch = new PatchBuilder(object);
  for (const [key, value] of Object.entries(changes)) {
    const path = [...template, 'metadata', 'annotations', key];
    if (value === undefined) patch.remove(path);
    else patch.set(path, value);
  }
  if (isFixed(object, before)) return fixedVerdict(patch.operations.length > 0);
  const path = ['metadata', 'annotations', written.copied];
  if (record !== undefined) patch.set(path, record);
  else if (recordOf(object) !== undefined) patch.remove(path);
  const outlook = outlookOf(question, patch.document);
  if (outlook.kind === 'refuse') return outlook;
  const stated = stringsAt(object, 'metadata', 'annotations');
  const warnings = overruled
    .filter((key) => stated[key] !== undefined)
    .map((key) => `${key}: the pod template says "${present[key]}", which goes before "${stated[key]}"`);
  const rollout = rolloutWarnings(patch.document, before);
  return { kind: 'copy', operations: patch.operations, warnings: [...warnings, ...outlook.warnings, ...rollout] };
}

/** Where an object of this kind holds its pod template. */
function templatePath(object: JsonObject): readonly string[] {
  return stringAt(object, 'kind') === 'CronJob' ? ['spec', 'jobTemplate', 'spec', 'template'] : ['spec', 'template'];
}

/**
 * What the object states for its pods: its own annotations, and for CronJobs and their Jobs the CronJob's name, since a
 * pod knows only the Job, whose name changes with every run.
 */
function wantedOf(object: JsonObject): Annotations {
  const stated = stringsAt(object, 'metadata', 'annotations');
  const wanted = Object.fromEntries(Object.entries(stated).filter(([key]) => Object.hasOwn(annotationRules, key)));
  const owner = ownerOf(object);
  const cronJob =
    stringAt(object, 'kind') === 'CronJob'
      ? stringAt(object, 'metadata', 'name')
      : owner?.kind === 'CronJob'
        ? owner.name
        : undefined;
  if (cronJob === undefined || wanted[keys.inject] === 'false') return wanted;
  return { [keys.service]: serviceName(cronJob), ...wanted };
}

function recordOf(object: JsonObject | undefined): string | undefined {
  return stringAt(object, 'metadata', 'annotations', written.copied);
}

/** A Job's pod template cannot change once the Job exists. */
function isFixed(object: JsonObject, before: JsonObject | undefined): boolean {
  return before !== undefined && stringAt(object, 'kind') === 'Job';
}

function fixedVerdict(wouldChange: boolean): WorkloadVerdict {
  const warning = "a Job's pod template cannot change: delete and create the Job for its annotations to take effect";
  return { kind: 'copy', operations: [], warnings: wouldChange ? [warning] : [] };
}

/** What will become of the pods of this template. */
function outlookOf(
  question: WorkloadQuestion,
  object: JsonObject,
): Extract<WorkloadVerdict, { kind: 'refuse' }> | { readonly kind: 'fine'; readonly warnings: readonly string[] } {
  const { namespace, namespaceLabels, defaults } = question;
  const template = objectAt(object, ...templatePath(object)) ?? {};
  const annotations = stringsAt(template, 'metadata', 'annotations');
  const read = readAnnotations({ ...stringsAt(object, 'metadata', 'annotations'), ...annotations }, defaults);
  if (!read.ok) return { kind: 'refuse', reason: 'bad_annotation', message: describeFaults(read.faults) };
  const byLabel = namespaceLabels[labels.injection] === 'enabled' && annotations[keys.inject] === undefined;
  const asks = annotations[keys.inject] !== undefined && annotations[keys.inject] !== 'false';
  if (!asks && !byLabel) return { kind: 'fine', warnings: read.warnings };
  const verdict = decide({ ...question, pod: template, askedBy: byLabel ? 'namespace' : 'annotation' });
  if (verdict.kind === 'refuse') return verdict;
  if (verdict.kind === 'skip') return { kind: 'fine', warnings: [`its pods will not be injected: ${verdict.message}`] };
  const captures = verdict.what === 'sidecar' && verdict.settings.capture === 'redirect';
  const security = captures ? securityWarnings(namespace, namespaceLabels) : [];
  return { kind: 'fine', warnings: [...read.warnings, ...verdict.warnings, ...security] };
}

/** Pod Security admission would refuse the pods later, where only the ReplicaSet's events show it. */
function securityWarnings(namespace: string, namespaceLabels: Annotations): readonly string[] {
  const level = namespaceLabels['pod-security.kubernetes.io/enforce'];
  if (level !== 'baseline' && level !== 'restricted') return [];
  return [
    `namespace ${namespace} enforces Pod Security "${level}", which forbids the NET_ADMIN of tabard-redirect: its pods will be refused. ` +
      'Label it pod-security.kubernetes.io/enforce=privileged',
  ];
}

/** Workloads that do not replace running pods when their template changes. */
function rolloutWarnings(object: JsonObject, before: JsonObject | undefined): readonly string[] {
  if (before === undefined || isEqual(objectAt(object, 'spec', 'template'), objectAt(before, 'spec', 'template')))
    return [];
  if (isTrueAt(object, 'spec', 'paused')) return ['the Deployment is paused: its pods change when it is resumed'];
  const stays =
    stringAt(object, 'kind') === 'ReplicaSet' || stringAt(object, 'spec', 'updateStrategy', 'type') === 'OnDelete';
  return stays ? ['running pods stay as they are until they are deleted'] : [];
}

// The entries of the MutatingWebhookConfiguration, as data. The chart writes the same list (a test compares them), the
// webhook fills in the caBundle of exactly these entries. Selectors and CEL see to it that nobody who did not ask ever
// calls the webhook, and that who can never be injected is not held back by a dead one (docs/adr/0006-injection.md).
import { annotations, labels, names, protectedNamespaces, written } from '../lib/api/contract.ts';

/** Paths of the admission server. The path says which selector of the API server matched. */
export const webhookPaths = {
  /** Pods that carry the annotation. */
  pods: '/mutate/pods',
  /** Pods without the annotation in a namespace with the label. */
  namespacePods: '/mutate/pods/namespace',
  /** Workload objects with any of Tabard's annotations, and Jobs of CronJobs whose template carries the annotation. */
  workloads: '/mutate/workloads',
  /** Tabard's own resources (policyentries.ts). */
  policies: '/validate/policies',
} as const;

/** One entry of `webhooks`, in the words of admissionregistration.k8s.io/v1, without `caBundle`. */
export interface WebhookEntry {
  readonly name: string;
  readonly clientConfig: {
    readonly service: {
      readonly name: string;
      readonly namespace: string;
      readonly path: string;
      readonly port: number;
    };
  };
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly apiVersions: readonly string[];
    readonly resources: readonly string[];
    readonly operations: readonly ('CREATE' | 'UPDATE')[];
    readonly scope: 'Namespaced';
  }[];
  readonly namespaceSelector: {
    readonly matchLabels?: Readonly<Record<string, string>>;
    readonly matchExpressions?: readonly {
      readonly key: string;
      readonly operator: string;
      readonly values: readonly string[];
    }[];
  };
  readonly matchConditions: readonly { readonly name: string; readonly expression: string }[];
  readonly failurePolicy: 'Fail' | 'Ignore';
  readonly reinvocationPolicy: 'IfNeeded' | 'Never';
  readonly matchPolicy: 'Equivalent';
  readonly sideEffects: 'NoneOnDryRun';
  readonly timeoutSeconds: number;
  readonly admissionReviewVersions: readonly ['v1'];
}

const podAnnotations = 'object.metadata.?annotations.orValue({})';
const neverInjectable = `object.spec.?hostNetwork.orValue(false) || 'kubernetes.io/config.mirror' in ${podAnnotations}`;
const hasOurs = (object: string) =>
  `${object}.metadata.?annotations.orValue({}).exists(k, k.startsWith('tabard.dev/'))`;
const controlledBy = (test: string) =>
  `object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false)${test})`;

/** Removing a finalizer must not wait for a webhook that is away. */
export const notEnding = { name: 'not-ending', expression: '!has(object.metadata.deletionTimestamp)' } as const;

const conditions = {
  /** "false" never calls; anything but "true" calls and is refused with what is accepted. */
  asked: {
    name: 'asked',
    expression: `${podAnnotations}[?'${annotations.inject}'].orValue('false') != 'false'`,
  },
  /** The annotation decides where it is present, so that the label matches only pods without it. */
  silent: { name: 'silent', expression: `!('${annotations.inject}' in ${podAnnotations})` },
  /** A pod that another webhook moved to the host network after its injection must come back to be refused. */
  injectable: {
    name: 'injectable',
    expression: `!(${neverInjectable}) || '${written.injected}' in ${podAnnotations}`,
  },
  neverInjected: { name: 'never-injected', expression: neverInjectable },
  annotatedWorkload: {
    name: 'annotated',
    expression:
      `${hasOurs('object')} || (oldObject != null && ${hasOurs('oldObject')}) || (request.resource.resource == 'jobs' && ` +
      `object.spec.template.?metadata.?annotations[?'${annotations.inject}'].orValue('false') != 'false')`,
  },
  /** A ReplicaSet of a Deployment gets its template from there; changing it would start a fight with the controller. */
  standsAlone: {
    name: 'stands-alone',
    expression: `request.resource.resource != 'replicasets' || !${controlledBy('')}`,
  },
  notEnding,
  ofCronJob: { name: 'of-cronjob', expression: controlledBy(" && o.kind == 'CronJob'") },
} as const;

const podRule = {
  apiGroups: [''],
  apiVersions: ['v1'],
  resources: ['pods'],
  operations: ['CREATE'],
  scope: 'Namespaced',
} as const;

const workloadRules = [
  {
    apiGroups: ['apps'],
    apiVersions: ['v1'],
    resources: ['deployments', 'statefulsets', 'daemonsets', 'replicasets'],
    operations: ['CREATE', 'UPDATE'],
    scope: 'Namespaced',
  },
  {
    apiGroups: ['batch'],
    apiVersions: ['v1'],
    resources: ['jobs', 'cronjobs'],
    operations: ['CREATE', 'UPDATE'],
    scope: 'Namespaced',
  },
] as const;

/** The namespaces that are never injected, Tabard's own included. */
export function neverInjectedNamespaces(ownNamespace: string): readonly string[] {
  return [...new Set([...protectedNamespaces, ownNamespace])];
}

/** All entries, in the order in which they are called, for a Tabard that lives in `ownNamespace`. */
export function webhookEntries(ownNamespace: string): readonly WebhookEntry[] {
  const never = neverInjectedNamespaces(ownNamespace);
  const elsewhere = [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: never }];
  const enabled = { [labels.injection]: 'enabled' };
  const entry = (name: string, path: string) => ({
    name: `${name}.tabard.dev`,
    clientConfig: { service: { name: names.webhook, namespace: ownNamespace, path, port: 443 } },
    matchPolicy: 'Equivalent' as const,
    sideEffects: 'NoneOnDryRun' as const,
    admissionReviewVersions: ['v1'] as const,
  });
  const binding = { failurePolicy: 'Fail', reinvocationPolicy: 'IfNeeded', timeoutSeconds: 10 } as const;
  const explaining = { failurePolicy: 'Ignore', reinvocationPolicy: 'Never', timeoutSeconds: 2 } as const;
  const inNever = `request.namespace in [${never.map((each) => `'${each}'`).join(', ')}]`;
  return [
    {
      ...entry('workloads', webhookPaths.workloads),
      ...binding,
      rules: workloadRules,
      namespaceSelector: { matchExpressions: elsewhere },
      matchConditions: [conditions.annotatedWorkload, conditions.standsAlone, conditions.notEnding],
    },
    {
      ...entry('cronjob-jobs', webhookPaths.workloads),
      ...binding,
      rules: [{ ...workloadRules[1], resources: ['jobs'], operations: ['CREATE'] }],
      namespaceSelector: { matchLabels: enabled, matchExpressions: elsewhere },
      matchConditions: [conditions.ofCronJob],
    },
    {
      ...entry('pods', webhookPaths.pods),
      ...binding,
      rules: [podRule],
      namespaceSelector: { matchExpressions: elsewhere },
      matchConditions: [conditions.asked, conditions.injectable],
    },
    {
      ...entry('namespaces', webhookPaths.namespacePods),
      ...binding,
      rules: [podRule],
      namespaceSelector: { matchLabels: enabled, matchExpressions: elsewhere },
      matchConditions: [conditions.silent, conditions.injectable],
    },
    {
      ...entry('explain', webhookPaths.pods),
      ...explaining,
      rules: [podRule],
      namespaceSelector: {},
      matchConditions: [conditions.asked, { name: 'never-injected', expression: `${inNever} || (${neverInjectable})` }],
    },
    {
      ...entry('explain-namespaces', webhookPaths.namespacePods),
      ...explaining,
      rules: [podRule],
      namespaceSelector: { matchLabels: enabled, matchExpressions: elsewhere },
      matchConditions: [conditions.silent, conditions.neverInjected],
    },
    {
      ...entry('explain-workloads', webhookPaths.workloads),
      ...explaining,
      rules: workloadRules,
      namespaceSelector: {},
      matchConditions: [
        { name: 'never-injected', expression: inNever },
        conditions.annotatedWorkload,
        conditions.standsAlone,
        conditions.notEnding,
      ],
    },
  ];
}

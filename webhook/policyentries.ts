// The entry of the ValidatingWebhookConfiguration, as data: Tabard's own resources are checked when they are applied. The chart writes the same
// (a test compares them). A webhook that is away holds nobody back: the operator checks again (docs/adr/0032-policies-are-checked-at-apply.md).
import { GROUP, names, VERSION } from '../lib/api/contract.ts';
import { neverInjectedNamespaces, notEnding, type WebhookEntry, webhookPaths } from './configuration.ts';

/** One entry of a ValidatingWebhookConfiguration, without `caBundle`. */
export interface PolicyEntry
  extends Omit<WebhookEntry, 'rules' | 'reinvocationPolicy' | 'sideEffects' | 'failurePolicy'> {
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly apiVersions: readonly string[];
    readonly resources: readonly string[];
    readonly operations: readonly ('CREATE' | 'UPDATE')[];
    readonly scope: 'Namespaced' | 'Cluster';
  }[];
  readonly failurePolicy: 'Ignore';
  readonly sideEffects: 'None';
}

/** All entries for a Tabard that lives in `ownNamespace`. A policy where nobody is injected governs nothing, and is not looked at. */
export function policyEntries(ownNamespace: string): readonly PolicyEntry[] {
  const ours = { apiGroups: [GROUP], apiVersions: [VERSION], operations: ['CREATE', 'UPDATE'] } as const;
  const never = neverInjectedNamespaces(ownNamespace);
  return [
    {
      name: 'policies.tabard.dev',
      clientConfig: {
        service: { name: names.webhook, namespace: ownNamespace, path: webhookPaths.policies, port: 443 },
      },
      matchPolicy: 'Equivalent',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      failurePolicy: 'Ignore',
      timeoutSeconds: 3,
      rules: [
        { ...ours, resources: ['tlspolicies'], scope: 'Namespaced' },
        { ...ours, resources: ['tlsbaselines', 'tlsroles'], scope: 'Cluster' },
      ],
      // Says nothing of what is of no namespace.
      namespaceSelector: {
        matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: never }],
      },
      matchConditions: [
        notEnding,
        // Labels and finalizers of what was stored by an earlier version can be changed all the same.
        { name: 'changed', expression: 'oldObject == null || object.spec != oldObject.spec' },
      ],
    },
  ];
}

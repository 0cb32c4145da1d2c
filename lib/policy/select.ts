// Which TLSPolicy governs a pod. A policy with a selector that matches comes before the namespace's default (a policy without
// a selector); within each of the two, the older wins, by name when equally old. Pure.
import type { LabelSelector, TLSPolicy } from '../api/tlspolicy.ts';

/** Labels of a pod. */
export type Labels = Readonly<Record<string, string>>;

type Requirement = NonNullable<LabelSelector['matchExpressions']>[number];

/** Whether a selector picks something with these labels (meta/v1 LabelSelector). An empty selector picks everything. */
export function selectorMatches(selector: LabelSelector, labels: Labels): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every((requirement) => requirementHolds(requirement, labels))
  );
}

function requirementHolds({ key, operator, values = [] }: Requirement, labels: Labels): boolean {
  const value = labels[key];
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      // A missing label is not in the set either, as everywhere in Kubernetes.
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

/** Whether a policy is its namespace's default: it names no pods in particular. */
export function isDefault(policy: TLSPolicy): boolean {
  const { matchLabels = {}, matchExpressions = [] } = policy.spec.selector ?? {};
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

/** The order in which policies are asked: negative when `a` comes before `b`. The same on every replica. */
export function precedence(a: TLSPolicy, b: TLSPolicy): number {
  const age = Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp);
  return Number(isDefault(a)) - Number(isDefault(b)) || age || (a.metadata.name < b.metadata.name ? -1 : 1);
}

/** Who governs a pod. */
export interface Selected {
  /** Undefined: no policy does, the defaults hold. */
  readonly policy: TLSPolicy | undefined;
  /**
   * Policies that select the pod as particularly as `policy` does and lost by age: they are in conflict with it. A default
   * that gives way to a selector is not.
   */
  readonly overruled: readonly TLSPolicy[];
}

/** Who governs a pod with these labels, among the policies of its own namespace. */
export function governing(policies: readonly TLSPolicy[], labels: Labels): Selected {
  const matching = policies
    .filter((policy) => isDefault(policy) || selectorMatches(policy.spec.selector ?? {}, labels))
    .sort(precedence);
  const [policy, ...rest] = matching;
  return {
    policy,
    overruled: policy === undefined ? [] : rest.filter((each) => isDefault(each) === isDefault(policy)),
  };
}

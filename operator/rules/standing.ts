// What a TLSBaseline and a TLSRole say of themselves: whether all of it holds as written, which policies a baseline is stricter than, who
// refers to a role. Built from scratch each time; only transition times are taken from the status before. Pure.
import { type Condition, mergeConditions, type WantedCondition } from '../../lib/api/conditions.ts';
import type { TLSBaseline, TLSBaselineStatus, TLSRole, TLSRoleStatus } from '../../lib/api/tlsbaseline.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import { keyOf } from '../../lib/kube/object.ts';
import { floorOf, overrides } from '../../lib/policy/baseline.ts';
import { certificateSettings, effectivePolicy, type Fault } from '../../lib/policy/effective.ts';
import { baselineFaults, roleFaults, type Surroundings } from '../../lib/policy/faults.ts';

type Verdict = Pick<WantedCondition, 'status' | 'reason' | 'message'>;

/** Most objects that a status lists; the count is of all. */
export const mostListed = 50;
/** Objects named in a message. */
const mostNamed = 3;

/** The status of a baseline at a moment. */
export function baselineStatus(baseline: TLSBaseline, around: Surroundings, now: Date): TLSBaselineStatus {
  const audit = baseline.spec.audit === true;
  const floor = floorOf([baseline], audit);
  const stricterThan = around.policies
    .filter((policy) => overrides(effectivePolicy(policy, []), certificateSettings(policy), floor).length > 0)
    .map(({ metadata }) => keyOf(metadata))
    .sort();
  const wanted = [
    { type: 'Accepted', ...accepted(baselineFaults(baseline, around)) },
    { type: 'Ready', ...inForce(audit, stricterThan, around.policies.length) },
  ];
  return {
    ...observed(baseline),
    conditions: merged(baseline, wanted, now),
    overrides: stricterThan.slice(0, mostListed),
    overridesCount: stricterThan.length,
  };
}

/** The status of a role at a moment. */
export function roleStatus(role: TLSRole, { policies, baselines }: Surroundings, now: Date): TLSRoleStatus {
  const { name } = role.metadata;
  const refers = ({ spec }: TLSPolicy | TLSBaseline): boolean =>
    (spec.authorization?.rules ?? []).some(({ roles }) => roles?.includes(name) === true);
  const usedBy = [...policies.filter(refers), ...baselines.filter(refers)]
    .map(({ kind, metadata }) => `${kind} ${keyOf(metadata)}`)
    .sort();
  const ready: Verdict =
    usedBy.length === 0
      ? { status: 'True', reason: 'Unused', message: 'no rule refers to it' }
      : { status: 'True', reason: 'InUse', message: `rules refer to it in ${named(usedBy)}` };
  const wanted = [
    { type: 'Accepted', ...accepted(roleFaults(role)) },
    { type: 'Ready', ...ready },
  ];
  return {
    ...observed(role),
    conditions: merged(role, wanted, now),
    usedBy: usedBy.slice(0, mostListed),
    usedByCount: usedBy.length,
  };
}

function accepted(faults: readonly Fault[]): Verdict {
  if (faults.length === 0) return { status: 'True', reason: 'Accepted', message: 'everything in it holds as written' };
  const message = faults.map(({ field, message }) => `${field}: ${message}`).join('; ');
  return { status: 'False', reason: 'Adjusted', message };
}

function inForce(audit: boolean, stricterThan: readonly string[], policies: number): Verdict {
  const count = `${stricterThan.length} of ${policies} policies`;
  const who = stricterThan.length === 0 ? '' : `: ${named(stricterThan)}`;
  if (audit) {
    const message = `it is in audit mode and enforces nothing; it would be stricter than ${count}${who}`;
    return { status: 'True', reason: 'AuditOnly', message };
  }
  return { status: 'True', reason: 'Enforced', message: `it is stricter than ${count}${who}` };
}

function named(names: readonly string[]): string {
  const more = names.length > mostNamed ? ` and ${names.length - mostNamed} more` : '';
  return `${names.slice(0, mostNamed).join(', ')}${more}`;
}

function observed({ metadata: { generation } }: TLSBaseline | TLSRole): { readonly observedGeneration?: number } {
  return generation === undefined ? {} : { observedGeneration: generation };
}

function merged(
  object: TLSBaseline | TLSRole,
  wanted: readonly (Verdict & { readonly type: string })[],
  now: Date,
): readonly Condition[] {
  return mergeConditions(
    object.status?.conditions,
    wanted.map((each) => ({ ...each, ...observed(object) })),
    now,
  );
}

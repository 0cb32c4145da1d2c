// What a policy's status says of authorization: what baselines and missing roles change, which pods enforce nothing, and when each rule last
// matched. Pure.
import type { WantedCondition } from '../../lib/api/conditions.ts';
import { ports } from '../../lib/api/contract.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { TLSBaseline, TLSRole } from '../../lib/api/tlsbaseline.ts';
import type { TLSPolicy, TLSPolicyStatus } from '../../lib/api/tlspolicy.ts';
import type { Pod } from '../../lib/kube/object.ts';
import { compileAuthorization } from '../../lib/policy/authorization.ts';
import { floorOf, overrides, raised } from '../../lib/policy/baseline.ts';
import { certificateSettings, effectivePolicy, type Fault } from '../../lib/policy/effective.ts';
import type { PortProtocol } from '../../lib/policy/protocols.ts';
import { type UnreadPorts, unreadPorts } from '../../lib/policy/unread.ts';

/** Where baselines and roles are. */
export interface RuleSources {
  readonly baselines: { list(): readonly TLSBaseline[] };
  readonly roles: { get(name: string): TLSRole | undefined };
}

/** A rule that sidecars of a service said to have matched. */
export interface RuleSight {
  readonly name: string;
  readonly lastHit: Date;
}

/** What is known of a policy's rules. */
export interface RuleStanding {
  /** What does not hold as written. */
  readonly faults: readonly Fault[];
  /** What enforced baselines change, and their names. */
  readonly overridden: { readonly faults: readonly Fault[]; readonly by: readonly string[] };
  /** The same of baselines in audit mode. */
  readonly audited: { readonly faults: readonly Fault[]; readonly by: readonly string[] };
  /** Pods whose sidecar knows no rules, or that have none. */
  readonly unenforced: readonly string[];
  /** Ports on which rules about requests come to something else than they say. */
  readonly unread?: UnreadPorts;
  readonly sights: readonly RuleSight[];
}

/** What baselines and roles make of a policy. */
export function ruleFaults(
  policy: TLSPolicy,
  { baselines, roles }: RuleSources,
): Pick<RuleStanding, 'faults' | 'overridden' | 'audited'> {
  const role = (name: string): TLSRole | undefined => roles.get(name);
  const { faults } = compileAuthorization(policy, { baselines: [], accounts: nobody, role, trustDomain: '' });
  const below = (audit: boolean): RuleStanding['overridden'] => {
    const floor = floorOf(baselines.list(), audit);
    return { faults: overrides(effectivePolicy(policy, []), certificateSettings(policy), floor), by: floor.by };
  };
  return { faults, overridden: below(false), audited: below(true) };
}

/** Ports of these pods whose requests nobody reads, although the policy's own rules ask for them. */
export function unreadBy(
  policy: TLSPolicy,
  { baselines, roles }: RuleSources,
  pods: readonly { readonly pod: Pod; readonly spoken: readonly PortProtocol[] }[],
): UnreadPorts {
  const role = (name: string): TLSRole | undefined => roles.get(name);
  const { authorization } = compileAuthorization(policy, { baselines: [], accounts: nobody, role, trustDomain: '' });
  const floor = floorOf(baselines.list());
  const found = pods.map(({ pod, spoken }) => {
    const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
    const declared = containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort));
    const effective = raised(effectivePolicy(policy, spoken), floor);
    return unreadPorts(
      authorization?.rules ?? [],
      effective,
      declared.filter((port) => !ownPorts.includes(port)),
    );
  });
  const together = (lists: readonly (readonly number[])[]): readonly number[] =>
    [...new Set(lists.flat())].sort((a, b) => a - b);
  return { idle: together(found.map(({ idle }) => idle)), closed: together(found.map(({ closed }) => closed)) };
}

const nobody = { all: () => [], any: () => [] };
const ownPorts: readonly number[] = Object.values(ports);

/** Whether a baseline is stricter than the policy. */
export function overriddenCondition({ overridden, audited }: RuleStanding): WantedCondition {
  const said = (faults: readonly Fault[]): string =>
    faults.map(({ field, message }) => `${field}: ${message}`).join('; ');
  if (overridden.faults.length > 0) {
    const message = `${said(overridden.faults)} (TLSBaseline ${overridden.by.join(', ')})`;
    return { type: 'Overridden', status: 'True', reason: 'BaselineHolds', message };
  }
  if (audited.faults.length > 0) {
    const message = `TLSBaseline ${audited.by.join(', ')}, which is in audit mode, would change: ${said(audited.faults)}`;
    return { type: 'Overridden', status: 'False', reason: 'BaselineWouldHold', message };
  }
  return { type: 'Overridden', status: 'False', reason: 'AsWritten', message: 'no baseline is stricter' };
}

const namedInMessage = 5;

/** Whether every pod enforces the rules; undefined for a policy without any. */
export function enforcementCondition(
  policy: TLSPolicy,
  { unenforced, unread }: RuleStanding,
): WantedCondition | undefined {
  if ((policy.spec.authorization?.rules ?? []).length === 0) return undefined;
  const type = 'RulesEnforced';
  if (unenforced.length === 0 && unread !== undefined && unread.idle.length + unread.closed.length > 0) {
    const idle = unread.idle.length === 0 ? [] : [`allow nothing by that on ${unread.idle.join(', ')}`];
    const closed = unread.closed.length === 0 ? [] : [`deny everything on ${unread.closed.join(', ')}`];
    const message = `rules ask something of requests and ${[...idle, ...closed].join(' and ')}, since those ports are not said to speak HTTP; state it (protocol in spec.ports, or appProtocol of the Service), or state ports in the rules`;
    return { type, status: 'False', reason: 'PortsNotRead', message };
  }
  if (unenforced.length === 0) {
    const message = 'every sidecar that has reported enforces authorization rules';
    return { type, status: 'True', reason: 'Enforced', message };
  }
  const named = unenforced.slice(0, namedInMessage).join(', ');
  const more = unenforced.length > namedInMessage ? ` and ${unenforced.length - namedInMessage} more` : '';
  const message = `these pods have no sidecar, or one that knows no authorization rules: ${named}${more}; inject or restart them`;
  return { type, status: 'False', reason: 'PodsWithoutRules', message };
}

/** A time is written anew only when the one that stands is older, so that busy rules do not write a status every minute. */
const refreshMs = 3_600_000;

/** The rules of a policy with what was known of them and what is seen now. */
export function ruleStatuses(policy: TLSPolicy, sights: readonly RuleSight[], now: Date): TLSPolicyStatus['rules'] {
  const { rules = [] } = policy.spec.authorization ?? {};
  if (rules.length === 0) return undefined;
  return rules.map(({ name }) => {
    const before = policy.status?.rules?.find((each) => each.name === name);
    const seen = sights.filter((each) => each.name === name).map(({ lastHit }) => lastHit.getTime());
    const lastHit = laterHit(before?.lastHit, Math.max(...seen));
    return { name, since: before?.since ?? rfc3339(now), ...(lastHit === undefined ? {} : { lastHit }) };
  });
}

function laterHit(before: string | undefined, seenMs: number): string | undefined {
  if (!Number.isFinite(seenMs)) return before;
  const isFresh = before !== undefined && seenMs - Date.parse(before) < refreshMs;
  return isFresh ? before : rfc3339(new Date(seenMs));
}

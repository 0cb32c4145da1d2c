// What in a policy holds as written and still cannot be meant so: rules that nothing can match, Allow rules that a Deny rule takes everything
// from, claims that nobody verifies. For warnings; nothing here changes what holds. Pure.
import type { CallerMatch, RuleMatch } from '../api/authorization.ts';
import type { ConditionFacts } from '../api/condition.ts';
import type { TLSPolicy } from '../api/tlspolicy.ts';
import { conditionLanguage } from '../cel/language.ts';
import { parseIdentity } from '../pki/identity.ts';
import { covers } from './cover.ts';
import { effectivePolicy, type Fault } from './effective.ts';
import { unreadPorts } from './unread.ts';

/** A policy with its compiled rules. */
export interface Suspect {
  readonly policy: TLSPolicy;
  /** As sidecars are told, those of baselines among them. */
  readonly rules: readonly RuleMatch[];
  readonly trustDomain: string;
}

/** What is suspicious in a policy, in the order of its rules. */
export function suspicions(suspect: Suspect): readonly Fault[] {
  const own = suspect.policy.spec.authorization?.rules ?? [];
  return own.flatMap(({ name }, index) => {
    const rule = suspect.rules.find((each) => each.name === name);
    if (rule === undefined) return [];
    const field = `spec.authorization.rules[${index}]`;
    const found = [unmatched(rule, suspect), shadow(rule, suspect), unverified(rule, suspect), unread(rule, suspect)];
    return found.flatMap((why) => (why === undefined ? [] : [{ field, message: `"${name}" ${why}` }]));
  });
}

/** Why nothing can match a rule. */
function unmatched({ from, when }: RuleMatch, { trustDomain }: Suspect): string | undefined {
  if (from !== undefined && from.length > 0 && from.every((caller) => isNobody(caller, trustDomain))) {
    return 'can never match: none of its identities is of the services and namespaces beside them';
  }
  const constant = when === undefined ? undefined : constantOf(when);
  if (constant === undefined) return undefined;
  return constant ? 'has a condition that always holds' : 'can never match: its condition never holds';
}

/** Only identities of the own trust domain have a namespace and a service. */
function isNobody({ identities, namespaces, services }: CallerMatch, trustDomain: string): boolean {
  if (identities === undefined || (namespaces === undefined && services === undefined)) return false;
  return !identities.some((text) => {
    const identity = parseIdentity(text);
    if (identity?.trustDomain !== trustDomain) return false;
    const { namespace, service } = identity;
    return (namespaces?.includes(namespace) ?? true) && (services?.includes(service) ?? true);
  });
}

/** What a condition that asks for nothing comes to; undefined for every other. */
function constantOf(when: string): boolean | undefined {
  // A word in a text counts as well: then nothing is said.
  if (/\b(?:source|destination|request|now)\b/.test(when)) return undefined;
  return conditionLanguage.compile(when)?.(nothing);
}

const nothing: ConditionFacts = {
  call: { identity: undefined, address: '', port: 0 },
  namespace: undefined,
  service: undefined,
  request: { method: '', host: undefined, path: undefined },
  now: new Date(0),
};

/** A Deny rule that leaves nothing of an Allow rule. */
function shadow(rule: RuleMatch, { rules }: Suspect): string | undefined {
  // Whoever permits nothing is not said to be denied: that a role is missing is said elsewhere.
  if (rule.effect !== 'Allow' || rule.to?.length === 0) return undefined;
  const before = rules.find((each) => each.effect === 'Deny' && each.audit !== true && covers(each, rule));
  if (before === undefined) return undefined;
  const [baseline, name] = before.name.split('/');
  const whose = name === undefined ? `rule "${before.name}"` : `rule "${name}" of TLSBaseline ${baseline}`;
  return `allows nothing: ${whose} denies all that it matches`;
}

/** Claims are those of tokens that the policy accepts. */
function unverified({ when, effect }: RuleMatch, { policy }: Suspect): string | undefined {
  if (when === undefined || !/\brequest\s*\.\s*auth\b/.test(when)) return undefined;
  if ((policy.spec.authentication?.jwt ?? []).length > 0) return undefined;
  const so =
    effect === 'Allow' ? 'a condition on claims never holds' : 'a condition on claims fails, and the rule denies';
  return `asks for request.auth, but the policy accepts no tokens (spec.authentication.jwt): ${so}`;
}

/** Of ports that the policy itself says not to speak HTTP. What Services say of the others is not known here. */
function unread(rule: RuleMatch, { policy }: Suspect): string | undefined {
  const stated = new Set(
    (policy.spec.ports ?? []).flatMap(({ port, protocol }) => (protocol === undefined ? [] : [port])),
  );
  const { idle, closed } = unreadPorts([rule], effectivePolicy(policy, []), []);
  const [silent, shut] = [idle, closed].map((ports) => ports.filter((port) => stated.has(port)));
  if (silent !== undefined && silent.length > 0) {
    return `asks something of requests, and by spec.ports no HTTP is spoken on ${silent.join(', ')}: it allows nothing there`;
  }
  if (shut === undefined || shut.length === 0) return undefined;
  return `asks something of requests, and by spec.ports no HTTP is spoken on ${shut.join(', ')}: it denies everything there`;
}

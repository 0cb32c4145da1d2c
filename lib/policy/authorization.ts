// Rules of a policy, Deny rules of the baselines and named roles -> the rules for one pod, as its sidecar is told. Total: what cannot be
// enforced as it is written is named as a fault and made stricter, never laxer: an Allow rule then allows less, a Deny rule denies more. Pure.
import {
  AUTHORIZATION_FORM,
  type Authorization,
  type AuthorizationCaller,
  type AuthorizationRule,
  type AuthorizationTarget,
  type CallerMatch,
  type RuleMatch,
  type TargetMatch,
} from '../api/authorization.ts';
import { parseBlock } from '../api/ipblock.ts';
import type { TLSBaseline, TLSRole } from '../api/tlsbaseline.ts';
import type { TLSPolicy } from '../api/tlspolicy.ts';
import { conditionFault } from '../cel/language.ts';
import type { Fault } from './effective.ts';
import { compileTarget, stricter, whole } from './targets.ts';

/** Who runs with a service account, as the operator sees it in the pods. Answers are SPIFFE IDs in a stable order. */
export interface AccountHolders {
  /** Services of which every live pod runs with the account. */
  all(namespace: string, account: string): readonly string[];
  /** Services of which any live pod runs with the account. */
  any(namespace: string, account: string): readonly string[];
}

/** What rules are compiled with. */
export interface AuthorizationSources {
  readonly baselines: readonly TLSBaseline[];
  readonly accounts: AccountHolders;
  readonly trustDomain: string;
  role(name: string): TLSRole | undefined;
}

/** What came of it. */
export interface Compiled {
  /** Undefined = nothing restricts who may call. */
  readonly authorization: Authorization | undefined;
  /** What in the policy (not in baselines) does not hold as written. */
  readonly faults: readonly Fault[];
}

interface Context {
  readonly sources: AuthorizationSources;
  /** Undefined for rules of a baseline. */
  readonly namespace: string | undefined;
  /** `part`: where in the rule. */
  readonly fault: (part: 'when' | 'from' | 'to' | 'roles', message: string) => void;
}

/** The rules for the pods that a policy governs; `undefined` = no policy does, and only baselines hold. */
export function compileAuthorization(policy: TLSPolicy | undefined, sources: AuthorizationSources): Compiled {
  const faults: Fault[] = [];
  const { audit = false, rules = [] } = policy?.spec.authorization ?? {};
  const own = rules.map((rule, index) => {
    const fault: Context['fault'] = (part, message) => {
      faults.push({ field: `spec.authorization.rules[${index}].${part}`, message: `"${rule.name}" ${message}` });
    };
    const context = { sources, namespace: policy?.metadata.namespace ?? '', fault };
    return compileRule({ ...rule, audit: audit || rule.audit === true }, rule.name, context);
  });
  const byEffect = (effect: RuleMatch['effect']): readonly RuleMatch[] => own.filter((rule) => rule.effect === effect);
  const all = [...baselineRules(sources), ...byEffect('Deny'), ...byEffect('Allow')];
  return { authorization: all.length === 0 ? undefined : { form: AUTHORIZATION_FORM, rules: all }, faults };
}

/** The Deny rules of all baselines, in the order of their names. */
function baselineRules(sources: AuthorizationSources): readonly RuleMatch[] {
  const context = { sources, namespace: undefined, fault: () => undefined };
  return [...sources.baselines]
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .flatMap(({ metadata, spec }) =>
      (spec.authorization?.rules ?? []).map((rule) => {
        const audit = spec.audit === true || rule.audit === true;
        return compileRule({ ...rule, effect: 'Deny', audit }, `${metadata.name}/${rule.name}`, context);
      }),
    );
}

function compileRule(rule: AuthorizationRule, name: string, context: Context): RuleMatch {
  const effect = rule.effect === 'Deny' ? 'Deny' : 'Allow';
  const { audit = false, when } = rule;
  const broken = when === undefined ? undefined : conditionFault(when);
  if (broken !== undefined)
    context.fault('when', `has a condition that cannot be used: ${broken}; ${stricter(effect)}`);
  const from =
    broken !== undefined && effect === 'Allow'
      ? []
      : whole(rule.from)?.map((each) => compileCaller(each, effect, context));
  const to = compileTargets(rule, effect, context);
  return {
    name,
    effect,
    ...(audit ? { audit: true as const } : {}),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(when === undefined || broken !== undefined ? {} : { when }),
  };
}

function compileCaller(caller: AuthorizationCaller, effect: RuleMatch['effect'], context: Context): CallerMatch {
  const { services, serviceAccounts, identities, ipBlocks } = caller;
  const names = services !== undefined || serviceAccounts !== undefined;
  const namespaces = caller.namespaces ?? (names && context.namespace !== undefined ? [context.namespace] : undefined);
  for (const block of ipBlocks ?? []) {
    if (parseBlock(block) === undefined)
      context.fault('from', `names "${block}", which is no CIDR; ${stricter(effect)}`);
  }
  return {
    ...(services === undefined ? {} : { services }),
    ...(namespaces === undefined ? {} : { namespaces }),
    ...(serviceAccounts === undefined
      ? {}
      : { holders: holdersOf(serviceAccounts, namespaces ?? [], effect, context) }),
    ...(identities === undefined ? {} : { identities }),
    ...(ipBlocks === undefined ? {} : { ipBlocks }),
  };
}

/**
 * A certificate names a service, not an account. A service stands for an account when all of its pods run with it, for a Deny rule
 * already when one does. Meshes that were here before name accounts themselves.
 */
function holdersOf(
  accounts: readonly string[],
  namespaces: readonly string[],
  effect: RuleMatch['effect'],
  { sources: { accounts: book, trustDomain } }: Context,
): readonly string[] {
  const found = namespaces.flatMap((namespace) =>
    accounts.flatMap((account) => [
      ...(effect === 'Allow' ? book.all(namespace, account) : book.any(namespace, account)),
      `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`,
    ]),
  );
  return [...new Set(found)].sort();
}

/** Undefined = anything. */
function compileTargets(
  rule: AuthorizationRule,
  effect: RuleMatch['effect'],
  context: Context,
): readonly TargetMatch[] | undefined {
  const roles = whole(rule.roles)?.map((name) => ({ name, role: context.sources.role(name) }));
  const missing = (roles ?? []).filter(({ role }) => role === undefined);
  for (const { name } of missing)
    context.fault('roles', `refers to TLSRole "${name}", which does not exist; ${widened(effect)}`);
  if (missing.length > 0 && effect === 'Deny') return undefined;
  const own = whole(rule.to);
  if (own === undefined && roles === undefined) return undefined;
  const permissions = (roles ?? []).flatMap(({ role }) => role?.spec.permissions ?? []);
  const compiled = (targets: readonly AuthorizationTarget[], part: 'to' | 'roles'): readonly TargetMatch[] =>
    targets.flatMap((target) => compileTarget(target, effect, (message) => context.fault(part, message)) ?? []);
  return [...compiled(own ?? [], 'to'), ...compiled(permissions, 'roles')];
}

function widened(effect: RuleMatch['effect']): string {
  return effect === 'Allow' ? 'it allows nothing by that' : 'it denies every port';
}

// Rules in a form in which they are judged quickly (decide.ts). A rule becomes clauses: one for each of its callers with each of its targets
// that asks something of requests, and one with all others. Each value that a clause names is indexed; a decision intersects a handful of
// sets. Pure.
import type { Authorization, CallerMatch, RuleMatch, TargetMatch } from './authorization.ts';
import type { Condition, ConditionLanguage } from './condition.ts';
import { type Block, parseBlock } from './ipblock.ts';
import { RequestIndex, type RequestPart } from './requestindex.ts';
import { type ClauseSet, emptySet, put, RangeIndex, ValueIndex } from './ruleindex.ts';

/** A rule that is judged. */
export interface JudgedRule {
  readonly name: string;
  readonly effect: RuleMatch['effect'];
  readonly audit: boolean;
  /** Absent = it has none. One that cannot be compiled fails whenever it is asked. */
  readonly when?: Condition;
}

/** A rule with one of its callers and targets: it matches when both do. */
interface Clause {
  readonly rule: JudgedRule;
  readonly caller: CallerMatch;
  readonly blocks: readonly Block[] | undefined;
  readonly ports: readonly number[] | undefined;
  /** Undefined = nothing is asked of requests; the rule's condition is apart. */
  readonly request: RequestPart | undefined;
}

/** Clauses of a kind. */
interface Kinds {
  /** Whether they hold depends on the request. */
  readonly conditional: ClauseSet;
  readonly conditionalDeny: ClauseSet;
  readonly unconditional: ClauseSet;
  /** Those that hold where no request is read: Deny rules whatever they ask of one, Allow rules that ask nothing. */
  readonly unread: ClauseSet;
  readonly enforcedAllow: ClauseSet;
}

/** Prepared rules. */
export interface Judge {
  /** What SPIFFE IDs of the own trust domain begin with. */
  readonly prefix: string;
  /** The rule of each clause, Deny before Allow. */
  readonly rules: readonly JudgedRule[];
  readonly services: ValueIndex<string>;
  readonly namespaces: ValueIndex<string>;
  readonly identities: ValueIndex<string>;
  readonly holders: ValueIndex<string>;
  readonly ports: ValueIndex<number>;
  readonly ranges: RangeIndex;
  /** Of Deny rules, and of Allow rules. */
  readonly requests: readonly [RequestIndex, RequestIndex];
  readonly kinds: Kinds;
  /** Whether there is an Allow rule that is enforced, whether there is any, any audit rule, and any condition. */
  readonly enforcesAllow: boolean;
  readonly hasAllow: boolean;
  readonly audits: boolean;
  readonly hasConditions: boolean;
  /** Where decisions are worked out, so that none of them allocates; valid until the next one. */
  readonly scratch: ClauseSet;
}

/**
 * Prepares rules; `undefined` = there are none. Services and namespaces are those of `trustDomain`. Without a language every condition
 * fails.
 */
export function prepare(
  authorization: Authorization | undefined,
  trustDomain: string,
  language?: ConditionLanguage,
): Judge {
  const rules = authorization?.rules ?? [];
  const deny = rules.filter(({ effect }) => effect !== 'Allow');
  const allow = rules.filter(({ effect }) => effect === 'Allow');
  const compile = language?.compiler();
  const clauses = [...deny, ...allow].flatMap((rule) => clausesOf(rule, compile));
  const ofDeny = ({ rule }: Clause): boolean => rule.effect === 'Deny';
  return {
    prefix: `spiffe://${trustDomain}/ns/`,
    rules: clauses.map(({ rule }) => rule),
    services: new ValueIndex(clauses.map(({ caller }) => caller.services)),
    namespaces: new ValueIndex(clauses.map(({ caller }) => caller.namespaces)),
    identities: new ValueIndex(clauses.map(({ caller }) => caller.identities)),
    holders: new ValueIndex(clauses.map(({ caller }) => caller.holders)),
    ports: new ValueIndex(clauses.map(({ ports }) => ports)),
    ranges: new RangeIndex(clauses.map(({ blocks }) => blocks)),
    requests: [
      new RequestIndex(
        clauses.map((clause) => (ofDeny(clause) ? clause.request : undefined)),
        true,
      ),
      new RequestIndex(
        clauses.map((clause) => (ofDeny(clause) ? undefined : clause.request)),
        false,
      ),
    ],
    kinds: kindsOf(clauses),
    enforcesAllow: allow.some(({ audit }) => audit !== true),
    hasAllow: allow.length > 0,
    audits: rules.some(({ audit }) => audit === true),
    hasConditions: clauses.some(({ rule }) => rule.when !== undefined),
    scratch: emptySet(clauses.length),
  };
}

function kindsOf(clauses: readonly Clause[]): Kinds {
  const those = (test: (clause: Clause) => boolean): ClauseSet => {
    const set = emptySet(clauses.length);
    for (const [index, clause] of clauses.entries()) if (test(clause)) put(set, index);
    return set;
  };
  const isConditional = ({ request, rule }: Clause): boolean => request !== undefined || rule.when !== undefined;
  return {
    conditional: those(isConditional),
    conditionalDeny: those((clause) => isConditional(clause) && clause.rule.effect === 'Deny'),
    unconditional: those((clause) => !isConditional(clause)),
    unread: those((clause) => !isConditional(clause) || clause.rule.effect === 'Deny'),
    enforcedAllow: those(({ rule }) => rule.effect === 'Allow' && !rule.audit),
  };
}

function clausesOf(
  match: RuleMatch,
  compile: ReturnType<ConditionLanguage['compiler']> | undefined,
): readonly Clause[] {
  const { name, effect, audit, from, to, when } = match;
  const condition = when === undefined ? undefined : (compile?.(when) ?? failing);
  const rule = { name, effect, audit: audit === true, ...(condition === undefined ? {} : { when: condition }) };
  const targets = targetsOf(to);
  return (from ?? [{}]).flatMap((caller) => {
    const blocks = blocksOf(caller, effect);
    return targets.map((target) => ({ rule, caller, blocks, ...target }));
  });
}

/** A condition that cannot be read, or that nobody here can. */
const failing: Condition = () => undefined;

/** Those that ask nothing of requests in one. */
function targetsOf(to: readonly TargetMatch[] | undefined): readonly Pick<Clause, 'ports' | 'request'>[] {
  if (to === undefined) return [{ ports: undefined, request: undefined }];
  const asks = ({ methods, paths, hosts }: TargetMatch): boolean =>
    methods !== undefined || paths !== undefined || hosts !== undefined;
  const plain = to.filter((target) => !asks(target));
  const any = plain.some(({ ports }) => ports === undefined);
  const ports = any ? undefined : plain.flatMap((target) => target.ports ?? []);
  return [
    ...(plain.length === 0 ? [] : [{ ports, request: undefined }]),
    ...to.filter(asks).map((target) => ({ ports: target.ports, request: target })),
  ];
}

/** Undefined = anywhere. A range that cannot be read lets nobody in, and holds nobody back less than what was meant. */
function blocksOf({ ipBlocks }: CallerMatch, effect: RuleMatch['effect']): readonly Block[] | undefined {
  const blocks = ipBlocks?.map(parseBlock);
  const isUnread = effect !== 'Allow' && blocks?.includes(undefined) === true;
  return isUnread ? undefined : blocks?.filter((block) => block !== undefined);
}

// May this caller connect to this port? The one decision of the mesh, used by sidecars on every connection and by the CLI to explain it.
// Any Deny rule that matches denies; else, if there is an Allow rule, one must match; else it is allowed. Rules in audit mode change
// nothing and are told beside. Names are compared as they are: no pattern is ever made of one. Pure.
import type { Authorization, CallerMatch, RuleMatch } from './authorization.ts';
import { addressWords, type Block, parseBlock } from './ipblock.ts';
import { type ClauseSet, RangeIndex, ValueIndex } from './ruleindex.ts';

/** A call to judge. */
export interface Call {
  /** SPIFFE ID that the caller proved; undefined for plaintext and for TLS without a client certificate. */
  readonly identity: string | undefined;
  /** Where it comes from. What is no IP address lies in no range. */
  readonly address: string;
  /** Container port. */
  readonly port: number;
}

/** The verdict. */
export interface Decision {
  readonly allowed: boolean;
  /** The rule that decided; undefined where none matched: there is no Allow rule (allowed), or none of them matched (denied). */
  readonly rule: string | undefined;
  /** Rules in audit mode that matched. */
  readonly audited: readonly string[];
  /** Whether it were allowed if audit rules were enforced; undefined = nothing would be different. */
  readonly wouldBe: boolean | undefined;
}

interface Rule {
  readonly name: string;
  readonly effect: RuleMatch['effect'];
  readonly audit: boolean;
}

/** A rule with one of its callers: it matches a call when the caller and the port do. */
interface Clause {
  readonly rule: Rule;
  readonly caller: CallerMatch;
  readonly blocks: readonly Block[] | undefined;
  readonly ports: readonly number[] | undefined;
}

/** Rules in a form in which they are judged quickly. */
export interface Judge {
  /** What SPIFFE IDs of the own trust domain begin with. */
  readonly prefix: string;
  /** The rule of each clause, Deny before Allow. */
  readonly rules: readonly Rule[];
  readonly services: ValueIndex<string>;
  readonly namespaces: ValueIndex<string>;
  readonly identities: ValueIndex<string>;
  readonly holders: ValueIndex<string>;
  readonly ports: ValueIndex<number>;
  readonly ranges: RangeIndex;
  /** Whether there is an Allow rule that is enforced, and whether there is any. */
  readonly enforcesAllow: boolean;
  readonly hasAllow: boolean;
  readonly audits: boolean;
}

/** Prepares rules for `decide`; `undefined` = there are none. Services and namespaces are those of `trustDomain`. */
export function prepare(authorization: Authorization | undefined, trustDomain: string): Judge {
  const rules = authorization?.rules ?? [];
  const isAllow = ({ effect }: RuleMatch): boolean => effect === 'Allow';
  const deny = rules.filter((rule) => !isAllow(rule));
  const allow = rules.filter(isAllow);
  const clauses = [...deny, ...allow].flatMap(clausesOf);
  return {
    prefix: `spiffe://${trustDomain}/ns/`,
    rules: clauses.map(({ rule }) => rule),
    services: new ValueIndex(clauses.map(({ caller }) => caller.services)),
    namespaces: new ValueIndex(clauses.map(({ caller }) => caller.namespaces)),
    identities: new ValueIndex(clauses.map(({ caller }) => caller.identities)),
    holders: new ValueIndex(clauses.map(({ caller }) => caller.holders)),
    ports: new ValueIndex(clauses.map(({ ports }) => ports)),
    ranges: new RangeIndex(clauses.map(({ blocks }) => blocks)),
    enforcesAllow: allow.some(({ audit }) => audit !== true),
    hasAllow: allow.length > 0,
    audits: rules.some(({ audit }) => audit === true),
  };
}

/** Judges a call. */
export function decide(judge: Judge, call: Call): Decision {
  const matched = matchedRules(judge, call);
  const enforced = (effect: RuleMatch['effect']): Rule | undefined =>
    matched.find((rule) => rule.effect === effect && !rule.audit);
  const denied = enforced('Deny');
  const granted = denied === undefined ? enforced('Allow') : undefined;
  const allowed = denied === undefined && (granted !== undefined || !judge.enforcesAllow);
  const rule = (denied ?? granted)?.name;
  if (!judge.audits) return { allowed, rule, audited: none, wouldBe: undefined };
  const audited = matched.filter(({ audit }) => audit).map(({ name }) => name);
  const wouldDeny = matched.some(({ effect }) => effect === 'Deny');
  const wouldBe = !wouldDeny && (!judge.hasAllow || matched.length > 0);
  return { allowed, rule, audited, wouldBe: wouldBe === allowed ? undefined : wouldBe };
}

const none: readonly string[] = [];

/** Rules that match, in their order; without rules in audit mode the first alone, since it decides. */
function matchedRules(judge: Judge, { identity, address, port }: Call): readonly Rule[] {
  const { rules, ranges } = judge;
  const [namespace, service] = placeOf(judge.prefix, identity);
  const sets = [
    judge.ports.of(port),
    judge.services.of(service),
    judge.namespaces.of(namespace),
    judge.identities.of(identity),
    judge.holders.of(identity),
  ];
  const near = ranges.of(ranges.asks ? (addressWords(address) ?? false) : false);
  const found: Rule[] = [];
  for (let word = 0; word << 5 < rules.length; word += 1) {
    let bits = union(near, word);
    for (const set of sets) bits &= set[word] ?? 0;
    for (; bits !== 0; bits &= bits - 1) {
      const rule = rules[(word << 5) + 31 - Math.clz32(bits & -bits)];
      if (rule !== undefined && found.at(-1) !== rule) found.push(rule);
      if (!judge.audits) return found;
    }
  }
  return found;
}

function union(sets: readonly ClauseSet[], word: number): number {
  let bits = 0;
  for (const set of sets) bits |= set[word] ?? 0;
  return bits;
}

/** Namespace and service of an identity of the own trust domain; what is named otherwise, such as by a service account, has no service. */
function placeOf(prefix: string, identity: string | undefined): readonly [string?, string?] {
  if (identity?.startsWith(prefix) !== true) return [];
  const slash = identity.indexOf('/', prefix.length);
  if (slash < 0) return [];
  const namespace = identity.slice(prefix.length, slash);
  const last = identity.indexOf('/', slash + 1);
  if (last < 0 || identity.includes('/', last + 1)) return [];
  return identity.startsWith('/svc/', slash) ? [namespace, identity.slice(last + 1)] : [namespace];
}

function clausesOf({ name, effect, audit, from, to }: RuleMatch): readonly Clause[] {
  if (to?.length === 0) return [];
  const rule: Rule = { name, effect, audit: audit === true };
  const ports =
    to === undefined || to.some((each) => each.ports === undefined)
      ? undefined
      : to.flatMap((each) => each.ports ?? []);
  return (from ?? [{}]).map((caller) => ({ rule, caller, ports, blocks: blocksOf(caller, effect) }));
}

/** Undefined = anywhere. A range that cannot be read lets nobody in, and holds nobody back less than what was meant. */
function blocksOf({ ipBlocks }: CallerMatch, effect: RuleMatch['effect']): readonly Block[] | undefined {
  const blocks = ipBlocks?.map(parseBlock);
  const isUnread = effect !== 'Allow' && blocks?.includes(undefined) === true;
  return isUnread ? undefined : blocks?.filter((block) => block !== undefined);
}

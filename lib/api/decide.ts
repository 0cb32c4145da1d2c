// May this caller connect to this port, and ask for this? The one decision of the mesh, used by sidecars on every connection and request and
// by the CLI to explain it. Any Deny rule that matches denies; else, if there is an Allow rule, one must match; else it is allowed. Rules in
// audit mode change nothing and are told beside. Names are compared as they are: no pattern is ever made of one. Pure.
import type { ConditionFacts } from './condition.ts';
import { addressWords } from './ipblock.ts';
import type { Judge, JudgedRule } from './judge.ts';
import { resolvedPath } from './path.ts';
import type { RequestFacts } from './request.ts';
import type { ClauseSet } from './ruleindex.ts';

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
  /** Rules whose condition failed: an Allow rule then does not match, a Deny rule does. Absent = none. */
  readonly failed?: readonly string[];
}

/** What is known of a connection on which requests are read, before any of them. */
export interface Standing {
  readonly judge: Judge;
  readonly call: Call;
  /** Of the caller's identity, where it is one of the own trust domain. */
  readonly place: Place;
  /** Clauses whose caller and port match. */
  readonly clauses: ClauseSet;
  /** The verdict, where it is the same for every request; undefined = each has to be judged. */
  readonly decision: Decision | undefined;
}

/**
 * Judges a connection on which no requests are read. What a rule asks of requests is not known then: an Allow rule that asks does not match,
 * of a Deny rule it is taken for fulfilled.
 */
export function decide(judge: Judge, call: Call): Decision {
  const clauses = narrowed(callersClauses(judge, call, placeOf(judge.prefix, call.identity)), judge.kinds.unread);
  return verdict(judge, matched(judge, clauses));
}

/** Judges a connection on which requests are read, as far as can be said before there is one. */
export function standing(judge: Judge, call: Call): Standing {
  const place = placeOf(judge.prefix, call.identity);
  const clauses = callersClauses(judge, call, place).slice();
  return { judge, call, place, clauses, decision: foregone(judge, clauses) };
}

/** Judges a request. `now` is asked only where rules have conditions. */
export function decideRequest(
  { judge, call, place, clauses, decision }: Standing,
  request: RequestFacts,
  now: Date,
): Decision {
  if (decision !== undefined) return decision;
  const { scratch, requests } = judge;
  for (let word = 0; word < scratch.length; word += 1) scratch[word] = clauses[word] ?? 0;
  requests[0].narrow(scratch, request);
  requests[1].narrow(scratch, request);
  if (!judge.hasConditions) return verdict(judge, matched(judge, scratch));
  const { namespace, service } = place;
  const facts = { call, namespace, service, request, now };
  const other = asRead(facts);
  const failed: string[] = [];
  const holds = ({ name, effect, when }: JudgedRule): boolean => {
    let outcome = when === undefined ? true : when(facts);
    // Of two readings that one counts which lets less through.
    if (when !== undefined && other !== undefined && outcome === (effect === 'Allow')) outcome = when(other);
    if (outcome === undefined) failed.push(name);
    return outcome ?? effect === 'Deny';
  };
  const decided = verdict(judge, matched(judge, scratch, holds));
  return failed.length === 0 ? decided : { ...decided, failed };
}

/** The same request as servers read it that resolve escapes which others keep; undefined = all read it alike. */
function asRead(facts: ConditionFacts): ConditionFacts | undefined {
  const { request } = facts;
  const path = request.path === undefined ? undefined : resolvedPath(request.path);
  return path === request.path ? undefined : { ...facts, request: { ...request, path } };
}

/** The verdict that no request can change. The judge's scratch has the clauses, too, and loses them. */
function foregone(judge: Judge, clauses: ClauseSet): Decision | undefined {
  const { kinds, audits } = judge;
  if (!meet(clauses, kinds.conditional)) return verdict(judge, matched(judge, clauses));
  const sure = verdict(judge, matched(judge, narrowed(judge.scratch, kinds.unconditional)));
  const isDenied = !sure.allowed && sure.rule !== undefined;
  const noneAllows = judge.enforcesAllow && !meet(clauses, kinds.enforcedAllow);
  if (isDenied || noneAllows) return sure;
  // With rules in audit mode it has still to be found out which of them match.
  const isGranted = sure.rule !== undefined && !audits && !meet(clauses, kinds.conditionalDeny);
  return isGranted ? sure : undefined;
}

/** What rules that match come to, in their order. */
function verdict(judge: Judge, rules: readonly JudgedRule[]): Decision {
  const denied = enforced(rules, 'Deny');
  const granted = denied === undefined ? enforced(rules, 'Allow') : undefined;
  const allowed = denied === undefined && (granted !== undefined || !judge.enforcesAllow);
  const rule = (denied ?? granted)?.name;
  if (!judge.audits) return { allowed, rule, audited: none, wouldBe: undefined };
  const audited = rules.filter(({ audit }) => audit).map(({ name }) => name);
  const wouldDeny = rules.some(({ effect }) => effect === 'Deny');
  const wouldBe = !wouldDeny && (!judge.hasAllow || rules.length > 0);
  return { allowed, rule, audited, wouldBe: wouldBe === allowed ? undefined : wouldBe };
}

function enforced(rules: readonly JudgedRule[], effect: JudgedRule['effect']): JudgedRule | undefined {
  for (const rule of rules) if (rule.effect === effect && !rule.audit) return rule;
  return undefined;
}

const none: readonly string[] = [];

/** Clauses whose caller and port match, in the judge's scratch. */
function callersClauses(judge: Judge, { identity, address, port }: Call, { namespace, service }: Place): ClauseSet {
  const { ranges, scratch } = judge;
  const byPort = judge.ports.of(port);
  const byService = judge.services.of(service);
  const byNamespace = judge.namespaces.of(namespace);
  const byIdentity = judge.identities.of(identity);
  const byHolder = judge.holders.of(identity);
  const near = ranges.asks ? ranges.of(addressWords(address) ?? false) : undefined;
  for (let word = 0; word < scratch.length; word += 1) {
    const named = (byService[word] ?? 0) & (byNamespace[word] ?? 0) & (byIdentity[word] ?? 0) & (byHolder[word] ?? 0);
    scratch[word] = named & (byPort[word] ?? 0) & (near === undefined ? (ranges.any[word] ?? 0) : union(near, word));
  }
  return scratch;
}

/** Rules of these clauses of which the condition holds, in their order; without rules in audit mode the first alone, since it decides. */
function matched(
  judge: Judge,
  clauses: ClauseSet,
  holds: (rule: JudgedRule) => boolean = always,
): readonly JudgedRule[] {
  const { rules, audits } = judge;
  const found: JudgedRule[] = [];
  let asked: JudgedRule | undefined;
  for (let word = 0; word < clauses.length; word += 1) {
    for (let bits = clauses[word] ?? 0; bits !== 0; bits &= bits - 1) {
      const rule = rules[(word << 5) + 31 - Math.clz32(bits & -bits)];
      if (rule === undefined || rule === asked) continue;
      asked = rule;
      if (!holds(rule)) continue;
      found.push(rule);
      if (!audits) return found;
    }
  }
  return found;
}

const always = (): boolean => true;

function narrowed(set: ClauseSet, by: ClauseSet): ClauseSet {
  for (let word = 0; word < set.length; word += 1) set[word] = (set[word] ?? 0) & (by[word] ?? 0);
  return set;
}

function meet(a: ClauseSet, b: ClauseSet): boolean {
  for (let word = 0; word < a.length; word += 1) if (((a[word] ?? 0) & (b[word] ?? 0)) !== 0) return true;
  return false;
}

function union(sets: readonly ClauseSet[], word: number): number {
  let bits = 0;
  for (const set of sets) bits |= set[word] ?? 0;
  return bits;
}

/** Where an identity of the own trust domain belongs. */
export interface Place {
  readonly namespace: string | undefined;
  readonly service: string | undefined;
}

const nowhere: Place = { namespace: undefined, service: undefined };

/** Namespace and service of an identity of the own trust domain; what is named otherwise, such as by a service account, has no service. */
export function placeOf(prefix: string, identity: string | undefined): Place {
  if (identity?.startsWith(prefix) !== true) return nowhere;
  const slash = identity.indexOf('/', prefix.length);
  if (slash < 0) return nowhere;
  const last = identity.indexOf('/', slash + 1);
  if (last < 0 || identity.includes('/', last + 1)) return nowhere;
  const namespace = identity.slice(prefix.length, slash);
  return { namespace, service: identity.startsWith('/svc/', slash) ? identity.slice(last + 1) : undefined };
}

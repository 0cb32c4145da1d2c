// May this caller connect to this port? The one decision of the mesh, used by sidecars on every connection and by the CLI to explain it.
// Any Deny rule that matches denies; else, if there is an Allow rule, one must match; else it is allowed. Rules in audit mode change
// nothing and are told beside. Names are compared as they are: no pattern is ever made of one. Pure.
import type { Authorization, CallerMatch, RuleMatch, TargetMatch } from './authorization.ts';
import { addressWords, type Block, inBlock, parseBlock, type Words } from './ipblock.ts';

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

interface Caller {
  readonly services: ReadonlySet<string> | undefined;
  readonly namespaces: ReadonlySet<string> | undefined;
  readonly holders: ReadonlySet<string> | undefined;
  readonly identities: ReadonlySet<string> | undefined;
  readonly blocks: readonly Block[] | undefined;
}

interface Rule {
  readonly name: string;
  readonly audit: boolean;
  readonly from: readonly Caller[] | undefined;
  readonly to: readonly (ReadonlySet<number> | undefined)[] | undefined;
}

/** Rules in a form in which they are judged quickly. */
export interface Judge {
  /** What SPIFFE IDs of the own trust domain begin with. */
  readonly prefix: string;
  readonly deny: readonly Rule[];
  readonly allow: readonly Rule[];
  readonly enforcesAllow: boolean;
  readonly audits: boolean;
}

/** Prepares rules for `decide`; `undefined` = there are none. Services and namespaces are those of `trustDomain`. */
export function prepare(authorization: Authorization | undefined, trustDomain: string): Judge {
  const rules = authorization?.rules ?? [];
  const allow = rules.filter(({ effect }) => effect === 'Allow').map(preparedRule);
  return {
    prefix: `spiffe://${trustDomain}/ns/`,
    deny: rules.filter(({ effect }) => effect !== 'Allow').map(preparedRule),
    allow,
    enforcesAllow: allow.some(({ audit }) => !audit),
    audits: rules.some(({ audit }) => audit === true),
  };
}

/** Judges a call. */
export function decide(judge: Judge, call: Call): Decision {
  const caller = new Known(judge.prefix, call);
  const denied = first(judge.deny, caller, false);
  const granted = denied === undefined ? first(judge.allow, caller, false) : undefined;
  const allowed = denied === undefined && (granted !== undefined || !judge.enforcesAllow);
  const rule = (denied ?? granted)?.name;
  if (!judge.audits) return { allowed, rule, audited: [], wouldBe: undefined };
  const audited = [...judge.deny, ...judge.allow].filter((each) => each.audit && matches(each, caller));
  const wouldDeny = denied !== undefined || judge.deny.some((each) => audited.includes(each));
  const wouldGrant =
    judge.allow.length === 0 ||
    first(judge.allow, caller, false) !== undefined ||
    audited.some((each) => judge.allow.includes(each));
  const wouldBe = !wouldDeny && wouldGrant;
  return {
    allowed,
    rule,
    audited: audited.map(({ name }) => name),
    wouldBe: wouldBe === allowed ? undefined : wouldBe,
  };
}

/** What is known of a caller; its parts are read when a rule first asks for them. */
class Known {
  readonly call: Call;
  readonly #prefix: string;
  #words: Words | false | undefined;
  #path: readonly string[] | undefined;

  constructor(prefix: string, call: Call) {
    this.#prefix = prefix;
    this.call = call;
  }

  words(): Words | false {
    this.#words ??= addressWords(this.call.address) ?? false;
    return this.#words;
  }

  /** Undefined for callers of other trust domains. */
  namespace(): string | undefined {
    return this.#parts()[0];
  }

  /** Undefined for callers that are named otherwise, such as by a service account. */
  service(): string | undefined {
    const [, kind, name] = this.#parts();
    return kind === 'svc' ? name : undefined;
  }

  #parts(): readonly string[] {
    if (this.#path !== undefined) return this.#path;
    const { identity = '' } = this.call;
    const parts = identity.startsWith(this.#prefix) ? identity.slice(this.#prefix.length).split('/') : [];
    this.#path = parts.length === 3 ? parts : [];
    return this.#path;
  }
}

function first(rules: readonly Rule[], caller: Known, audit: boolean): Rule | undefined {
  for (const rule of rules) if (rule.audit === audit && matches(rule, caller)) return rule;
  return undefined;
}

function matches({ from, to }: Rule, caller: Known): boolean {
  return reaches(to, caller.call.port) && isOf(from, caller);
}

function reaches(to: Rule['to'], port: number): boolean {
  if (to === undefined) return true;
  for (const ports of to) if (ports === undefined || ports.has(port)) return true;
  return false;
}

function isOf(from: Rule['from'], caller: Known): boolean {
  if (from === undefined) return true;
  for (const each of from) if (isCaller(each, caller)) return true;
  return false;
}

function isCaller({ services, namespaces, holders, identities, blocks }: Caller, caller: Known): boolean {
  return (
    within(namespaces, namespaces === undefined ? undefined : caller.namespace()) &&
    within(services, services === undefined ? undefined : caller.service()) &&
    within(identities, caller.call.identity) &&
    within(holders, caller.call.identity) &&
    (blocks === undefined || inAny(blocks, caller.words()))
  );
}

function within(set: ReadonlySet<string> | undefined, value: string | undefined): boolean {
  return set === undefined || (value !== undefined && set.has(value));
}

function inAny(blocks: readonly Block[], words: Words | false): boolean {
  if (words === false) return false;
  for (const block of blocks) if (inBlock(block, words)) return true;
  return false;
}

function preparedRule({ name, audit, from, to, effect }: RuleMatch): Rule {
  return {
    name,
    audit: audit === true,
    from: from?.map((each) => preparedCaller(each, effect)),
    to: to?.map(({ ports }: TargetMatch) => setOf(ports)),
  };
}

function preparedCaller(caller: CallerMatch, effect: RuleMatch['effect']): Caller {
  const blocks = caller.ipBlocks?.map(parseBlock);
  // A range that cannot be read lets nobody in, and holds nobody back less than what was meant.
  const unread = effect !== 'Allow' && blocks?.includes(undefined) === true;
  return {
    services: setOf(caller.services),
    namespaces: setOf(caller.namespaces),
    holders: setOf(caller.holders),
    identities: setOf(caller.identities),
    blocks: unread ? undefined : blocks?.filter((block) => block !== undefined),
  };
}

function setOf<T>(values: readonly T[] | undefined): ReadonlySet<T> | undefined {
  return values === undefined ? undefined : new Set(values);
}

// The authorization rules of a snapshot, read so that what this version does not understand never lets anybody in: a part of an Allow rule that
// is not known makes it allow nothing, one of a Deny rule is taken for fulfilled, and anything else that is not known denies every
// connection. Never throws: to refuse the snapshot would leave laxer rules of before in force. Pure.
import {
  AUTHORIZATION_FORM,
  type Authorization,
  type CallerMatch,
  type RuleMatch,
  type TargetMatch,
} from '../../lib/api/authorization.ts';

type Members = Readonly<Record<string, unknown>>;
type Effect = RuleMatch['effect'];

/** Name under which a refusal is booked that comes from rules nobody here can read. */
export const UNREADABLE = 'unreadable-rules';

/** What is in force when the rules as a whole cannot be read. */
const nobody: Authorization = { form: AUTHORIZATION_FORM, rules: [{ name: UNREADABLE, effect: 'Deny' }] };

const callerLists = ['services', 'namespaces', 'holders', 'identities', 'ipBlocks'] as const;
const requestLists = ['methods', 'paths', 'hosts'] as const;

/** The rules; undefined where there are none. */
export function parseAuthorization(value: unknown): Authorization | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value) || value['form'] !== AUTHORIZATION_FORM || hasOthers(value, ['form', 'rules'])) return nobody;
  const { rules } = value;
  if (!Array.isArray(rules)) return nobody;
  const read = (rules as readonly unknown[]).map(parseRule);
  return read.includes(undefined)
    ? nobody
    : { form: AUTHORIZATION_FORM, rules: read.filter((rule) => rule !== undefined) };
}

function parseRule(value: unknown): RuleMatch | undefined {
  if (!isObject(value)) return undefined;
  const { name, effect, audit, from, to } = value;
  if (typeof name !== 'string' || (effect !== 'Allow' && effect !== 'Deny')) return undefined;
  if (audit !== undefined && typeof audit !== 'boolean') return undefined;
  const { when } = value;
  const readable = when === undefined || typeof when === 'string';
  const strange = !readable || hasOthers(value, ['name', 'effect', 'audit', 'from', 'to', 'when']);
  const callers = strange && effect === 'Allow' ? [] : parseList(from, effect, parseCaller);
  const targets = parseList(to, effect, parseTarget);
  return {
    name,
    effect,
    ...(audit === true ? { audit } : {}),
    ...(callers === undefined ? {} : { from: callers }),
    ...(targets === undefined ? {} : { to: targets }),
    ...(typeof when === 'string' ? { when } : {}),
  };
}

/** Undefined = no restriction. */
function parseList<T>(
  value: unknown,
  effect: Effect,
  parse: (entry: unknown, effect: Effect) => T | undefined,
): readonly T[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) return effect === 'Allow' ? [] : undefined;
  return (value as readonly unknown[]).flatMap((entry) => parse(entry, effect) ?? []);
}

/** Undefined: the entry matches nobody. Without members it matches everybody. */
function parseCaller(value: unknown, effect: Effect): CallerMatch | undefined {
  const unclear = effect === 'Allow' ? undefined : {};
  if (!isObject(value)) return unclear;
  let caller: CallerMatch = {};
  for (const [name, list] of Object.entries(value)) {
    const known = callerLists.find((each) => each === name);
    if (known !== undefined && isTextList(list)) caller = { ...caller, [known]: list };
    else if (effect === 'Allow') return undefined;
  }
  return caller;
}

function parseTarget(value: unknown, effect: Effect): TargetMatch | undefined {
  const unclear = effect === 'Allow' ? undefined : {};
  if (!isObject(value)) return unclear;
  let target: TargetMatch = {};
  for (const [name, list] of Object.entries(value)) {
    const known = requestLists.find((each) => each === name);
    if (name === 'ports' && isPortList(list)) target = { ...target, ports: list };
    else if (known !== undefined && isTextList(list)) target = { ...target, [known]: list };
    else if (effect === 'Allow') return undefined;
  }
  return target;
}

function hasOthers(value: Members, known: readonly string[]): boolean {
  return Object.keys(value).some((name) => !known.includes(name));
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function isPortList(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'number');
}

// A least-privilege policy from what its sidecars saw: an Allow rule for each caller that was let in, for the ports that it called, where requests are read
// for what it asked for, and nothing that was not seen. Identities are never generalised: no namespace, no pattern, no address range comes of one. Pure.
import type { AuthorizationRule, AuthorizationTarget } from '../lib/api/authorization.ts';
import type { ObservedCaller, ObservedRequest, TLSPolicy } from '../lib/api/tlspolicy.ts';
import { parseIdentity } from '../lib/pki/identity.ts';
import { isNameable, parts, requestTargets } from './suggestrequests.ts';
import { span } from './table.ts';
import { yamlLines } from './yaml.ts';

/** What is suggested. */
export interface Suggestion {
  /** The lines of the policy. */
  readonly policy: readonly string[];
  /** What a person must know before applying it. */
  readonly warnings: readonly string[];
}

/** From what. */
export interface Observation {
  readonly policy: TLSPolicy;
  readonly trustDomain: string;
  readonly now: Date;
  /** Whether a service has pods now. */
  readonly isThere: (namespace: string, service: string) => boolean;
  /** Whether requests to a port are read; elsewhere rules about them would allow nothing. */
  readonly isRead: (port: number) => boolean;
}

/** What happens once a week is seen in a week; with less, rules for a policy that lets everybody in are suggested in audit mode. */
const enoughMs = 7 * 86_400_000;
/** Of the schema. */
const mostRules = 100;
const mostTargets = 16;

interface Seen {
  readonly rule: AuthorizationRule;
  readonly notes: readonly string[];
}

/** The policy; undefined when nobody who proved an identity was seen. Throws nothing. */
export function suggest(observation: Observation): Suggestion | undefined {
  const { policy, now } = observation;
  const { callers = [], callersSince, requestsSince } = policy.status ?? {};
  const known = callers.filter(({ identity }) => identity !== undefined);
  const asked = (policy.status?.requests ?? []).filter(({ port }) => observation.isRead(port));
  if (known.length === 0) return undefined;
  // Requests may be read since later than callers are noted.
  const sinceMs = [callersSince, asked.length === 0 ? undefined : requestsSince].flatMap((each) =>
    each === undefined ? [] : Date.parse(each),
  );
  const watchedMs = sinceMs.length === 0 ? 0 : now.getTime() - Math.max(...sinceMs);
  const { rules = [] } = policy.spec.authorization ?? {};
  const kept = rules.filter(({ effect }) => effect === 'Deny');
  const seen = seenCallers(observation, known, asked, new Set(kept.map(({ name }) => name)));
  const isOpen =
    !rules.some((rule) => rule.effect !== 'Deny' && rule.audit !== true) || policy.spec.authorization?.audit === true;
  // A policy that lets in some alone is not opened for the sake of a trial.
  const audit = watchedMs < enoughMs && isOpen;
  const warnings = [
    ...windowWarnings(watchedMs, audit),
    ...callers.filter(({ identity }) => identity === undefined).map(namelessWarning),
    ...serviceWarnings(policy, callers),
    ...requestWarnings(asked),
    ...rules
      .filter((rule) => !kept.includes(rule))
      .map(({ name }) => `Allow rule ${name} is left out; what it let in stands in new rules, if it was seen`),
    ...(seen.length + kept.length > mostRules
      ? [`${seen.length + kept.length} rules are more than a policy may have (${mostRules})`]
      : []),
  ];
  return { policy: policyLines(policy, { audit, kept, seen, watchedMs, warnings }), warnings };
}

/** One rule for each caller, or several where one cannot hold what it asked for. */
function seenCallers(
  { policy, trustDomain, isThere }: Observation,
  known: readonly ObservedCaller[],
  asked: readonly ObservedRequest[],
  taken: Set<string>,
): readonly Seen[] {
  const own = policy.metadata.namespace ?? '';
  const byCaller = Map.groupBy(known, ({ identity = '' }) => identity);
  return [...byCaller]
    .sort(([a], [b]) => a.localeCompare(b))
    .flatMap(([identity, sights]) => {
      const member = parseIdentity(identity);
      const named = member?.trustDomain === trustDomain ? member : undefined;
      const from =
        named === undefined
          ? { identities: [identity] }
          : { services: [named.service], ...(named.namespace === own ? {} : { namespaces: [named.namespace] }) };
      const targets = targetsOf(
        sights,
        asked.filter((request) => request.identity === identity),
      );
      const hint =
        named === undefined ? 'other' : named.namespace === own ? named.service : `${named.namespace}-${named.service}`;
      const gone =
        named !== undefined && !isThere(named.namespace, named.service)
          ? ['it has no pods now: is it still needed?']
          : [];
      return parts(targets, mostTargets).map((to, index) => ({
        rule: { name: freeName(hint, taken), from: [from], to },
        notes: index === 0 ? [...sights.map(sightNote), ...gone] : [],
      }));
    });
}

/** Ports as a whole where it was not read what the caller asked for, or where that cannot be named. */
function targetsOf(
  sights: readonly ObservedCaller[],
  asked: readonly ObservedRequest[],
): readonly AuthorizationTarget[] {
  const named = new Set(asked.filter(isNameable).map(({ port }) => port));
  const ports = [...new Set(sights.map(({ port }) => port))].filter((port) => !named.has(port)).sort((a, b) => a - b);
  return [...(ports.length === 0 ? [] : [{ ports }]), ...requestTargets(asked)];
}

function sightNote({ service, port, connections, lastSeen }: ObservedCaller): string {
  return `${service} port ${port}: at least ${connections} ${connections === 1 ? 'connection' : 'connections'}, the last ${lastSeen}`;
}

/** A name that no rule has yet. */
function freeName(hint: string, taken: Set<string>): string {
  const base = hint.replaceAll('.', '-').slice(0, 58).replace(/-+$/, '');
  let name = base;
  for (let number = 2; taken.has(name); number += 1) name = `${base}-${number}`;
  taken.add(name);
  return name;
}

function windowWarnings(watchedMs: number, audit: boolean): readonly string[] {
  if (watchedMs >= enoughMs) return [];
  const then = audit
    ? 'so the rules are in audit mode: apply them, wait, look what they would refuse, then remove audit'
    : 'and the rules are enforced at once, since the policy lets in some alone already';
  const rare = 'what happens once a day, a week or a month may not have been seen';
  return [`callers were noted for ${span(watchedMs)} only; ${rare}, ${then}`];
}

function namelessWarning({ service, port, connections }: ObservedCaller): string {
  return `${service} port ${port}: at least ${connections} connections of callers that proved no identity; no rule lets them in (ipBlocks could)`;
}

function requestWarnings(asked: readonly ObservedRequest[]): readonly string[] {
  const varied = asked.filter(({ path }) => path?.endsWith('/*') === true).length;
  const nameless = asked.filter((request) => !isNameable(request));
  const what = nameless.map(({ method, path = 'a path without a canonical form' }) => `${method} ${path}`);
  return [
    ...(varied === 0
      ? []
      : ['paths that end with /* allow all that begin so: what varied there, such as numbers, was not noted']),
    ...(nameless.length === 0 ? [] : [`no rule can name ${[...new Set(what)].join(', ')}, and none allows it`]),
  ];
}

/** One policy holds for all services that it governs. */
function serviceWarnings({ metadata }: TLSPolicy, callers: readonly ObservedCaller[]): readonly string[] {
  const services = [...new Set(callers.map(({ service }) => service))].sort();
  if (services.length < 2) return [];
  return [
    `policy ${metadata.name} governs ${services.join(', ')}: each of these rules holds for all of them; a policy with a selector for each service would be narrower`,
  ];
}

function policyLines(
  { apiVersion, kind, metadata, spec }: TLSPolicy,
  of: {
    readonly audit: boolean;
    readonly kept: readonly AuthorizationRule[];
    readonly seen: readonly Seen[];
    readonly watchedMs: number;
    readonly warnings: readonly string[];
  },
): readonly string[] {
  const { authorization: _, ...rest } = spec;
  const { name, namespace } = metadata;
  return [
    `# From what the sidecars let in during ${span(of.watchedMs)}. Nothing that was not seen is allowed.`,
    ...of.warnings.map((warning) => `# ! ${warning}`),
    ...yamlLines({ apiVersion, kind, metadata: { name, namespace } }),
    'spec:',
    ...yamlLines(rest, 2),
    '  authorization:',
    '    rules:',
    ...of.kept.flatMap((rule) => yamlLines([rule], 4)),
    ...of.seen.flatMap(({ rule, notes }) => [
      ...notes.map((note) => `    # ${note}`),
      ...yamlLines([of.audit ? { ...rule, audit: true } : rule], 4),
    ]),
  ];
}

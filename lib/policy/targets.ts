// What a rule says of requests -> what a sidecar is told: patterns in the form in which requests are compared with them. What cannot be
// compared is said and made stricter, as everywhere (authorization.ts). Pure.
import type { AuthorizationTarget, RuleMatch, TargetMatch } from '../api/authorization.ts';
import { canonicalPath } from '../api/path.ts';
import { isPathPattern } from '../api/pathindex.ts';
import { hostOf } from '../api/request.ts';
import { isHostPattern } from '../api/requestindex.ts';

type SayFault = (message: string) => void;

/** What is made of a part that cannot be enforced. */
export function stricter(effect: RuleMatch['effect']): string {
  return effect === 'Allow' ? 'it allows nothing' : 'it denies without regard to that';
}

/** What is called, as a sidecar is told. Undefined = it matches nothing. */
export function compileTarget(
  { ports, methods, paths, hosts, grpcMethods }: AuthorizationTarget,
  effect: RuleMatch['effect'],
  fault: SayFault,
): TargetMatch | undefined {
  const calls = whole(grpcMethods);
  const asked = {
    methods: whole(methods) ?? (calls === undefined || effect === 'Deny' ? undefined : ['POST']),
    paths: pathsOf(whole(paths), calls, effect, fault),
    hosts: known(whole(hosts), hostPattern, effect, fault),
  };
  // Whoever ends up with no pattern allows nothing.
  if (Object.values(asked).some((list) => list?.length === 0)) return undefined;
  return {
    ...(ports === undefined ? {} : { ports }),
    ...(asked.methods === undefined ? {} : { methods: asked.methods }),
    ...(asked.paths === undefined ? {} : { paths: asked.paths }),
    ...(asked.hosts === undefined ? {} : { hosts: asked.hosts }),
  };
}

/** A gRPC method is a path. Beside other paths, which the CRD refuses, a Deny rule means both and an Allow rule none. */
function pathsOf(
  paths: readonly string[] | undefined,
  calls: readonly string[] | undefined,
  effect: RuleMatch['effect'],
  fault: SayFault,
): readonly string[] | undefined {
  if (paths !== undefined && calls !== undefined && effect === 'Allow') {
    fault(`states paths beside grpcMethods; ${stricter(effect)}`);
    return [];
  }
  const all = paths === undefined && calls === undefined ? undefined : [...(paths ?? []), ...(calls ?? []).map(asPath)];
  return known(all, pathPattern, effect, fault);
}

function asPath(call: string): string {
  return `/${call}`;
}

/**
 * Patterns in the form in which they are compared. One that no request can be compared with is said, and left out of an Allow rule; a Deny
 * rule is taken without its list.
 */
function known(
  patterns: readonly string[] | undefined,
  read: (pattern: string) => string | undefined,
  effect: RuleMatch['effect'],
  fault: SayFault,
): readonly string[] | undefined {
  const unknown = patterns?.filter((pattern) => read(pattern) === undefined) ?? [];
  for (const pattern of unknown)
    fault(`names "${pattern}", which no request can be compared with; ${stricter(effect)}`);
  if (unknown.length > 0 && effect === 'Deny') return undefined;
  return patterns?.flatMap((pattern) => read(pattern) ?? []);
}

function pathPattern(pattern: string): string | undefined {
  if (!isPathPattern(pattern) || /[?#]/.test(pattern)) return undefined;
  const isPrefix = pattern.endsWith('/*');
  const canonical = canonicalPath(isPrefix ? pattern.slice(0, -1) : pattern);
  if (!canonical.ok) return undefined;
  return isPrefix ? `${canonical.path}*` : canonical.path;
}

function hostPattern(pattern: string): string | undefined {
  const hasPort = pattern.includes(':') && !pattern.startsWith('[');
  const host = isHostPattern(pattern) && !hasPort ? hostOf(pattern) : undefined;
  return host === '*' ? undefined : host;
}

/** An empty list says no more than none: in `from`, `to` and `roles` it means anyone and anything. */
export function whole<T>(list: readonly T[] | undefined): readonly T[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}

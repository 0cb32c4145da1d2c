// Which clauses hold for a request: one look-up each for its method, host and path. There is one index for the clauses of Deny rules, which
// is stricter, and one for those of Allow rules. Pure.
import { isPathPattern, PathIndex } from './pathindex.ts';
import type { RequestFacts } from './request.ts';
import { type ClauseSet, emptySet, hasAt, mixed, put, unrestricted, ValueIndex } from './ruleindex.ts';

/** What a clause asks of requests. Undefined = it does not ask. */
export interface RequestPart {
  readonly methods?: readonly string[] | undefined;
  readonly paths?: readonly string[] | undefined;
  readonly hosts?: readonly string[] | undefined;
}

/** Clauses by what they ask of requests. */
export class RequestIndex {
  readonly #strict: boolean;
  readonly #asksMethod: boolean;
  readonly #methods: ValueIndex<string>;
  readonly #paths: PathIndex;
  readonly #hosts: HostIndex;

  /**
   * `parts`: of each clause; undefined for those that another index knows. `strict`: of Deny rules, for which a method is meant in any
   * case, and what is not known of a request is taken for what is denied.
   */
  constructor(parts: readonly (RequestPart | undefined)[], strict: boolean) {
    this.#strict = strict;
    const methods = parts.map((part) => part?.methods?.map((method) => (strict ? method.toUpperCase() : method)));
    this.#asksMethod = methods.some((list) => list !== undefined);
    this.#methods = new ValueIndex(methods);
    this.#paths = new PathIndex(
      parts.map((part) => understood(part?.paths, isPathPattern, strict)),
      strict,
    );
    this.#hosts = new HostIndex(
      parts.map((part) => understood(part?.hosts, isHostPattern, strict)),
      strict,
    );
  }

  /** Takes away from a set the clauses that do not hold for a request. */
  narrow(set: ClauseSet, { method, host, path }: RequestFacts): void {
    if (this.#asksMethod) keep(set, this.#methods.of(this.#strict ? method.toUpperCase() : method));
    if (this.#paths.asks) keep(set, this.#paths.of(path));
    if (this.#hosts.asks) keep(set, this.#hosts.of(host));
  }
}

/** Whether a pattern for hosts is one that this version knows. */
export function isHostPattern(pattern: string): boolean {
  return pattern !== '' && !(pattern.startsWith('*.') ? pattern.slice(2) : pattern).includes('*');
}

/** Patterns that a later version may know allow nothing, and of a Deny rule leave it without any. */
function understood(
  patterns: readonly string[] | undefined,
  isKnown: (pattern: string) => boolean,
  strict: boolean,
): readonly string[] | undefined {
  if (patterns === undefined || patterns.every(isKnown)) return patterns;
  return strict ? undefined : patterns.filter(isKnown);
}

function keep(set: ClauseSet, other: ClauseSet): void {
  for (let word = 0; word < set.length; word += 1) set[word] = (set[word] ?? 0) & (other[word] ?? 0);
}

/** A name, or what stands behind a star, and the clauses that ask for it. */
interface Named {
  readonly name: string;
  readonly set: ClauseSet;
}

/**
 * Clauses by host: names as they are, or `*.` and what they end with. A host is read once, from its end, and looked up by a hash of what was
 * read at each dot and at its beginning.
 */
class HostIndex {
  readonly asks: boolean;
  readonly #strict: boolean;
  readonly #any: ClauseSet;
  readonly #all: ClauseSet;
  readonly #scratch: ClauseSet;
  readonly #names = new Map<number, Named[]>();
  /** By what stands behind the star. */
  readonly #endings = new Map<number, Named[]>();

  constructor(lists: readonly (readonly string[] | undefined)[], strict: boolean) {
    this.#strict = strict;
    this.asks = lists.some((list) => list !== undefined);
    this.#any = unrestricted(lists);
    this.#all = emptySet(lists.length).fill(-1);
    this.#scratch = emptySet(lists.length);
    for (const [clause, patterns] of lists.entries()) for (const pattern of patterns ?? []) this.#add(pattern, clause);
  }

  of(host: string | undefined): ClauseSet {
    if (host === undefined) return this.#strict ? this.#all : this.#any;
    let found: ClauseSet | undefined;
    let hash = 0;
    for (let at = host.length - 1; at >= 0; at -= 1) {
      const code = host.charCodeAt(at);
      if (code === dot && this.#endings.size > 0) {
        const ending = entryOf(this.#endings, hash, host, at + 1);
        if (ending !== undefined) found = this.#with(found ?? this.#any, ending.set);
      }
      hash = mixed(hash, code);
    }
    const named = entryOf(this.#names, hash, host, 0);
    if (named === undefined) return found ?? this.#any;
    return found === undefined ? named.set : this.#with(found, named.set);
  }

  /** Both sets, in the scratch of this index: valid until the next look-up. */
  #with(a: ClauseSet, b: ClauseSet): ClauseSet {
    for (let word = 0; word < this.#scratch.length; word += 1) this.#scratch[word] = (a[word] ?? 0) | (b[word] ?? 0);
    return this.#scratch;
  }

  #add(pattern: string, clause: number): void {
    const isEnding = pattern.startsWith('*.');
    const name = (isEnding ? pattern.slice(2) : pattern).toLowerCase();
    const map = isEnding ? this.#endings : this.#names;
    let hash = 0;
    for (let at = name.length - 1; at >= 0; at -= 1) hash = mixed(hash, name.charCodeAt(at));
    let known = entryOf(map, hash, name, 0);
    if (known === undefined) map.set(hash, [...(map.get(hash) ?? []), (known = { name, set: this.#any.slice() })]);
    put(known.set, clause);
  }
}

const dot = 0x2e;

/** The entry for what stands in a host from a place to its end, of which the hash is known. */
function entryOf(
  map: ReadonlyMap<number, readonly Named[]>,
  hash: number,
  host: string,
  at: number,
): Named | undefined {
  const near = map.get(hash);
  if (near === undefined) return undefined;
  for (const entry of near) if (entry.name.length === host.length - at && hasAt(host, entry.name, at)) return entry;
  return undefined;
}

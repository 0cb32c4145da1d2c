// What was asked for, in a form that is small enough to be kept and says nothing of whom it was about: paths with what varies in them (numbers, UUIDs,
// tokens, whatever is escaped) left out from there on, since `/*` at the end is the one pattern that rules have; and books of them that never grow
// beyond a bound. Queries never get here: a canonical path has none. Pure.

/** Longest path and host that are kept as they are. */
const longest = { path: 160, host: 100, segment: 40 } as const;

const grpcPath = /^\/[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\/[A-Za-z_]\w*$/;
/** Whatever is neither a plain word nor a file name may be somebody's name, or a secret. */
const unplain = /[^A-Za-z0-9_.~-]/;
const numbers = /^[0-9]+(?:[-_.][0-9]+)*$/;
const hexadecimal = /^(?=.*[0-9])[0-9A-Fa-f-]{8,}$/;
const numbered = /[-_.][0-9]+$/;
const token = /^(?=.*[0-9])(?=.*[A-Za-z])[\w~.-]{16,}$|^(?=.*[a-z])(?=.*[A-Z])[\w~-]{24,}$/;

/** Whether a path is the path of a gRPC method. */
export function isGrpcPath(path: string): boolean {
  return path.length <= longest.path && grpcPath.test(path);
}

/** A pattern for rules that a canonical path matches. */
export function pathShape(method: string, path: string): string {
  if (method === 'POST' && isGrpcPath(path)) return path;
  for (let from = 1; from < path.length; ) {
    const slash = path.indexOf('/', from);
    const end = slash < 0 ? path.length : slash;
    const isVaried = !isWord(path, from, end) && isVariable(path.slice(from, end));
    if (isVaried || end > longest.path) return `${path.slice(0, from)}*`;
    from = end + 1;
  }
  return path;
}

/** Small letters, with hyphens at most: by far the most segments are, and need no second look. */
function isWord(path: string, from: number, end: number): boolean {
  if (end - from >= 24) return false;
  for (let at = from; at < end; at += 1) {
    const code = path.charCodeAt(at);
    if ((code < 0x61 || code > 0x7a) && code !== 0x2d && code !== 0x5f) return false;
  }
  return true;
}

function isVariable(segment: string): boolean {
  if (segment.length > longest.segment || unplain.test(segment)) return true;
  return numbers.test(segment) || hexadecimal.test(segment) || numbered.test(segment) || token.test(segment);
}

/** A host as it is kept; undefined = it cannot be named in a rule. */
export function hostShape(host: string | undefined): string | undefined {
  const isName = host !== undefined && host.length <= longest.host && hostName.test(host);
  return isName ? host : undefined;
}

const hostName = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;

/** One entry of a book. */
export interface Shape<E> {
  readonly group: string;
  /** Undefined = paths without a canonical form. */
  readonly path: string | undefined;
  readonly entry: E;
}

/**
 * Entries by group (whatever else tells them apart) and path, at most so many: beyond that, the paths below which there is most become one
 * pattern, so that what was seen stays covered. Only when nothing can be joined any more, the oldest goes.
 */
export class ShapeBook<E> {
  readonly #most: number;
  readonly #merge: (known: E, other: E) => E;
  readonly #groups = new Map<string, Map<string, E>>();
  #size = 0;

  /** `merge` makes one of two entries. */
  constructor(most: number, merge: (known: E, other: E) => E) {
    this.#most = most;
    this.#merge = merge;
  }

  get size(): number {
    return this.#size;
  }

  /** The entry that covers a path, if there is one. */
  find(group: string, path: string | undefined): E | undefined {
    const known = this.#groups.get(group);
    return known?.get(coveringKey(known, path));
  }

  /** Takes in an entry. */
  note(group: string, path: string | undefined, entry: E): void {
    this.#put(group, path, entry);
    while (this.#size > this.#most) this.#shrink();
  }

  /** Everything, in the order in which groups and paths came. */
  shapes(): readonly Shape<E>[] {
    return [...this.#groups].flatMap(([group, entries]) =>
      [...entries].map(([key, entry]) => ({ group, path: key === '' ? undefined : key, entry })),
    );
  }

  #put(group: string, path: string | undefined, entry: E): void {
    const entries = this.#groups.get(group) ?? new Map<string, E>();
    this.#groups.set(group, entries);
    const key = coveringKey(entries, path);
    const known = entries.get(key);
    if (known === undefined) this.#size += 1;
    entries.set(key, known === undefined ? entry : this.#merge(known, entry));
    if (key.endsWith('/*')) this.#absorb(entries, key);
  }

  /** What a pattern covers becomes part of it. */
  #absorb(entries: Map<string, E>, pattern: string): void {
    for (const [key, entry] of entries) {
      if (key === pattern || !key.startsWith(pattern.slice(0, -1))) continue;
      entries.delete(key);
      this.#size -= 1;
      const known = entries.get(pattern);
      if (known !== undefined) entries.set(pattern, this.#merge(known, entry));
    }
  }

  #shrink(): void {
    const fold = this.#fullest();
    if (fold !== undefined) return this.#put(fold.group, fold.pattern, fold.entry);
    const [group, entries] = [...this.#groups][0] ?? [];
    const [key] = entries?.keys() ?? [];
    if (group === undefined || entries === undefined || key === undefined) return undefined;
    entries.delete(key);
    this.#size -= 1;
    if (entries.size === 0) this.#groups.delete(group);
    return undefined;
  }

  /** The pattern under which most entries would come together; the longest of several. `entry` is one that it covers, taken out. */
  #fullest(): { readonly group: string; readonly pattern: string; readonly entry: E } | undefined {
    const counts = new Map<string, { group: string; pattern: string; key: string; count: number }>();
    for (const [group, entries] of this.#groups) {
      for (const key of entries.keys()) {
        const pattern = above(key);
        if (pattern === undefined) continue;
        const known = counts.get(`${group} ${pattern}`);
        if (known === undefined) counts.set(`${group} ${pattern}`, { group, pattern, key, count: 1 });
        else known.count += 1;
      }
    }
    const [best] = [...counts.values()].sort((a, b) => b.count - a.count || b.pattern.length - a.pattern.length);
    const entries = best === undefined ? undefined : this.#groups.get(best.group);
    const entry = best === undefined ? undefined : entries?.get(best.key);
    if (best === undefined || entry === undefined) return undefined;
    entries?.delete(best.key);
    this.#size -= 1;
    return { group: best.group, pattern: best.pattern, entry };
  }
}

/** The key under which a path is: its own, or that of a pattern that covers it. No canonical path is empty. */
function coveringKey<E>(entries: ReadonlyMap<string, E>, path: string = ''): string {
  if (entries.has(path)) return path;
  const end = path.endsWith('/*') ? path.length - 2 : path.length;
  for (
    let slash = path.lastIndexOf('/', end - 1);
    slash >= 0;
    slash = slash === 0 ? -1 : path.lastIndexOf('/', slash - 1)
  ) {
    const pattern = `${path.slice(0, slash)}/*`;
    if (entries.has(pattern)) return pattern;
  }
  return path;
}

/** The pattern one segment up; undefined = there is none above. */
function above(key: string): string | undefined {
  if (key === '' || key === '/*') return undefined;
  const path = key.endsWith('/*') ? key.slice(0, -2) : key;
  return `${path.slice(0, path.lastIndexOf('/'))}/*`;
}

// Which clauses hold for a path: a tree of path segments, walked once per request, so that it costs as much for a thousand patterns as for
// one. Patterns are a path as it is, or one with a final `/*`. Segments are found by a hash of their characters, worked out on the way, and then
// compared: to cut each of them out of the path would cost more than all the rest. Pure.
import { resolvedPath } from './path.ts';
import { type ClauseSet, emptySet, hasAt, mixed, put, unrestricted } from './ruleindex.ts';

/** One segment further, by its hash; mostly one. */
type Children = Map<number, Edge[]>;

interface Edge {
  readonly segment: string;
  readonly node: Node;
}

interface Node {
  readonly children: Children;
  /** Clauses for exactly this path, and for all below it. */
  readonly own: ClauseSet;
  readonly below: ClauseSet;
  /** What holds when a path ends here, and when it goes on where no pattern does. Filled once all patterns are in. */
  exact: ClauseSet;
  within: ClauseSet;
}

/** Whether a pattern is one of those that this version knows. */
export function isPathPattern(pattern: string): boolean {
  const path = pattern.endsWith('/*') ? pattern.slice(0, -1) : pattern;
  return path.startsWith('/') && !path.includes('*');
}

/**
 * Clauses by path. For Allow rules a path is compared as it is. For Deny rules (`strict`) back ends that care for neither case, nor a final
 * slash, nor escapes are thought of: `/admin:x` also means `/Admin:x`, `/admin:x/` and `/admin%3Ax`, and `/admin/*` also `/admin`.
 */
export class PathIndex {
  /** Whether any clause asks for a path. */
  readonly asks: boolean;
  readonly #root: Node;
  readonly #all: ClauseSet;
  readonly #strict: boolean;

  /** `lists`: the patterns of each clause, all of them known; undefined = it does not ask. */
  constructor(lists: readonly (readonly string[] | undefined)[], strict: boolean) {
    this.#strict = strict;
    this.asks = lists.some((list) => list !== undefined);
    this.#all = emptySet(lists.length).fill(-1);
    const any = unrestricted(lists);
    this.#root = this.#node(lists.length);
    for (const [clause, patterns] of lists.entries())
      for (const pattern of patterns ?? []) this.#add(pattern, clause, lists.length);
    this.#settle(this.#root, any);
  }

  /** Clauses that hold for a canonical path. Of none: those that do not ask, and, since it could be any, all of Deny rules. */
  of(path: string | undefined): ClauseSet {
    if (path === undefined) return this.#strict ? this.#all : this.#root.exact;
    const text = this.#strict ? folded(path) : path;
    let node = this.#root;
    for (let at = 1; ; ) {
      if (node.children.size === 0) return node.within;
      let hash = 0;
      let end = at;
      for (; end < text.length; end += 1) {
        const code = text.charCodeAt(end);
        if (code === slash) break;
        hash = mixed(hash, code);
      }
      const child = childOf(node.children.get(hash), text, at, end);
      if (child === undefined) return node.within;
      node = child;
      if (end === text.length) return node.exact;
      at = end + 1;
    }
  }

  #add(pattern: string, clause: number, clauses: number): void {
    const isPrefix = pattern.endsWith('/*');
    const path = isPrefix ? pattern.slice(0, -2) : pattern;
    const text = this.#strict ? folded(path) : path;
    let node = this.#root;
    // Of `/*` nothing is left; `/` has one segment, which is empty.
    for (const segment of text === '' ? [] : text.slice(1).split('/')) {
      const hash = hashOf(segment);
      const known = childOf(node.children.get(hash), segment, 0, segment.length);
      const child = known ?? this.#node(clauses);
      if (known === undefined) node.children.set(hash, [...(node.children.get(hash) ?? []), { segment, node: child }]);
      node = child;
    }
    put(isPrefix ? node.below : node.own, clause);
  }

  #node(clauses: number): Node {
    const [own, below] = [emptySet(clauses), emptySet(clauses)];
    return { children: new Map(), own, below, exact: own, within: below };
  }

  #settle(node: Node, inherited: ClauseSet): void {
    node.within = joined(inherited, node.below);
    node.exact = joined(this.#strict ? node.within : inherited, node.own);
    for (const edges of node.children.values()) for (const edge of edges) this.#settle(edge.node, node.within);
  }
}

const slash = 0x2f;

function hashOf(segment: string): number {
  let hash = 0;
  for (let at = 0; at < segment.length; at += 1) hash = mixed(hash, segment.charCodeAt(at));
  return hash;
}

/** The child for what stands in a text between two places, of those that have its hash. */
function childOf(edges: readonly Edge[] | undefined, text: string, at: number, end: number): Node | undefined {
  if (edges === undefined) return undefined;
  for (const { segment, node } of edges) if (segment.length === end - at && hasAt(text, segment, at)) return node;
  return undefined;
}

function folded(path: string): string {
  const lower = resolvedPath(path).toLowerCase();
  return lower.length > 1 && lower.endsWith('/') ? lower.slice(0, -1) : lower;
}

function joined(a: ClauseSet, b: ClauseSet): ClauseSet {
  return a.map((word, index) => word | (b[index] ?? 0));
}

// Which clauses hold for a path: a tree of path segments, walked once per request, so that it costs as much for a thousand patterns as for
// one. Patterns are a path as it is, or one with a final `/*`. Pure.
import { type ClauseSet, emptySet, put, unrestricted } from './ruleindex.ts';

interface Node {
  readonly children: Map<string, Node>;
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
 * Clauses by path. For Allow rules a path is compared as it is. For Deny rules (`strict`) back ends that care for neither case nor a final
 * slash are thought of: `/admin` also means `/Admin` and `/admin/`, and `/admin/*` also `/admin`.
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
      const slash = text.indexOf('/', at);
      const child = node.children.get(text.slice(at, slash < 0 ? text.length : slash));
      if (child === undefined) return node.within;
      node = child;
      if (slash < 0) return node.exact;
      at = slash + 1;
    }
  }

  #add(pattern: string, clause: number, clauses: number): void {
    const isPrefix = pattern.endsWith('/*');
    const path = isPrefix ? pattern.slice(0, -2) : pattern;
    const text = this.#strict ? folded(path) : path;
    let node = this.#root;
    // Of `/*` nothing is left; `/` has one segment, which is empty.
    for (const segment of text === '' ? [] : text.slice(1).split('/')) {
      const known = node.children.get(segment);
      const child = known ?? this.#node(clauses);
      if (known === undefined) node.children.set(segment, child);
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
    for (const child of node.children.values()) this.#settle(child, node.within);
  }
}

function folded(path: string): string {
  const lower = path.toLowerCase();
  return lower.length > 1 && lower.endsWith('/') ? lower.slice(0, -1) : lower;
}

function joined(a: ClauseSet, b: ClauseSet): ClauseSet {
  return a.map((word, index) => word | (b[index] ?? 0));
}

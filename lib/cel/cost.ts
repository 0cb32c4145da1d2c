// What a condition may cost one request. Its own size is bounded when it is compiled; what `all`, `exists` and `exists_one` walk over is not: a token of
// 16 KiB has room for a list of thousands. So the nodes that are worked out for each element are counted, and a condition that would work out too
// many for the claims of a request fails, as one does that asks for what is not there. Pure.
import type { ASTNode } from '@marcbachmann/cel-js';
import type { ConditionFacts } from '../api/condition.ts';
import { isNode } from './library.ts';

/** Walk over a list, or the names of a map, with an expression for each. */
export const comprehensions: readonly string[] = ['all', 'exists', 'exists_one'];

/** Nodes that one condition may work out for the elements of what it walks over: some 10 ms at the very worst. */
export const MOST_STEPS = 20_000;

/** Nodes that are worked out for each element, of all comprehensions together. None has another inside. A list may be the sum of several. */
export function nodesPerElement(node: ASTNode): number {
  if (node.op !== 'rcall' || !comprehensions.includes(node.args[0])) return sum(node.args, nodesPerElement);
  const [, list, [, ...body]] = node.args;
  return sum(body, nodes) * (1 + additions(list)) + nodesPerElement(list);
}

/** Whether a condition is too much for a request. */
export function isTooMuch(nodes: number, { request: { claims } }: ConditionFacts): boolean {
  return nodes > 0 && claims !== undefined && nodes * longestOf(claims) > MOST_STEPS;
}

function nodes(node: ASTNode): number {
  return 1 + sum(node.args, nodes);
}

function additions(node: ASTNode): number {
  return (node.op === '+' ? 1 : 0) + sum(node.args, additions);
}

/** What the nodes among some arguments come to. */
function sum(args: unknown, one: (node: ASTNode) => number): number {
  if (Array.isArray(args)) return args.reduce((total: number, each: unknown) => total + sum(each, one), 0);
  return isNode(args) ? one(args) : 0;
}

/** The same claims come with every request of a token. */
const lengths = new WeakMap<object, number>();

/** Elements of the longest list, or names of the largest map, among the claims. */
function longestOf(claims: object): number {
  const known = lengths.get(claims);
  if (known !== undefined) return known;
  let longest = 0;
  for (const rest: object[] = [claims]; rest.length > 0; ) {
    const members: readonly unknown[] = Object.values(rest.pop() ?? {});
    longest = Math.max(longest, members.length);
    for (const member of members) if (typeof member === 'object' && member !== null) rest.push(member);
  }
  lengths.set(claims, longest);
  return longest;
}

// Conditions, and parts of conditions, as the library evaluates them. Pure.
import { type ASTNode, serialize } from '@marcbachmann/cel-js';
import type { Condition, ConditionFacts } from '../api/condition.ts';
import { environment } from './environment.ts';
import { Destination, Request, Source } from './facts.ts';

/** A part of a condition as a condition of its own; equal texts mean the same. */
export interface Part {
  readonly text: string;
  readonly test: Condition;
}

/** Has the library evaluate a condition that was checked. */
export function wholeCondition(text: string): Condition {
  const evaluate = environment.parse(text);
  evaluate.check();
  return (facts) => {
    try {
      const value: unknown = evaluate(contextOf(facts));
      return typeof value === 'boolean' ? value : undefined;
    } catch {
      // A field that is not there, a type that does not fit: for the rule to say what that means.
      return undefined;
    }
  };
}

/**
 * A part of a condition. Where it stands in the text does not include the parentheses at its ends, and writing it anew may lose digits: so it is
 * looked whether a text means the very same. Undefined = none does.
 */
export function partOf(node: ASTNode): Part | undefined {
  const text = [() => node.input.slice(node.start, node.end), () => serialize(node)]
    .map((candidate) => candidate())
    .find((candidate) => isSame(parsed(candidate), node));
  return text === undefined ? undefined : { text, test: wholeCondition(text) };
}

function parsed(text: string): ASTNode | undefined {
  try {
    return environment.parse(text).ast;
  } catch {
    return undefined;
  }
}

/** Nodes by what they do and to what, whatever stands between them. */
function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((each, index) => isSame(each, b[index]));
  if (!isNode(a) || !isNode(b)) return Object.is(a, b);
  return a.op === b.op && isSame(a.args, b.args);
}

/** Whether a value is a node of an expression. */
export function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value;
}

let asked: ConditionFacts | undefined;
let made: Record<string, unknown> = {};

/** The conditions of several rules are asked of one request after the other. */
function contextOf(facts: ConditionFacts): Record<string, unknown> {
  if (asked !== facts) {
    asked = facts;
    made = {
      source: new Source(facts),
      destination: new Destination(facts),
      request: new Request(facts),
      now: facts.now,
    };
  }
  return made;
}

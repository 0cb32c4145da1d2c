// Conditions of rules (`when`) in CEL. What can be said is closed: the variables of environment.ts, operators, and a list of functions without regular
// expressions; one comprehension deep, over no more than cost.ts says. So the cost of a condition is bounded, and nothing of a request becomes a
// program. Loaded only where rules have conditions. Pure.
import type { ASTNode } from '@marcbachmann/cel-js';
import type { Condition, ConditionLanguage } from '../api/condition.ts';
import { messageOf } from '../errors.ts';
import { comprehensions, isTooMuch, nodesPerElement } from './cost.ts';
import { environment } from './environment.ts';
import { isNode, wholeCondition } from './library.ts';
import { compileTest } from './program.ts';
import { Sheet } from './sheet.ts';

const functions = new Set([
  ...comprehensions,
  'has',
  'size',
  'startsWith',
  'endsWith',
  'contains',
  'lowerAscii',
  'upperAscii',
  'int',
  'uint',
  'double',
  'string',
  'bool',
  'dyn',
  'type',
  'duration',
  'timestamp',
  'getFullYear',
  'getMonth',
  'getDate',
  'getDayOfMonth',
  'getDayOfWeek',
  'getDayOfYear',
  'getHours',
  'getMinutes',
  'getSeconds',
  'getMilliseconds',
]);

/** What is wrong with a condition, and where; undefined = it can be used. */
export function conditionFault(text: string): string | undefined {
  try {
    const parsed = environment.parse(text);
    const misused = misuse(parsed.ast, 0);
    if (misused !== undefined) return said(text, misused.at, misused.message);
    const { valid, type, error } = parsed.check();
    if (!valid) return said(text, positionOf(error), summaryOf(error));
    return type === 'bool' || type === 'dyn' ? undefined : `it comes to ${type}, not to true or false`;
  } catch (error) {
    return said(text, positionOf(error), summaryOf(error));
  }
}

/** CEL. */
export const conditionLanguage: ConditionLanguage = { compiler, compile: (text) => compiler()(text) };

function compiler(): (text: string) => Condition | undefined {
  const sheet = new Sheet();
  return (text) => (conditionFault(text) === undefined ? conditionOf(text, sheet) : undefined);
}

function conditionOf(text: string, sheet: Sheet): Condition {
  const { ast } = environment.parse(text);
  const test = compileTest(ast, sheet) ?? wholeCondition(text);
  const nodes = nodesPerElement(ast);
  return (facts) => {
    if (isTooMuch(nodes, facts)) return undefined;
    sheet.turnTo(facts);
    return test(facts);
  };
}

interface Misuse {
  readonly at: number;
  readonly message: string;
}

/** What the language has and conditions may not use. */
function misuse(node: ASTNode, depth: number): Misuse | undefined {
  let inner = depth;
  if (node.op === 'call' || node.op === 'rcall') {
    const [name] = node.args;
    if (!functions.has(name)) return { at: node.start, message: `${name}() cannot be used here` };
    if (node.op === 'rcall' && comprehensions.includes(name)) inner += 1;
    if (inner > 1) return { at: node.start, message: `${name}() cannot be used inside of another` };
  }
  for (const child of childrenOf(node.args)) {
    const found = misuse(child, inner);
    if (found !== undefined) return found;
  }
  return undefined;
}

function childrenOf(args: unknown): readonly ASTNode[] {
  if (Array.isArray(args)) return (args as readonly unknown[]).flatMap(childrenOf);
  return isNode(args) ? [args] : [];
}

function positionOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('range' in error)) return undefined;
  const { range } = error as { readonly range?: { readonly start: number } };
  return range?.start;
}

function summaryOf(error: unknown): string {
  const summary = typeof error === 'object' && error !== null && 'summary' in error ? error.summary : undefined;
  return typeof summary === 'string' ? summary : messageOf(error);
}

/** Lines and columns are counted from 1, as editors do. */
function said(text: string, at: number | undefined, message: string): string {
  if (at === undefined) return message;
  const before = text.slice(0, at).split('\n');
  return `line ${before.length}, column ${(before.at(-1) ?? '').length + 1}: ${message}`;
}

// What conditions mostly ask of claims: whether one is a text, and whether a list holds one. Pure.
import type { ASTNode } from '@marcbachmann/cel-js';
import { textOf } from './attributes.ts';

/** What is asked of a claim. */
export interface ClaimQuestion {
  readonly claim: ASTNode;
  readonly text: string;
  /** Whether it is asked if the claim holds the text, and not if it is the text. */
  readonly isList: boolean;
}

/** Undefined = the node asks nothing of that kind. */
export function claimQuestion(node: ASTNode): ClaimQuestion | undefined {
  if (node.op === 'rcall') return walkQuestion(node.args);
  if (node.op !== '==' && node.op !== 'in') return undefined;
  const [left, right] = node.args;
  const isList = node.op === 'in';
  const [claim, text] = isList || textOf(left) !== undefined ? [right, textOf(left)] : [left, textOf(right)];
  return text === undefined ? undefined : { claim, text, isList };
}

function walkQuestion([name, claim, [each, body]]: readonly [string, ASTNode, readonly ASTNode[]]):
  | ClaimQuestion
  | undefined {
  if (name !== 'exists' || each?.op !== 'id' || body?.op !== '==') return undefined;
  const [left, right] = body.args;
  const text = textOf(right);
  const isAsked = left.op === 'id' && left.args === each.args && text !== undefined;
  return isAsked ? { claim, text, isList: true } : undefined;
}

/** Whether a claim is a list of texts. Of others it is for the library to say how they compare. */
export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string');
}

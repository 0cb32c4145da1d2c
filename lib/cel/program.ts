// A condition as a program: `&&`, `||`, `!` and `?:` are closures here, and so are the usual questions, such as whether a header has a value or a
// list of claims holds one. What else there is, the library evaluates. Equal questions are asked once for all conditions of a sheet,
// and cheap ones first: in CEL, `&&` and `||` come to the same in whichever order their sides are asked. Pure.
import type { ASTNode } from '@marcbachmann/cel-js';
import { claimAttribute, claimsOf, isNamed, missing, textAttribute, textOf } from './attributes.ts';
import { claimQuestion, isTexts } from './claims.ts';
import { partOf } from './library.ts';
import type { Question, Sheet } from './sheet.ts';

/** True, false, or undefined where it fails or comes to something else. */
export type Test = Question<boolean | undefined>;

interface Priced {
  readonly test: Test;
  /** Compared alone. */
  readonly cost: number;
}

const costOfLibrary = 20;

/** Where a condition is compiled. */
interface Workshop {
  readonly sheet: Sheet;
  /** Has the library evaluate a part. */
  readonly whole: (node: ASTNode) => Test;
}

/** Compiles a condition that was checked; undefined = it cannot be taken apart. */
export function compileTest(node: ASTNode, sheet: Sheet): Test | undefined {
  let isApart = true;
  const whole = (of: ASTNode): Test => {
    const found = partOf(of);
    if (found === undefined) isApart = false;
    return found === undefined ? () => undefined : sheet.once(found.text, found.test);
  };
  const { test } = part(node, { sheet, whole });
  return isApart ? test : undefined;
}

function part(node: ASTNode, workshop: Workshop): Priced {
  switch (node.op) {
    case '&&':
    case '||': {
      const parts = sidesOf(node, node.op).map((side) => part(side, workshop));
      const cheapFirst = parts.sort((a, b) => a.cost - b.cost).map(({ test }) => test);
      const cost = parts.reduce((sum, each) => sum + each.cost, 0);
      return { test: joined(cheapFirst, node.op === '||'), cost };
    }
    case '!_': {
      const { test, cost } = part(node.args, workshop);
      return { test: (facts) => negated(test(facts)), cost };
    }
    case '?:': {
      const [asked, then, otherwise] = [
        part(node.args[0], workshop),
        part(node.args[1], workshop),
        part(node.args[2], workshop),
      ];
      const test: Test = (facts) => {
        const answer = asked.test(facts);
        return answer === undefined ? undefined : (answer ? then : otherwise).test(facts);
      };
      return { test, cost: asked.cost + then.cost + otherwise.cost };
    }
    default:
      return leaf(node, workshop);
  }
}

function negated(answer: boolean | undefined): boolean | undefined {
  return answer === undefined ? undefined : !answer;
}

/** `a && (b && c)` is one question of three sides. */
function sidesOf(node: ASTNode, op: '&&' | '||'): readonly ASTNode[] {
  return node.op === op ? node.args.flatMap((side) => sidesOf(side, op)) : [node];
}

/** `decisive` of any side decides, whatever fails beside it. */
function joined(tests: readonly Test[], decisive: boolean): Test {
  const [first, second] = tests;
  // By far the most have two sides.
  if (tests.length === 2 && first !== undefined && second !== undefined) {
    return (facts) => {
      const left = first(facts);
      if (left === decisive) return decisive;
      const right = second(facts);
      return right === decisive || left !== undefined ? right : undefined;
    };
  }
  return (facts) => {
    let sum: boolean | undefined = !decisive;
    for (const test of tests) {
      const answer = test(facts);
      if (answer === decisive) return decisive;
      if (answer === undefined) sum = undefined;
    }
    return sum;
  };
}

function leaf(node: ASTNode, workshop: Workshop): Priced {
  const { sheet } = workshop;
  if (node.op === 'value' && typeof node.args === 'boolean') {
    const answer = node.args;
    return { test: () => answer, cost: 0 };
  }
  const known = presence(node) ?? ofText(node, sheet) ?? ofPort(node) ?? ofClaim(node, workshop);
  if (known !== undefined) return known;
  return { test: workshop.whole(node), cost: costOfLibrary };
}

function presence(node: ASTNode): Priced | undefined {
  if (isNamed(node, 'request.auth.present')) return { test: ({ request }) => request.claims !== undefined, cost: 1 };
  if (node.op !== 'in') return undefined;
  const [name, map] = node.args;
  const text = textOf(name);
  if (text === undefined) return undefined;
  if (isNamed(map, 'request.headers'))
    return { test: ({ request }) => request.headers !== undefined && Object.hasOwn(request.headers, text), cost: 1 };
  if (isNamed(map, 'request.auth.claims')) return { test: (facts) => Object.hasOwn(claimsOf(facts), text), cost: 1 };
  return undefined;
}

/** Comparisons of text attributes with texts, or with each other. */
function ofText(node: ASTNode, sheet: Sheet): Priced | undefined {
  const comparison = textComparison(node);
  if (comparison === undefined) return undefined;
  const [asked, holds] = comparison;
  const attribute = textAttribute(asked);
  if (attribute === undefined) return undefined;
  const read = sheet.once(attribute.key, attribute.read);
  const test: Test = (facts) => {
    const value = read(facts);
    return value === undefined ? undefined : holds(value);
  };
  return { test, cost: 2 };
}

/** The side that is asked about, and what is asked. */
function textComparison(node: ASTNode): readonly [ASTNode, (value: string) => boolean] | undefined {
  if (node.op === 'rcall') return textMethod(node.args);
  if (node.op === 'in') {
    const [asked, list] = node.args;
    const choices = list.op === 'list' ? list.args.map(textOf) : [];
    const known = new Set(choices);
    return choices.length === 0 || known.has(undefined) ? undefined : [asked, (value) => known.has(value)];
  }
  if (node.op !== '==' && node.op !== '!=') return undefined;
  const wanted = node.op === '==';
  const [left, right] = node.args;
  const [asked, text] = textOf(left) === undefined ? [left, textOf(right)] : [right, textOf(left)];
  return text === undefined ? undefined : [asked, (value) => (value === text) === wanted];
}

function textMethod([name, asked, args]: readonly [string, ASTNode, readonly ASTNode[]]) {
  const [first] = args;
  const text = args.length === 1 && first !== undefined ? textOf(first) : undefined;
  if (text === undefined) return undefined;
  if (name === 'startsWith') return [asked, (value: string) => value.startsWith(text)] as const;
  if (name === 'endsWith') return [asked, (value: string) => value.endsWith(text)] as const;
  return name === 'contains' ? ([asked, (value: string) => value.includes(text)] as const) : undefined;
}

function ofPort(node: ASTNode): Priced | undefined {
  if (node.op !== '==' && node.op !== '!=') return undefined;
  const [left, right] = node.args;
  if (!isNamed(left, 'destination.port') || right.op !== 'value' || typeof right.args !== 'bigint') return undefined;
  const [wanted, port] = [node.op === '==', Number(right.args)];
  return { test: ({ call }) => (call.port === port) === wanted, cost: 1 };
}

/** `claim == "text"`, `"text" in claim` and `claim.exists(each, each == "text")`, where the claim is a text or a list of texts; else the library is asked. */
function ofClaim(node: ASTNode, { sheet, whole }: Workshop): Priced | undefined {
  const asked = claimQuestion(node);
  const attribute = asked === undefined ? undefined : claimAttribute(asked.claim);
  if (asked === undefined || attribute === undefined) return undefined;
  const { text, isList } = asked;
  const read = sheet.once(attribute.key, attribute.read);
  const other = whole(node);
  const test: Test = (facts) => {
    const value = read(facts);
    if (value === missing) return undefined;
    if (!isList && typeof value === 'string') return value === text;
    if (isList && isTexts(value)) return value.includes(text);
    return other(facts);
  };
  return { test, cost: 3 };
}

// Attributes of a request that conditions name, read straight off what is known of it instead of by walking objects of CEL. Only what means exactly
// the same in CEL is here; everything else is left to the library. Pure.
import type { ASTNode } from '@marcbachmann/cel-js';
import type { ConditionFacts } from '../api/condition.ts';
import type { Question } from './sheet.ts';

/** An attribute. `key` is the same for each way of writing it. */
export interface Attribute<T> {
  readonly key: string;
  readonly read: Question<T>;
}

/** A claim that is not there: whoever asks for it fails. */
export const missing: unique symbol = Symbol('missing');
/** A claim behind something that is no plain object: what that means is for the library to say. */
export const odd: unique symbol = Symbol('odd');

const texts: Readonly<Record<string, Question<string | undefined>>> = {
  'source.identity': ({ call }) => call.identity ?? '',
  'source.namespace': ({ namespace = '' }) => namespace,
  'source.service': ({ service = '' }) => service,
  'source.address': ({ call }) => call.address,
  'request.method': ({ request }) => request.method,
  'request.path': ({ request }) => request.path,
  'request.host': ({ request }) => request.host,
};

/** An attribute that is text; its value is undefined where the request has none, and asking for it fails. */
export function textAttribute(node: ASTNode): Attribute<string | undefined> | undefined {
  const name = nameOf(node);
  if (name !== undefined && Object.hasOwn(texts, name)) {
    const read = texts[name];
    return read === undefined ? undefined : { key: name, read };
  }
  const [of, field] = memberOf(node);
  if (field === undefined || nameOf(of) !== 'request.headers') return undefined;
  return {
    key: `header ${field}`,
    read: ({ request: { headers } }) =>
      headers !== undefined && Object.hasOwn(headers, field) ? headers[field] : undefined,
  };
}

/** A claim, however deep in others. */
export function claimAttribute(node: ASTNode): Attribute<unknown> | undefined {
  const fields: string[] = [];
  for (let at: ASTNode = node; nameOf(at) !== 'request.auth.claims'; ) {
    const [of, field] = memberOf(at);
    if (of === undefined || field === undefined) return undefined;
    fields.unshift(field);
    at = of;
  }
  if (fields.length === 0) return undefined;
  return { key: `claim ${JSON.stringify(fields)}`, read: ({ request }) => claimAt(request.claims ?? {}, fields) };
}

function claimAt(claims: unknown, fields: readonly string[]): unknown {
  let value = claims;
  for (const field of fields) {
    if (typeof value !== 'object' || value === null) return odd;
    // An object may have a member of that name, which the library takes for what made it.
    const { constructor } = value;
    if (constructor !== Object && constructor !== undefined) return odd;
    if (!Object.hasOwn(value, field)) return missing;
    value = (value as Readonly<Record<string, unknown>>)[field];
    if (value === undefined) return missing;
  }
  return value;
}

/** Whether a node is one of the variables' maps or members by its plain name, such as `destination.port`. */
export function isNamed(node: ASTNode, name: string): boolean {
  return nameOf(node) === name;
}

/** `a.b.c` of names joined by dots alone. */
function nameOf(node: ASTNode | undefined): string | undefined {
  if (node?.op === 'id') return node.args;
  if (node?.op !== '.') return undefined;
  const of = nameOf(node.args[0]);
  return of === undefined ? undefined : `${of}.${node.args[1]}`;
}

/** `x.field`, or `x["field"]`. */
function memberOf(node: ASTNode | undefined): readonly [ASTNode?, (string | undefined)?] {
  if (node?.op === '.') return node.args;
  if (node?.op !== '[]') return [];
  const [of, field] = node.args;
  return [of, textOf(field)];
}

/** The facts' claims, for `in`. */
export function claimsOf({ request }: ConditionFacts): Readonly<Record<string, unknown>> {
  return request.claims ?? {};
}

/** The text that is written there; undefined for everything else. */
export function textOf(node: ASTNode): string | undefined {
  return node.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
}

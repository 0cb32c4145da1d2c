// From the review of a TLSPolicy, TLSBaseline or TLSRole to its answer: refused is what nobody could enforce as it is written, with the field and
// what to do; warned of is what is hardly meant so. Pure.
import { type Applied, type Beside, findings } from '../lib/policy/admission.ts';
import type { Fault } from '../lib/policy/effective.ts';
import { isObject, type JsonObject } from './json.ts';
import type { Answer, Review } from './review.ts';

/** How a review ended. Metric label and log field. */
export type PolicyOutcome = 'accepted' | 'warned' | 'refused';

/** An answer with what is told of it. */
export interface PolicyAdmission {
  readonly answer: Answer;
  readonly outcome: PolicyOutcome;
  /** Fields that were refused or warned of. */
  readonly fields: readonly string[];
}

/** The API server passes on some 4 KiB of warnings. */
const mostWarnings = 10;
const invalid = { code: 422, reason: 'Invalid' } as const;

/** Answers a review. */
export function admitPolicy(review: Review, beside: Beside): PolicyAdmission {
  const object = appliedIn(review.object, review);
  if (object === undefined) return { answer: allowed([]), outcome: 'accepted', fields: [] };
  const { refusals, warnings } = findings(object, beside);
  // What was stored before anybody looked must not keep the rest of the object from being changed.
  const stored = review.before === undefined ? undefined : appliedIn(review.before, review);
  const known = stored === undefined ? [] : findings(stored, beside).refusals;
  const fresh = refusals.filter(({ message }) => !known.some((each) => each.message === message));
  if (fresh.length > 0) return refused(object, fresh);
  const said = [...refusals, ...warnings];
  return {
    answer: allowed(shown(said)),
    outcome: said.length === 0 ? 'accepted' : 'warned',
    fields: said.map(({ field }) => field),
  };
}

/** The API server has seen to it that the object is what its schema says. */
function appliedIn(object: JsonObject, { namespace, kind }: Review): Applied | undefined {
  if (!['TLSPolicy', 'TLSBaseline', 'TLSRole'].includes(kind) || !isObject(object['spec'])) return undefined;
  const metadata = { ...(isObject(object['metadata']) ? object['metadata'] : {}) };
  const placed = namespace === '' ? metadata : { ...metadata, namespace };
  return { ...object, kind, metadata: placed } as unknown as Applied;
}

function refused({ kind, metadata }: Applied, faults: readonly Fault[]): PolicyAdmission {
  const place = metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
  const lines = faults.map(({ field, message }) => `\n- ${field}: ${message}.${adviceOn(field)}`);
  const message = `${kind} ${place} cannot be enforced as it is written, and nothing was changed:${lines.join('')}`;
  return {
    answer: { allowed: false, message, status: invalid, operations: [], warnings: [], audit: { outcome: 'refused' } },
    outcome: 'refused',
    fields: faults.map(({ field }) => field),
  };
}

const advice: readonly (readonly [RegExp, string])[] = [
  [/\.when$/, 'Conditions are CEL over source, destination, request and now (docs/authorization.md)'],
  [/\.from$/, 'Write a range as address/length, such as 10.0.0.0/8 or fd00::/8'],
  [
    /\.(?:to|roles|permissions)$/,
    'A path is exact or ends in /*, a host is exact or begins with *. (docs/authorization.md)',
  ],
  [/\.jwks$/, 'Give {"keys": [...]} with the public keys of the issuer (RFC 7517), or jwksUri'],
];

/** What to do about it. */
function adviceOn(field: string): string {
  const found = advice.find(([fields]) => fields.test(field));
  return found === undefined ? '' : ` ${found[1]}.`;
}

function shown(faults: readonly Fault[]): readonly string[] {
  const texts = faults.map(({ field, message }) => `${field}: ${message}`);
  if (texts.length <= mostWarnings) return texts;
  const rest = texts.length - mostWarnings;
  return [...texts.slice(0, mostWarnings), `and ${rest} more`];
}

function allowed(warnings: readonly string[]): Answer {
  return { allowed: true, operations: [], warnings, audit: {} };
}

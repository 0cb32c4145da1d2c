// AdmissionReview (admission.k8s.io/v1) in and out. The object stays the raw JSON that the API server sent. Pure.
import { GROUP } from '../lib/api/contract.ts';
import { AppError } from '../lib/errors.ts';
import { isObject, isTrueAt, type JsonObject, objectAt, stringAt } from './json.ts';
import type { PatchOperation } from './patch.ts';

/** One request for admission. */
export interface Review {
  readonly uid: string;
  readonly operation: 'CREATE' | 'UPDATE';
  /** Nothing may be written anywhere on behalf of this request. */
  readonly dryRun: boolean;
  /** Empty for what is of no namespace. */
  readonly namespace: string;
  /** Empty while the API server has not made up a name from generateName. */
  readonly name: string;
  readonly kind: string;
  readonly object: JsonObject;
  /** The object before an UPDATE. */
  readonly before: JsonObject | undefined;
}

/** The answer to one. */
export interface Answer {
  readonly allowed: boolean;
  /** Why not, for the user. */
  readonly message?: string;
  /** HTTP status of a refusal and the word for it; 403 Forbidden unless it says otherwise. */
  readonly status?: { readonly code: number; readonly reason: string };
  readonly operations: readonly PatchOperation[];
  /** Shown by kubectl, each on a line of its own. */
  readonly warnings: readonly string[];
  /** Written to the API server's audit log, prefixed with the webhook's name. */
  readonly audit: Readonly<Record<string, string>>;
}

const forbidden = { code: 403, reason: 'Forbidden' } as const;

/** Longest warning that the API server passes on whole. */
const maximumWarning = 256;

/** Reads a request body. Throws AppError `input_invalid` for anything but a review that Tabard's rules can send. */
export function parseReview(body: string): Review {
  const review = parse(body);
  if (stringAt(review, 'apiVersion') !== 'admission.k8s.io/v1' || stringAt(review, 'kind') !== 'AdmissionReview') {
    throw new AppError('input_invalid', 'the body is no AdmissionReview of admission.k8s.io/v1');
  }
  const request = objectAt(review, 'request');
  const uid = stringAt(request, 'uid');
  const object = objectAt(request, 'object');
  const operation = stringAt(request, 'operation');
  // Of the kinds that Tabard is asked about, its own alone may be of no namespace.
  const isOurs = stringAt(request, 'kind', 'group') === GROUP;
  const namespace = stringAt(request, 'namespace') ?? (isOurs ? '' : undefined);
  if (uid === undefined || uid === '' || namespace === undefined) {
    throw new AppError('input_invalid', 'the AdmissionReview has no request.uid or no request.namespace');
  }
  if (operation !== 'CREATE' && operation !== 'UPDATE') {
    throw new AppError(
      'input_invalid',
      `operation ${operation ?? '(none)'} is not one that this webhook is called for`,
    );
  }
  if (object === undefined) throw new AppError('input_invalid', 'the AdmissionReview has no request.object');
  return {
    uid,
    operation,
    dryRun: isTrueAt(request, 'dryRun'),
    namespace,
    name: stringAt(request, 'name') ?? '',
    kind: stringAt(request, 'kind', 'kind') ?? '',
    object,
    before: operation === 'UPDATE' ? objectAt(request, 'oldObject') : undefined,
  };
}

/** The response body. */
export function formatReview(uid: string, answer: Answer): JsonObject {
  const { allowed, message, operations, warnings, audit } = answer;
  const { code, reason } = answer.status ?? forbidden;
  const patch = Buffer.from(JSON.stringify(operations)).toString('base64');
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed,
      ...(allowed && operations.length > 0 ? { patchType: 'JSONPatch', patch } : {}),
      ...(allowed ? {} : { status: { code, reason, message: message ?? 'refused' } }),
      ...(warnings.length > 0 ? { warnings: warnings.map(shortened) } : {}),
      auditAnnotations: audit,
    },
  };
}

function parse(body: string): JsonObject {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch (cause) {
    throw new AppError('input_invalid', 'the body is not JSON', { cause });
  }
  if (!isObject(parsed)) throw new AppError('input_invalid', 'the body is no JSON object');
  return parsed;
}

function shortened(warning: string): string {
  const whole = `tabard: ${warning}`;
  return whole.length > maximumWarning ? `${whole.slice(0, maximumWarning - 1)}…` : whole;
}

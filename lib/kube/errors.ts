// HTTP status and Status object of the Kubernetes API -> one error class with a closed set of kinds.
// Callers switch on `kind`; nobody reads the text.
import { AppError } from '../errors.ts';

/** What a failed request means for the caller. */
export type KubeErrorKind =
  | 'NotFound' // 404
  | 'AlreadyExists' // 409 on create
  | 'Conflict' // 409: somebody else changed the object or owns the field
  | 'Gone' // 410: the resourceVersion or continue token is too old; list again
  | 'Throttled' // 429, or a server that names a time to come back
  | 'Unauthorized' // 401: no or bad credentials
  | 'Forbidden' // 403: RBAC or admission says no
  | 'Invalid' // 400, 405, 406, 413, 415, 422: the request itself is wrong
  | 'Unavailable'; // 5xx, no connection, timeout, a broken or silent stream

/** What the server said. */
export interface KubeErrorDetails {
  readonly status?: number;
  /** `reason` of the Status object, for logs. */
  readonly reason?: string;
  /** From Retry-After or `details.retryAfterSeconds`. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** A request that the Kubernetes API refused or could not carry out. */
export class KubeError extends AppError {
  readonly kind: KubeErrorKind;
  /** HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(kind: KubeErrorKind, message: string, details: KubeErrorDetails = {}) {
    super('kube_request', message, { cause: details.cause, retryable: retryableKinds.has(kind) });
    this.name = 'KubeError';
    this.kind = kind;
    this.status = details.status;
    this.reason = details.reason;
    this.retryAfterMs = details.retryAfterMs;
  }
}

const retryableKinds: ReadonlySet<KubeErrorKind> = new Set(['Conflict', 'Gone', 'Throttled', 'Unavailable']);

/** True when `thrown` is a KubeError of one of the kinds. */
export function isKube(thrown: unknown, ...kinds: readonly KubeErrorKind[]): thrown is KubeError {
  return thrown instanceof KubeError && kinds.includes(thrown.kind);
}

/** The kind for an HTTP status and the `reason` of a Status object (apimachinery meta/v1 StatusReason). */
export function kindOf(status: number, reason?: string): KubeErrorKind {
  if (status === 409) return reason === 'AlreadyExists' ? 'AlreadyExists' : 'Conflict';
  const kind = kindByStatus[status];
  if (kind !== undefined) return kind;
  return status >= 500 ? 'Unavailable' : 'Invalid';
}

const kindByStatus: Readonly<Record<number, KubeErrorKind>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  408: 'Unavailable',
  410: 'Gone',
  429: 'Throttled',
};

/** Milliseconds of a Retry-After header: seconds or an HTTP date (RFC 9110 section 10.2.3). Undefined when unusable. */
export function retryAfterMs(header: string | undefined, now: Date): number | undefined {
  if (header === undefined || header.trim() === '') return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now.getTime());
}

/** The error for an answer of the API: `body` is its text, a Status object unless something else answered. */
export function errorOf(
  what: string,
  answer: { readonly status: number; readonly body: string; readonly retryAfter?: string },
  now: Date,
): KubeError {
  return statusError(what, parseStatus(answer.body, answer.status), retryAfterMs(answer.retryAfter, now));
}

/** The error for a Status object, as an answer or as the object of a watch's ERROR line. */
export function statusError(what: string, object: StatusObject, headerRetryAfterMs?: number): KubeError {
  const status = object.code ?? 500;
  const seconds = object.details?.retryAfterSeconds;
  const retryAfter = headerRetryAfterMs ?? (seconds === undefined || seconds === 0 ? undefined : seconds * 1000);
  const kind = kindOf(status, object.reason);
  return new KubeError(kind, `${what}: ${object.message ?? `HTTP ${status}`}`, {
    status,
    ...(object.reason === undefined ? {} : { reason: object.reason }),
    ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
  });
}

/** The members of meta/v1 Status that matter here. */
export interface StatusObject {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly retryAfterSeconds?: number };
}

function parseStatus(body: string, status: number): StatusObject {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null && 'kind' in parsed && parsed.kind === 'Status') {
      return { ...(parsed as StatusObject), code: status };
    }
  } catch {
    // Not JSON: a proxy or a load balancer answered, or the body was cut off.
  }
  return { code: status, message: `HTTP ${status}${body === '' ? '' : ` (${body.slice(0, 200).trim()})`}` };
}

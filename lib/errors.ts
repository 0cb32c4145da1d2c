// The one error class of Tabard. Callers switch on `code`, never on message text.
// Expected outcomes are unions with a reason; errors are for the unexpected and cross only at edges.

/** Every code an AppError may carry. Stable: logs, metrics and tests rely on them. */
export type ErrorCode =
  | 'config_invalid' // the process was started with settings it cannot use
  | 'input_invalid' // a value from outside (annotation, file, message) does not parse
  | 'pki_invalid' // a key, certificate, CSR or bundle is unusable
  | 'issuer_failed' // an issuer outside of this process refused, failed or could not be reached
  | 'delivery_failed' // a store outside of the cluster did not take a certificate, or did not give one
  | 'kube_request' // the Kubernetes API refused or failed a request (see KubeError)
  | 'control_protocol' // the control API peer broke the protocol
  | 'lease_lost' // leadership was lost; the process must stop
  | 'redirect_failed' // the redirect rules could not be written or proved
  | 'timeout' // a bounded wait ran out
  | 'unsupported'; // the platform or the cluster lacks something needed

/** Settings of an AppError. `retryable` says whether the same call may succeed later without a change. */
export interface AppErrorOptions {
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

/** An error with a stable code. The message says what, where and what to do. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** The text of anything thrown, for a message that wraps it. */
export function messageOf(thrown: unknown): string {
  return isErrorLike(thrown) ? thrown.message : String(thrown);
}

/** The `code` of a Node system error (`ECONNRESET`, …), else undefined. */
export function systemCode(thrown: unknown): string | undefined {
  if (!isErrorLike(thrown) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

// By shape, not by instanceof: errors of Node's own modules come from another realm inside Jest and vm contexts.
function isErrorLike(thrown: unknown): thrown is { readonly message: string } {
  return typeof thrown === 'object' && thrown !== null && 'message' in thrown && typeof thrown.message === 'string';
}

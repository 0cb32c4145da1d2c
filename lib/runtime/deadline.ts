// A time limit as a signal: aborted by an outer signal or when the time is up, and put away when the work is done.
import type { Clock } from '../clock.ts';
import { AppError } from '../errors.ts';

/** A running time limit. Call `end` when the work is done, or its timer lives on. */
export interface Deadline {
  /** Aborted with the outer signal's reason, or with AppError `timeout` when the time is up. */
  readonly signal: AbortSignal;
  /** True when the time was up first. */
  readonly expired: boolean;
  end(): void;
}

/** Starts a time limit. `what` names the work in the error's message. */
export function deadline(clock: Clock, ms: number, what: string, outer?: AbortSignal): Deadline {
  const limit = new AbortController();
  const stop = () => limit.abort(outer?.reason);
  outer?.addEventListener('abort', stop, { once: true });
  if (outer?.aborted === true) stop();
  let expired = false;
  const callOff = clock.after(ms, () => {
    expired = !limit.signal.aborted;
    limit.abort(new AppError('timeout', `${what} took longer than ${ms} ms`, { retryable: true }));
  });
  return {
    signal: limit.signal,
    get expired() {
      return expired;
    },
    end: () => {
      callOff();
      outer?.removeEventListener('abort', stop);
    },
  };
}

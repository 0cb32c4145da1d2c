// What the cluster driver throws when it knows what went wrong: the fact, the log that proves it, and what to do.

/** Details that help the reader of a ClusterError. */
export interface FailureDetails {
  /** A log file whose last lines belong to the failure. */
  readonly log?: string | undefined;
  /** One sentence: what to do now. */
  readonly advice?: string | undefined;
  readonly cause?: unknown;
}

/** A failure that a person can act on. Anything else that escapes the driver is a defect of the driver. */
export class ClusterError extends Error {
  readonly log: string | undefined;
  readonly advice: string | undefined;

  constructor(message: string, details: FailureDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = 'ClusterError';
    this.log = details.log;
    this.advice = details.advice;
  }
}

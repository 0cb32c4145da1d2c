// What a probe's action came to.

/** `status` is what the kubelet is to see: the application's own answer, or 503 with a sentence when there was none. */
export interface ProbeOutcome {
  readonly success: boolean;
  /** Whether the application gave an answer at all, good or bad. */
  readonly answered: boolean;
  readonly status: number;
  /** The application's answer (its beginning), or why there was none. Ends up in the kubelet's events. */
  readonly message: string;
}

/** How an action is carried out. */
export interface ProbeContext {
  /** The address that the kubelet would have asked: the pod's own. */
  readonly address: string;
  /** Name of the asking client, passed on: applications tell probes by it. */
  readonly userAgent: string;
  /** Aborted when the probe's time is up. */
  readonly signal: AbortSignal;
}

/** The outcome of an action that got no answer. */
export function failed(message: string): ProbeOutcome {
  return { success: false, answered: false, status: 503, message };
}

// When the kubelet hears that a pod is ready. Until it is so for the first time, "not yet" is held back for a moment: the kubelet asks once a
// second, and what came to pass right after its question would wait for the next one.
import type { Clock } from '../lib/clock.ts';

/** Shorter than the kubelet waits for an answer (webhook/container.ts). */
const HOLD_MS = 700;
const LOOK_MS = 20;

/** What readiness is made of. */
export interface ReadinessParts {
  /** What is missing at this moment, one word each; empty = ready. */
  readonly missing: () => readonly string[];
  readonly clock: Clock;
  /** Aborted: nothing is waited for any more. */
  readonly stopping: AbortSignal;
}

/** What is missing, asked by a probe. */
export function heldReadiness({ missing, clock, stopping }: ReadinessParts): () => Promise<readonly string[]> {
  let wasReady = false;
  return async () => {
    for (let heldMs = 0; ; heldMs += LOOK_MS) {
      const reasons = missing();
      wasReady ||= reasons.length === 0;
      if (wasReady || stopping.aborted || heldMs >= HOLD_MS) return reasons;
      // Its end at an abort is no fault: the answer is then what is missing.
      await clock.sleep(LOOK_MS, stopping).catch(() => undefined);
    }
  };
}

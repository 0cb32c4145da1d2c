// Kubernetes status conditions (KEP-1623): merged so that lastTransitionTime changes only when the status flips.
import { rfc3339 } from './time.ts';

/** A condition as in meta/v1. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}

/** A condition as a rule states it: without the time of its last flip. */
export type WantedCondition = Omit<Condition, 'lastTransitionTime'>;

/** The new list of conditions in the order wanted; a condition whose status did not change keeps its transition time. */
export function mergeConditions(
  before: readonly Condition[] | undefined,
  wanted: readonly WantedCondition[],
  now: Date,
): readonly Condition[] {
  return wanted.map((next) => {
    const old = before?.find((condition) => condition.type === next.type);
    const kept = old !== undefined && old.status === next.status;
    return { ...next, lastTransitionTime: kept ? old.lastTransitionTime : rfc3339(now) };
  });
}

// What the last look at each service's edge certificate came to, for the status of policies; and the tries that failed. In memory.
import { type Look, Looks } from '../outcomes.ts';
import type { EdgePlan } from './plan.ts';
import type { CurrentEdge } from './snapshot.ts';

/** A look at the edge certificate of a service. */
export type EdgeOutcome = Look<CurrentEdge, EdgePlan['blocked']>;

/** Looks at the edge certificates of services: Secrets are read anew each time, and one certificate is told by its serial. */
export class EdgeOutcomes extends Looks<EdgeOutcome> {
  constructor() {
    super((a, b) => textOf(a) === textOf(b));
  }
}

function textOf(current: CurrentEdge): string {
  return current.kind === 'held' ? current.facts.serial : current.kind;
}

// What the last look at each service's edge certificate came to, for the status of policies; and the tries that failed. In memory.
import type { Failure } from '../snapshot.ts';
import type { EdgePlan } from './plan.ts';
import type { CurrentEdge } from './snapshot.ts';

/** One service. */
export interface EdgeOutcome {
  readonly current: CurrentEdge;
  readonly blocked: EdgePlan['blocked'];
  readonly renewAt: Date | undefined;
  readonly failure: Failure | undefined;
}

/** Outcomes by `<namespace>/<service>`. */
export class EdgeOutcomes {
  readonly #outcomes = new Map<string, EdgeOutcome>();
  readonly #failures = new Map<string, Failure>();
  readonly #listeners = new Set<(key: string) => void>();

  get(key: string): EdgeOutcome | undefined {
    return this.#outcomes.get(key);
  }

  /** Everything that is known. */
  entries(): Iterable<readonly [string, EdgeOutcome]> {
    return this.#outcomes;
  }

  failure(key: string): Failure | undefined {
    return this.#failures.get(key);
  }

  /** Called, synchronously, with the key of each service for which something new is known. Returns the function that ends it. */
  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Counts a failure. */
  failed(key: string, failure: Omit<Failure, 'count'>): Failure {
    const before = this.#failures.get(key);
    const count = before?.wantedKey === failure.wantedKey ? before.count + 1 : 1;
    const next = { ...failure, count };
    this.#failures.set(key, next);
    return next;
  }

  /** Forgets failures. */
  succeeded(key: string): void {
    this.#failures.delete(key);
  }

  /** What a look came to; a service that wants none and has none is forgotten. */
  note(key: string, outcome: EdgeOutcome | undefined): void {
    const before = this.#outcomes.get(key);
    if (outcome === undefined) this.#outcomes.delete(key);
    else this.#outcomes.set(key, outcome);
    if (before === undefined && outcome === undefined) return;
    if (textOf(before) !== textOf(outcome)) for (const listener of this.#listeners) listener(key);
  }
}

/** Equal texts mean that a status written for one is right for the other. */
function textOf(outcome: EdgeOutcome | undefined): string {
  if (outcome === undefined) return '';
  const { current, blocked, renewAt, failure } = outcome;
  const serial = current.kind === 'held' ? current.facts.serial : current.kind;
  return JSON.stringify([serial, blocked, renewAt, failure?.count, failure?.message]);
}

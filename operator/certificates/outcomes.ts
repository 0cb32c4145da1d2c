// What the last look at each service's certificate came to: for status, metrics, and the tries that failed. In memory; a
// restarted operator finds the same by looking again.
import type { Plan } from './plan.ts';
import type { CurrentSecret, Failure } from './snapshot.ts';

/** One service. */
export interface Outcome {
  readonly current: CurrentSecret;
  readonly blocked: Plan['blocked'];
  readonly renewAt: Date | undefined;
  readonly failure: Failure | undefined;
}

/** Outcomes by `<namespace>/<service>`. */
export class Outcomes {
  readonly #outcomes = new Map<string, Outcome>();
  readonly #failures = new Map<string, Failure>();
  readonly #listeners = new Set<(key: string) => void>();

  /** What is known of a service; undefined before the first look. */
  get(key: string): Outcome | undefined {
    return this.#outcomes.get(key);
  }

  /** Everything that is known. */
  entries(): Iterable<readonly [string, Outcome]> {
    return this.#outcomes;
  }

  /** Tries that failed in a row. */
  failure(key: string): Failure | undefined {
    return this.#failures.get(key);
  }

  /** Called, synchronously, with the key of each service for which something new is known. */
  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Counts a failure. */
  failed(key: string, failure: Omit<Failure, 'count'>): Failure {
    const before = this.#failures.get(key);
    const again = before?.wantedKey === failure.wantedKey;
    const next = { ...failure, count: again ? before.count + 1 : 1 };
    this.#failures.set(key, next);
    return next;
  }

  /** Forgets failures. */
  succeeded(key: string): void {
    this.#failures.delete(key);
  }

  /** What a look came to; nothing there and nobody wanting it is forgotten. */
  note(key: string, outcome: Outcome, wanted: boolean): void {
    const before = this.#outcomes.get(key);
    if (!wanted && outcome.current.kind === 'absent') {
      this.#outcomes.delete(key);
      this.#failures.delete(key);
    } else {
      this.#outcomes.set(key, outcome);
    }
    if (differs(before, outcome)) for (const listener of this.#listeners) listener(key);
  }
}

/** Whether a status that was written for one outcome is out of date with the other. */
function differs(before: Outcome | undefined, after: Outcome): boolean {
  return (
    before === undefined ||
    before.current !== after.current ||
    before.blocked?.message !== after.blocked?.message ||
    before.renewAt?.getTime() !== after.renewAt?.getTime() ||
    before.failure?.count !== after.failure?.count ||
    before.failure?.message !== after.failure?.message
  );
}

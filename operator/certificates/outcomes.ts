// What the last look at each service's certificate came to: for status, metrics, and the tries that failed. In memory; a
// restarted operator finds the same by looking again.
import { messageOf } from '../../lib/errors.ts';
import { KubeError } from '../../lib/kube/errors.ts';
import { SignerError } from '../issuers/problem.ts';
import type { Plan } from './plan.ts';
import type { CurrentSecret, Failure } from './snapshot.ts';

/** What a look at one certificate came to. */
export interface Look<Current, Blocked extends { readonly message: string } | undefined> {
  readonly current: Current;
  readonly blocked: Blocked;
  readonly renewAt: Date | undefined;
  readonly failure: Failure | undefined;
}

type AnyLook = Look<unknown, { readonly message: string } | undefined>;

/** Looks by `<namespace>/<service>`. */
export class Looks<L extends AnyLook> {
  readonly #same: (a: L['current'], b: L['current']) => boolean;
  readonly #looks = new Map<string, L>();
  readonly #failures = new Map<string, Failure>();
  readonly #listeners = new Set<(key: string) => void>();

  /** `same` tells whether a status says the same of two things that were found. */
  constructor(same: (a: L['current'], b: L['current']) => boolean) {
    this.#same = same;
  }

  /** What is known of a service; undefined before the first look. */
  get(key: string): L | undefined {
    return this.#looks.get(key);
  }

  /** Everything that is known. */
  entries(): Iterable<readonly [string, L]> {
    return this.#looks;
  }

  /** Tries that failed in a row. */
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
    const again = before?.wantedKey === failure.wantedKey;
    const next = { ...failure, count: again ? before.count + 1 : 1 };
    this.#failures.set(key, next);
    return next;
  }

  /** Forgets failures. */
  succeeded(key: string): void {
    this.#failures.delete(key);
  }

  /** What a look came to; undefined = there is nothing, and nobody wants anything: it is forgotten. */
  note(key: string, look: L | undefined): void {
    const before = this.#looks.get(key);
    if (look === undefined) {
      this.#looks.delete(key);
      this.#failures.delete(key);
    } else {
      this.#looks.set(key, look);
    }
    if (this.#differs(before, look)) for (const listener of this.#listeners) listener(key);
  }

  /** Whether a status that was written for one look is out of date with the other. */
  #differs(before: L | undefined, after: L | undefined): boolean {
    if (before === undefined || after === undefined) return before !== after;
    return (
      !this.#same(before.current, after.current) ||
      before.blocked?.message !== after.blocked?.message ||
      before.renewAt?.getTime() !== after.renewAt?.getTime() ||
      before.failure?.count !== after.failure?.count ||
      before.failure?.message !== after.failure?.message
    );
  }
}

/** What a try that threw means for the next one: whoever was asked may have said when to come again. */
export function failureOf(error: unknown, wantedKey: string, now: Date): Omit<Failure, 'count'> {
  const waitMs = error instanceof KubeError || error instanceof SignerError ? error.retryAfterMs : undefined;
  const notBefore = waitMs === undefined ? {} : { notBefore: new Date(now.getTime() + waitMs) };
  return { lastAt: now, wantedKey, message: messageOf(error), ...notBefore };
}

/** A look at the certificate of a service. */
export type Outcome = Look<CurrentSecret, Plan['blocked']>;

/** Looks at the certificates of services: what a Secret holds is read once, so the same object means the same content. */
export class Outcomes extends Looks<Outcome> {
  constructor() {
    super((a, b) => a === b);
  }
}

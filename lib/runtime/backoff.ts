// How long to wait before the next try: doubling with jitter, up to a ceiling. Pure but for the random source.

/** The shape of a back-off. Times are milliseconds. */
export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** Growth per failure; 2 by default. */
  readonly factor?: number;
  /** Part of the wait that is random, 0..1: a jitter of 0.5 gives 75 % to 125 %. 0.5 by default, 0 for none. */
  readonly jitter?: number;
}

/** The wait after `failures` failures in a row (1 = the first), with `random` in 0..1. Never above maxMs. */
export function backoffMs(failures: number, options: BackoffOptions, random: number = Math.random()): number {
  const factor = options.factor ?? 2;
  const jitter = options.jitter ?? 0.5;
  // The exponent is bounded so that a long outage cannot overflow to Infinity * 0.
  const base = Math.min(options.maxMs, options.initialMs * factor ** Math.min(Math.max(0, failures - 1), 64));
  return Math.min(options.maxMs, Math.round(base * (1 + jitter * (random - 0.5))));
}

/** Counts failures in a row and says how long to wait. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #failures = 0;

  constructor(options: BackoffOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  /** Failures since the last reset. */
  get failures(): number {
    return this.#failures;
  }

  /** Counts one more failure; the wait before the next try in milliseconds. */
  next(): number {
    this.#failures += 1;
    return backoffMs(this.#failures, this.#options, this.#random());
  }

  /** Forgets all failures. */
  reset(): void {
    this.#failures = 0;
  }
}

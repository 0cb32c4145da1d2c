// Which endpoint a new connection goes to: the less busy of two drawn at random (power of two choices), leaving out those that
// failed a short while ago. An endpoint's figures live as long as it is listed, across updates of the list.
import type { Endpoint } from '../../lib/api/control.ts';
import { backoffMs } from '../../lib/runtime/backoff.ts';
import type { Target } from '../transport/transport.ts';

/** An endpoint with what this proxy knows about it. */
export interface Candidate {
  readonly endpoint: Endpoint;
  /** Connections open or being opened. */
  active: number;
  /** Failures in a row. */
  failures: number;
  /** Not drawn before this moment, unless nothing else is left. Milliseconds since the epoch. */
  ejectedUntilMs: number;
  /** Who has to answer there, once it was asked for: what every connection would make anew. */
  target?: Target;
}

/** First and longest time that a failed endpoint is left out. */
const ejection = { initialMs: 1_000, maxMs: 30_000 };

/** The endpoints of one destination. */
export class Balancer {
  readonly #random: () => number;
  #candidates: readonly Candidate[] = [];

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Takes over a new list; endpoints that stay keep their figures. */
  update(endpoints: readonly Endpoint[]): void {
    const before = new Map(this.#candidates.map((candidate) => [keyOf(candidate.endpoint), candidate]));
    this.#candidates = endpoints.map(
      (endpoint) => before.get(keyOf(endpoint)) ?? { endpoint, active: 0, failures: 0, ejectedUntilMs: 0 },
    );
  }

  /** Draws an endpoint that is not in `tried`; undefined when there is none. */
  pick(nowMs: number, tried: ReadonlySet<Candidate>): Candidate | undefined {
    const [only, another] = this.#candidates;
    if (only === undefined || another === undefined) return only !== undefined && tried.has(only) ? undefined : only;
    const left = this.#candidates.filter((candidate) => !tried.has(candidate));
    const fit = left.filter((candidate) => candidate.ejectedUntilMs <= nowMs);
    const from = fit.length > 0 ? fit : left;
    const first = this.#draw(from);
    if (first === undefined || from.length === 1) return first;
    const second = this.#draw(from.filter((candidate) => candidate !== first));
    return second !== undefined && second.active < first.active ? second : first;
  }

  #draw(from: readonly Candidate[]): Candidate | undefined {
    return from[Math.min(from.length - 1, Math.floor(this.#random() * from.length))];
  }
}

/** Leaves an endpoint out for a while, longer with each failure in a row. */
export function eject(candidate: Candidate, nowMs: number): void {
  candidate.failures += 1;
  candidate.ejectedUntilMs = nowMs + backoffMs(candidate.failures, ejection);
}

/** Forgets an endpoint's failures. */
export function restore(candidate: Candidate): void {
  candidate.failures = 0;
  candidate.ejectedUntilMs = 0;
}

/** Equal for endpoints between which nothing that matters differs: another identity at an address is another endpoint. */
function keyOf(endpoint: Endpoint): string {
  return endpoint.transport === 'mutual'
    ? `${endpoint.address} ${endpoint.port} ${endpoint.identity}`
    : `${endpoint.address} ${endpoint.port} ${endpoint.why}`;
}

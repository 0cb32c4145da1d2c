// One place where refusals are counted and logged: every one counts, but a client that keeps trying does not fill the log.
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { CounterMetric } from '../../lib/runtime/metrics.ts';
import type { RefusalReason } from './metrics.ts';

/** What is known of who was refused. */
export interface RefusedClient {
  readonly address: string;
  /** SPIFFE URI, when it proved one. */
  readonly identity?: string;
  readonly detail: string;
}

/** A burst of lines, then one in each interval. */
const burst = 20;
const everyMs = 1_000;

/** Counts and logs. */
export class Refusals {
  readonly #deps: { readonly logger: Logger; readonly counter: CounterMetric; readonly clock: Pick<Clock, 'now'> };
  #tokens = burst;
  #refilledMs = 0;
  #suppressed = 0;

  constructor(deps: { readonly logger: Logger; readonly counter: CounterMetric; readonly clock: Pick<Clock, 'now'> }) {
    this.#deps = deps;
  }

  /** A refusal that someone should know of. */
  note(reason: RefusalReason, client: RefusedClient): void {
    const { logger, counter } = this.#deps;
    counter.inc({ reason });
    if (!this.#mayLog()) {
      this.#suppressed += 1;
      return;
    }
    const unlogged = this.#suppressed;
    this.#suppressed = 0;
    logger.warn({ reason, ...client, ...(unlogged === 0 ? {} : { unlogged }) }, 'control client refused');
  }

  /** An ending in the ordinary course of things. */
  count(reason: RefusalReason, client: RefusedClient): void {
    this.#deps.counter.inc({ reason });
    this.#deps.logger.debug({ reason, ...client }, 'control connection ended');
  }

  #mayLog(): boolean {
    const nowMs = this.#deps.clock.now().getTime();
    const earned = Math.floor((nowMs - this.#refilledMs) / everyMs);
    if (earned > 0) {
      this.#tokens = Math.min(burst, this.#tokens + earned);
      this.#refilledMs = nowMs;
    }
    if (this.#tokens === 0) return false;
    this.#tokens -= 1;
    return true;
  }
}

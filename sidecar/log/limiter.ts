// At most one line of a kind about a peer in ten seconds: floods of refusals must not become floods of lines. What was held back is counted, and
// told with the next line or, where none comes, by itself.
import type { Clock } from '../../lib/clock.ts';
import { Lru } from '../lru.ts';

interface Limit {
  untilMs: number;
  suppressed: number;
  /** Writes the last line that was held back, with the count. */
  tell: ((suppressed: number) => void) | undefined;
}

/** How long after a line others of its kind are held back. */
export const EVERY_MS = 10_000;
/** Kinds that are remembered. Peers can fill it; whoever is forgotten gets a line too many. */
const MAX_LIMITS = 1_000;

/** Decides which lines are written. */
export class Limiter {
  readonly #clock: Clock;
  readonly #onSuppressed: () => void;
  readonly #limits = new Lru<Limit>(MAX_LIMITS);

  constructor(clock: Clock, onSuppressed: () => void = () => undefined) {
    this.#clock = clock;
    this.#onSuppressed = onSuppressed;
  }

  /** Writes now, or not. `write` gets how many were held back since the last line; undefined for none. */
  turn(key: string, write: (suppressed: number | undefined) => void): void {
    const nowMs = this.#clock.now().getTime();
    const limit = this.#limits.get(key);
    if (limit !== undefined && nowMs < limit.untilMs) {
      limit.suppressed += 1;
      limit.tell = write;
      return this.#onSuppressed();
    }
    const forgotten = this.#limits.set(key, { untilMs: nowMs + EVERY_MS, suppressed: 0, tell: undefined });
    if (forgotten !== limit) forgotten?.tell?.(forgotten.suppressed);
    return write(limit === undefined || limit.suppressed === 0 ? undefined : limit.suppressed);
  }

  /** Tells what was held back and is due; all of it when the process ends. */
  tellRest(all: boolean = false): void {
    const nowMs = this.#clock.now().getTime();
    for (const limit of this.#limits.values()) {
      const { tell, suppressed } = limit;
      if (tell === undefined || (!all && nowMs < limit.untilMs)) continue;
      limit.tell = undefined;
      limit.suppressed = 0;
      tell(suppressed);
    }
  }

  /** Tells every ten seconds what was held back, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(EVERY_MS, signal).catch(() => undefined);
      this.tellRest(signal.aborted);
    }
  }
}

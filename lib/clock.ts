// Time as a dependency: rules take `now`, edges take a Clock, tests take a fixed one.
// Durations of the API are Kubernetes style strings ("10m", "24h", "1h30m", "90d"); inside they are milliseconds.
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from './errors.ts';

/** The source of time. `sleep` rejects with the signal's reason when it is aborted. */
export interface Clock {
  now(): Date;
  /** The same in milliseconds since the epoch: for what is asked for each connection, where an object would cost more than the question. */
  nowMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Runs something once, unless the returned function is called before. For what is nearly always called off: it costs next to nothing. */
  after(ms: number, run: () => void): () => void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => new Date(),
  nowMs: () => Date.now(),
  sleep: async (ms, signal) => {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  },
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A duration string in milliseconds: one or more of `<integer><ms|s|m|h|d>`, largest first.
 * Throws AppError `input_invalid` for anything else.
 */
export function parseDuration(text: string): number {
  if (!/^(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?:\d+ms)?$/.test(text) || text === '') {
    throw new AppError('input_invalid', `"${text}" is not a duration; write for example "30s", "10m", "24h" or "90d"`);
  }
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) total += Number(count) * (unitMs[unit ?? ''] ?? 0);
  return total;
}

/** Milliseconds as the shortest exact duration string, for messages and status ("1h30m", "20s"). */
export function formatDuration(ms: number): string {
  let rest = Math.max(0, Math.round(ms));
  if (rest === 0) return '0s';
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const size = unitMs[unit] ?? 1;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

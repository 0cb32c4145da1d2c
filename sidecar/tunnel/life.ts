// Whether a tunnel's peer is still there. A peer that was not heard for a while is asked; one that stays silent is taken for dead long
// before TCP would give up, and no new stream is sent its way as soon as it owes an answer. Pure.

/** Silence after which the peer is asked. */
export const PING_AFTER_MS = 10_000;
/** An OPEN that has no answer for so long makes us ask at once: the application's connect may take its time, a live proxy does not. */
export const PING_OPENING_MS = 1_000;
/** A question without any word since: not to be used for new streams. */
export const SUSPECT_AFTER_MS = 2_000;
/** A question without any word since: dead. Longer than a proxy may be paused and come back. */
export const DEAD_AFTER_MS = 15_000;

/** A tunnel as a look at it finds it. Milliseconds of one clock. */
export interface Pulse {
  readonly nowMs: number;
  /** When bytes last came. */
  readonly heardMs: number;
  /** When the peer was asked, while nothing has come since. */
  readonly askedMs: number | undefined;
  /** When the oldest OPEN without an answer was sent. */
  readonly openingMs: number | undefined;
}

/** What to make of it. */
export type PulseVerdict = 'fine' | 'ask' | 'waiting' | 'suspect' | 'dead';

/** Judges one tunnel. */
export function pulseVerdict({ nowMs, heardMs, askedMs, openingMs }: Pulse): PulseVerdict {
  if (askedMs !== undefined) {
    const silentMs = nowMs - askedMs;
    if (silentMs >= DEAD_AFTER_MS) return 'dead';
    return silentMs >= SUSPECT_AFTER_MS ? 'suspect' : 'waiting';
  }
  if (nowMs - heardMs >= PING_AFTER_MS) return 'ask';
  const sinceMs = openingMs === undefined ? 0 : nowMs - Math.max(openingMs, heardMs);
  return sinceMs >= PING_OPENING_MS ? 'ask' : 'fine';
}

// Whether a tunnel's peer is still there. A peer that was not heard for a while is asked; one that stays silent is taken for dead long
// before TCP would give up, and no new stream is sent its way as soon as it owes an answer. Pure.
// Time counts only while we look: if it was this process that stood still, the answer may lie unread in the socket.

/** Silence after which the peer is asked. */
export const PING_AFTER_MS = 10_000;
/** An OPEN that has no answer for so long makes us ask at once: the application's connect may take its time, a live proxy does not. */
export const PING_OPENING_MS = 1_000;
/** A question without any word since: not to be used for new streams. */
export const SUSPECT_AFTER_MS = 2_000;
/** A question without any word since: dead. Longer than a proxy may be paused and come back. */
export const DEAD_AFTER_MS = 15_000;

/** Most time that one look counts for. */
export const LOOK_COUNTS_MS = 1_000;

/** A tunnel as a look at it finds it, in milliseconds that were counted. */
export interface Pulse {
  /** Since bytes last came. */
  readonly silentMs: number;
  /** Since the peer was asked, while nothing has come since. */
  readonly waitedMs: number | undefined;
  /** There is an OPEN without an answer. */
  readonly isOpening: boolean;
}

/** What to make of it. */
export type PulseVerdict = 'fine' | 'ask' | 'waiting' | 'suspect' | 'dead';

/** Judges one tunnel. */
export function pulseVerdict({ silentMs, waitedMs, isOpening }: Pulse): PulseVerdict {
  if (waitedMs === undefined) return silentMs >= (isOpening ? PING_OPENING_MS : PING_AFTER_MS) ? 'ask' : 'fine';
  if (waitedMs >= DEAD_AFTER_MS) return 'dead';
  return waitedMs >= SUSPECT_AFTER_MS ? 'suspect' : 'waiting';
}

// When a live connection has to end: idle for too long, or at the end of its time (its maximum age, or the first expiry
// among the certificates that it stands on). Layer 4 cannot see where a request ends, so a connection whose time is
// nearly over is closed at a quiet moment and only reset when no such moment came. Where requests are read it is known better: the
// client is asked in time to go elsewhere, and the connection ends when all that was asked is answered. Why these silences: docs/adr/0039. Pure.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Traffic } from './relay.ts';
import type { RequestsPhase } from './requests.ts';

/** When and why a connection's time is over. Milliseconds since the epoch. */
export interface Deadline {
  readonly atMs: number;
  /** The reason of the reset; undefined for the maximum age, which is nobody's fault. */
  readonly reason: Reason | undefined;
  /** From here on a quiet moment is used to close it in order. */
  readonly quietFromMs: number;
  /** Where requests are read: from here on the client is asked to send its next ones elsewhere. `quietFromMs` where it is not said. */
  readonly retireFromMs?: number;
}

/** A connection as a look at it finds it. */
export interface Look {
  readonly nowMs: number;
  readonly traffic: Traffic;
  /** When the byte counts were last seen to change. */
  readonly changedMs: number;
  /** Silence since then that was listened to: less than the time that has passed, where this process itself stood still. */
  readonly quietMs: number;
  readonly idleTimeoutMs: number;
  readonly deadline: Deadline;
  /** The process is to stop, and has so long in all; absent = it is not. */
  readonly drainMs?: number | undefined;
  /** Its end has been asked for, and the silence since then is what counts. */
  readonly isLeaving?: boolean;
  /** Where requests are read, once the client was asked to go elsewhere. */
  readonly requests?: RequestsPhase | undefined;
}

/** What to do with it. */
export type LifeVerdict =
  | { readonly act: 'keep' }
  | { readonly act: 'close'; readonly ending: 'idle' | 'aged' }
  | { readonly act: 'cut'; readonly reason: Reason };

/** Least silence after which nothing is taken to be under way, if the last byte went towards the one who asks. */
export const QUIET_MS = 200;
/** An answer of more bytes than this may be one of many more. */
const LONG_RUN_BYTES = 65_536;
/** Most silence for which what may be late is waited for: a lost segment takes a second, then two (RFC 6298), a busy machine more. */
const LATE_MS = 5_000;
/** Of a short time to end in it gets this part. */
const LATE_PART = 5;
/** Longest time before the deadline in which quiet moments are used. */
const QUIET_WINDOW_MS = 60_000;

/** Judges one connection. */
export function lifeVerdict(look: Look): LifeVerdict {
  const { nowMs, traffic, changedMs, idleTimeoutMs, deadline, drainMs, requests } = look;
  const quiet = isQuiet(look);
  if (nowMs >= deadline.atMs) {
    if (look.isLeaving === true && !traffic.isUnderWay && traffic.run <= LONG_RUN_BYTES)
      return { act: 'close', ending: 'aged' };
    if (deadline.reason !== undefined) return { act: 'cut', reason: deadline.reason };
    return quiet ? { act: 'close', ending: 'aged' } : { act: 'cut', reason: 'reset' };
  }
  const isEnding = drainMs !== undefined || nowMs >= deadline.quietFromMs || requests === 'over';
  if (isEnding && quiet) return { act: 'close', ending: 'aged' };
  if (nowMs - changedMs < idleTimeoutMs) return { act: 'keep' };
  // An orderly end would make a part of a transfer look like the whole.
  return traffic.isUnderWay ? { act: 'cut', reason: 'reset' } : { act: 'close', ending: 'idle' };
}

function isQuiet(look: Look): boolean {
  const { nowMs, changedMs, traffic, quietMs, requests, isLeaving } = look;
  if (traffic.isUnderWay || requests === 'busy') return false;
  if (requests === 'over') return isLeaving !== true || quietMs >= QUIET_MS;
  // The last byte went to the asking side, or none was sent yet: no answer is being waited for.
  return traffic.last !== 'in' && quietMs >= leastQuietMs(look) && nowMs - changedMs >= pauseMs(look);
}

/** Silence that has to be listened to, whatever the hurry. */
function leastQuietMs(look: Look): number {
  if (!mayHaveMore(look)) return QUIET_MS;
  const windowMs = look.drainMs ?? look.deadline.atMs - look.deadline.quietFromMs;
  return Math.max(QUIET_MS, Math.min(LATE_MS, windowMs / LATE_PART));
}

/** Whether it would be no wonder if somebody who is silent went on. */
function mayHaveMore({ traffic, isLeaving }: Look): boolean {
  // Who is told that no more will be asked ends its direction at once, if it has nothing to say.
  if (isLeaving === true) return !traffic.isAnswered;
  // Where who was asked has ended alone, the other may be in the middle of what it has to say.
  return traffic.run > LONG_RUN_BYTES || traffic.isAnswered;
}

/**
 * Silence that tells a pause in a conversation from its end, while there is time to wait for one: half of the time in which quiet moments are
 * used at its beginning, and less with the square of what is left. A client that thinks between two statements of a transaction is
 * silent for less than one that has nothing to ask. A process that stops has no such time.
 */
function pauseMs({ nowMs, deadline, drainMs }: Look): number {
  const leftMs = deadline.atMs - nowMs;
  const windowMs = deadline.atMs - deadline.quietFromMs;
  return drainMs !== undefined || leftMs <= 0 ? 0 : (leftMs * leftMs) / (2 * windowMs);
}

/** What limits a connection's time. Milliseconds since the epoch. */
export interface Limits {
  readonly startedMs: number;
  readonly maxAgeMs: number;
  readonly ownNotAfterMs: number | undefined;
  readonly peerNotAfterMs: number | undefined;
  /** The side that opened the connection looks for quiet moments earlier: there an end cannot cross a new request on the network. */
  readonly opener: boolean;
}

/** The earliest of the limits, and when to begin to look for a quiet moment: the last fifth of the time, at most a minute. */
export function deadlineOf({ startedMs, maxAgeMs, ownNotAfterMs, peerNotAfterMs, opener }: Limits): Deadline {
  let atMs = startedMs + maxAgeMs;
  let reason: Reason | undefined;
  if (ownNotAfterMs !== undefined && ownNotAfterMs < atMs) {
    atMs = ownNotAfterMs;
    reason = 'own_certificate_expired';
  }
  if (peerNotAfterMs !== undefined && peerNotAfterMs < atMs) {
    atMs = peerNotAfterMs;
    reason = 'expired';
  }
  const windowMs = Math.min(QUIET_WINDOW_MS, (atMs - startedMs) / 5);
  // Clients are asked before the proxy on their own side, which reads nothing, looks for quiet moments.
  return { atMs, reason, quietFromMs: atMs - (opener ? windowMs : windowMs / 2), retireFromMs: atMs - 2 * windowMs };
}

// The relay joins the two halves of an application connection and moves bytes both ways until both are done. This file is
// the contract; join.ts keeps it over any two halves. A relay knows no policy: who may talk was decided before,
// and whoever wants a live connection to end calls `close` or `cut`.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Half } from './half.ts';

/** How a relayed connection ended. `failed` comes with a reason; the others are orderly. */
export type Ending =
  | 'closed' // both applications ended their half
  | 'idle' // no byte for the idle timeout
  | 'aged' // at a quiet moment near the end of its time
  | 'drained' // this proxy is stopping
  | 'failed';

/** How one ends that is closed. */
export type Leaving = Exclude<Ending, 'closed' | 'failed'>;

/** What a relay did. `in` is from the side that opened the connection, `out` is towards it. */
export interface RelayEnd {
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly ending: Ending;
  readonly reason?: Reason;
}

/** What has passed so far. */
export interface Traffic {
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Way of the last byte; undefined before the first. */
  readonly last: 'in' | 'out' | undefined;
  /** Bytes that have gone that way since the other had its turn. */
  readonly run: number;
  /** More is known to come, whatever is silent: bytes wait for a reader, or the side that asks has said all, and has not been answered to the end. */
  readonly isUnderWay: boolean;
  /** The side that was dialled has ended its direction: it has said all. */
  readonly isAnswered: boolean;
}

/** A running relay. */
export interface Relay {
  /** Resolves when both halves are closed; never rejects. */
  readonly finished: Promise<RelayEnd>;
  traffic(): Traffic;
  /**
   * Asks for the end: the far side is told that no more will come, and all that it still says goes to the near one, until it has ended, too.
   * Where it does not, a second call ends both halves in order; what was read is still written. The first ending counts.
   */
  close(ending: Leaving): void;
  /** Resets both halves, whether or not the end was asked for. */
  cut(reason: Reason): void;
}

/**
 * Starts a relay; `near` is the half that was accepted, `far` the one that was dialled. The relay owns both from now on. `over` is called once,
 * later, when both halves are closed: what `finished` says, for the price of a call.
 */
export type StartRelay = (near: Half, far: Half, over?: (end: RelayEnd) => void) => Relay;

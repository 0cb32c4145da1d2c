// What a gate that reads requests knows of its connection, and whoever counts octets does not: whether anything is unanswered, and how to ask
// the client to go elsewhere.

import type { Reason } from '../../lib/api/reasons.ts';

/** `busy`: something is unanswered. `free`: nothing is, as far as is known here. `over`: nothing is, and nothing more will be taken. */
export type RequestsPhase = 'busy' | 'free' | 'over';

/** The requests of one connection. */
export interface RequestsUnderWay {
  /** Asks the client to send its next requests on another connection. To be called again and again until the phase is `over`. */
  retire(): void;
  readonly phase: RequestsPhase;
  /**
   * Ends what has no end of its own and was let in by a token that has expired by now, in milliseconds since the epoch. A reason = the connection
   * cannot go on; a gate that can end one stream alone does so and gives none.
   */
  lapse(nowMs: number): Reason | undefined;
}

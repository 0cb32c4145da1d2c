// What a gate that reads requests knows of its connection, and whoever counts octets does not: whether anything is unanswered, and how to ask
// the client to go elsewhere.

/** `busy`: something is unanswered. `free`: nothing is, as far as is known here. `over`: nothing is, and nothing more will be taken. */
export type RequestsPhase = 'busy' | 'free' | 'over';

/** The requests of one connection. */
export interface RequestsUnderWay {
  /** Asks the client to send its next requests on another connection. To be called again and again until the phase is `over`. */
  retire(): void;
  readonly phase: RequestsPhase;
}

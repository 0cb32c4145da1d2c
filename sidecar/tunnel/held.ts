// What waits in the tunnels of one peer for readers that do not read, all together. A window for each of ten thousand streams would be
// gigabytes; credit that was given cannot be taken back, so beyond a bound it is the stream for which more comes that has to go.

/** The bytes of one peer: kept by those who make its tunnels, counted by their streams. */
export interface PeerHeld {
  bytes: number;
}

/** Bytes that may wait in one tunnel before it takes no more streams. */
export const MAX_TUNNEL_BYTES = 33_554_432;
/** Bytes that may wait in all tunnels of one peer before they take no more streams: those of two. */
export const MAX_PEER_BYTES = 2 * MAX_TUNNEL_BYTES;
/** Bytes of one peer on top of which none may wait: what comes for a reader that does not read costs its stream. */
export const MOST_PEER_BYTES = 2 * MAX_PEER_BYTES;

// How much one client, and all of them together, may cost. Times in milliseconds.
import type { ServerOptions } from 'node:http2';

export interface ControlLimits {
  /** Streams of one pod over all its connections; a sidecar follows at most 1,000 destinations. */
  readonly streamsPerPod: number;
  /** Connections of one pod; the oldest gives way, since a client that reconnects may have left a dead one behind. */
  readonly sessionsPerPod: number;
  /** Connections of one address, before anything is known of who it is. */
  readonly connectionsPerAddress: number;
  /** All connections. */
  readonly connections: number;
  /** Status reports of one connection that are being received at once. */
  readonly postsPerSession: number;
  /** Bytes of a status report. */
  readonly bodyBytes: number;
  /** Bytes of a request's header list (RFC 9113 section 6.5.2). */
  readonly headerBytes: number;
  readonly handshakeTimeoutMs: number;
  /** How long a status report may take to arrive. */
  readonly bodyTimeoutMs: number;
  /** How long a client waits for its pod to be seen: the watch may be behind the pod's own start. */
  readonly podWaitMs: number;
  /** A connection is asked for a sign of life this often… */
  readonly pingEveryMs: number;
  /** …and taken for dead when it gives none for this long. */
  readonly pingTimeoutMs: number;
  /** A connection without a stream is closed after this long. */
  readonly idleMs: number;
}

export const controlLimits: ControlLimits = {
  streamsPerPod: 2_048,
  sessionsPerPod: 4,
  connectionsPerAddress: 16,
  connections: 20_000,
  postsPerSession: 2,
  bodyBytes: 65_536,
  headerBytes: 8_192,
  handshakeTimeoutMs: 10_000,
  bodyTimeoutMs: 10_000,
  podWaitMs: 2_000,
  pingEveryMs: 20_000,
  pingTimeoutMs: 10_000,
  idleMs: 60_000,
};

/** The bounds that the HTTP/2 library keeps itself. */
export function http2Options(limits: ControlLimits): ServerOptions {
  return {
    settings: {
      maxConcurrentStreams: limits.streamsPerPod + limits.postsPerSession,
      maxHeaderListSize: limits.headerBytes,
    },
    maxHeaderListPairs: 32,
    // Megabytes. A stream takes a few kilobytes of it while its line is under way.
    maxSessionMemory: 64,
    // CVE-2023-44487. A sidecar that drops all its destinations at once resets a thousand streams, and seldom.
    streamResetBurst: 2 * limits.streamsPerPod,
    streamResetRate: 100,
  };
}

// Which of what went well gets a line: one in so many. By the trace id where a request has one, so that every sidecar on the way keeps the same
// requests, and by the tunnel's name for its streams, so that both sides keep the same connections; else evenly, by counting.
import type { TraceContext } from '../exchange.ts';
import type { TunnelFacts } from './entry.ts';

/** What is known of what went well. */
export interface Sampled {
  readonly trace?: TraceContext | undefined;
  readonly tunnel?: TunnelFacts | undefined;
}

const RANGE = 0x1_0000_0000;
/** 2^32 divided by the golden ratio: multiples of it spread over the range as evenly as can be, whatever comes at intervals. */
const GOLDEN = 0x9e37_79b1;

/** Draws. */
export class Sampler {
  #count = 0;

  /** Whether this one is kept, of one in so many. */
  keeps(oneIn: number, { trace, tunnel }: Sampled): boolean {
    if (oneIn <= 1) return true;
    return this.#point(trace, tunnel) >= RANGE - RANGE / oneIn;
  }

  /** A number below 2^32. */
  #point(trace: TraceContext | undefined, tunnel: TunnelFacts | undefined): number {
    // The last 56 bits are the random ones (W3C Trace Context level 2, section 3.2.2.3). OpenTelemetry's samplers keep what has the higher ones of
    // them above a threshold (consistent probability sampling), and so does this.
    if (trace !== undefined) return Number.parseInt(trace.traceId.slice(18, 26), 16);
    if (tunnel !== undefined) return spread(Number.parseInt(tunnel.id.slice(0, 8), 16) + (tunnel.stream ?? 0));
    this.#count = (this.#count + 1) % RANGE;
    return spread(this.#count);
  }
}

function spread(value: number): number {
  return Math.imul(value, GOLDEN) >>> 0;
}

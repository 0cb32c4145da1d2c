// One HTTP request with its answer, as logs tell of it, whichever version it came in.
import type { Reason } from '../lib/api/reasons.ts';

/** Trace and span of the caller, in lower-case hex (W3C Trace Context). */
export interface TraceContext {
  /** 32 digits. */
  readonly traceId: string;
  /** 16 digits: the caller's span. */
  readonly spanId: string;
}

/** One request and its answer, as far as it came. */
export interface Exchange {
  readonly method: string;
  /** As sent, with its query. */
  readonly target: string;
  readonly host: string;
  /** Version of HTTP: 1.0, 1.1 or 2. */
  readonly version: '1.0' | '1.1' | '2';
  /** Zero when no answer had come. */
  readonly status: number;
  /** gRPC: the status of the call, from its trailers. */
  readonly grpcStatus?: number | undefined;
  /** From the end of the request's head to the end of the answer. */
  readonly ms: number;
  /** Octets of the request as they came, head and body, and of the answer. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly trace?: TraceContext | undefined;
  /** Why the client did not get what it asked for, where that was not the application's word. */
  readonly reason?: Reason | undefined;
}

const form = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-|$)/;

/** Reads a `traceparent` (W3C Trace Context level 2, section 3.2); undefined for one that must be ignored. Nothing else than hex gets through. */
export function traceContext(traceparent: string): TraceContext | undefined {
  const [, traceId, spanId] = form.exec(traceparent) ?? [];
  return traceId === undefined || spanId === undefined ? undefined : { traceId, spanId };
}

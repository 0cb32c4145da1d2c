// Answers that a gate gives itself: HEADERS alone, since octets of a body would have to be taken from credit that the application believes to
// have. They say a reason of the closed vocabulary and never which rule of a policy it was.
import type { Reason } from '../../lib/api/reasons.ts';
import { errorCodes, frameTypes } from './codes.ts';
import { encodeLines, headersFrames, type Line, numberFrame } from './encode.ts';

/** Why a request is not let through. */
export interface Denial {
  /** What HTTP says. */
  readonly status: number;
  readonly reason: Reason;
  /** Further fields, such as WWW-Authenticate. */
  readonly fields?: readonly Line[];
}

/** What a denial is for. */
export interface Denied {
  readonly stream: number;
  readonly grpc: boolean;
  /** The client has sent all of its request. */
  readonly complete: boolean;
}

/** Status codes of gRPC. */
const grpcStatuses: ReadonlyMap<number, number> = new Map([
  [401, 16], // UNAUTHENTICATED
  [403, 7], // PERMISSION_DENIED
  [429, 8], // RESOURCE_EXHAUSTED
  [503, 14], // UNAVAILABLE
]);
const GRPC_INTERNAL = 13;

/** The status that gRPC has for what HTTP calls otherwise. */
export function grpcStatusFor(status: number): number {
  return grpcStatuses.get(status) ?? GRPC_INTERNAL;
}

/** The frames. `fields`: what belongs into every answer. A client that is still sending is told to stop (RFC 9113 section 8.1). */
export function denialFrames(
  { status, reason, fields = [] }: Denial,
  { stream, grpc, complete }: Denied,
  always: readonly Line[],
): Buffer {
  const own: readonly Line[] = grpc
    ? [
        { name: ':status', value: '200' },
        { name: 'content-type', value: 'application/grpc' },
        { name: 'grpc-status', value: String(grpcStatusFor(status)) },
        { name: 'grpc-message', value: reason },
      ]
    : [
        { name: ':status', value: String(status) },
        { name: 'content-length', value: '0' },
        { name: 'cache-control', value: 'no-store' },
      ];
  const block = encodeLines([...own, { name: 'x-tabard-reason', value: reason }, ...fields, ...always]);
  const answer = headersFrames(stream, true, block);
  return complete ? answer : Buffer.concat([answer, resetFrame(stream, errorCodes.noError)]);
}

/** The end of a call of gRPC whose answer has begun: its status in trailers, as the application would have ended it. */
export function callEndFrames({ status, reason }: Denial, { stream, complete }: Denied): Buffer {
  const block = encodeLines([
    { name: 'grpc-status', value: String(grpcStatusFor(status)) },
    { name: 'grpc-message', value: reason },
  ]);
  const trailers = headersFrames(stream, true, block);
  return complete ? trailers : Buffer.concat([trailers, resetFrame(stream, errorCodes.noError)]);
}

/** RST_STREAM. */
export function resetFrame(stream: number, code: number): Buffer {
  return numberFrame(frameTypes.rstStream, stream, code);
}

/** Credit of the connection for octets that came and went no further. */
export function creditFrame(octets: number): Buffer {
  return numberFrame(frameTypes.windowUpdate, 0, octets);
}

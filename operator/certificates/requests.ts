// What the callers of a policy's pods were let ask for, as it stands in its status: what sidecars report, together with what an earlier leader had
// written, so that the list survives restarts. Pure.
import { ShapeBook } from '../../lib/api/requestshape.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { ObservedRequest, TLSPolicyStatus } from '../../lib/api/tlspolicy.ts';
import { mostRequests, type RequestSight } from '../control/requestbook.ts';
import { refreshMs } from './callers.ts';

/** A request to one service. */
export interface ServiceRequest extends RequestSight {
  readonly service: string;
}

/** What the status says of requests. */
export function requestsOf(
  before: TLSPolicyStatus | undefined,
  seen: readonly ServiceRequest[],
  now: Date,
): Pick<TLSPolicyStatus, 'requests' | 'requestsSince'> {
  const known = before?.requests ?? [];
  if (known.length === 0 && seen.length === 0) return {};
  const book = new ShapeBook<ObservedRequest>(mostRequests, together);
  for (const each of known) book.note(groupOf(each), each.path, each);
  for (const sight of seen) {
    const observed = observedOf(sight);
    const group = groupOf(observed);
    const entry = book.find(group, observed.path);
    const ageMs = entry === undefined ? refreshMs : sight.lastSeen.getTime() - Date.parse(entry.lastSeen);
    if (ageMs >= refreshMs) book.note(group, observed.path, observed);
  }
  const requests = book
    .shapes()
    .map(({ path, entry }) => withPath(entry, path))
    .sort((a, b) => keyOf(a).localeCompare(keyOf(b)));
  return { requestsSince: before?.requestsSince ?? rfc3339(now), requests };
}

/** The path of an entry may have become a pattern since. */
function withPath(request: ObservedRequest, path: string | undefined): ObservedRequest {
  const { path: _, ...rest } = request;
  return { ...rest, ...(path === undefined ? {} : { path }) };
}

function observedOf({ service, identity, port, method, host, path, count, firstSeen, lastSeen }: ServiceRequest) {
  return {
    service,
    ...(identity === '' ? {} : { identity }),
    port,
    method,
    ...(host === undefined ? {} : { host }),
    ...(path === undefined ? {} : { path }),
    requests: count,
    since: rfc3339(firstSeen),
    lastSeen: rfc3339(lastSeen),
  };
}

/** A count of this replica's own goes on from what was written before it began, or counts some of the same again: then the larger holds. */
function together(known: ObservedRequest, other: ObservedRequest): ObservedRequest {
  const [early, late] = known.since <= other.since ? [known, other] : [other, known];
  const goesOn = early.lastSeen < late.since;
  return {
    ...known,
    requests: goesOn ? early.requests + late.requests : Math.max(known.requests, other.requests),
    since: early.since,
    lastSeen: known.lastSeen > other.lastSeen ? known.lastSeen : other.lastSeen,
  };
}

function groupOf({ service, identity = '', port, method, host = '' }: Omit<ObservedRequest, 'path'>): string {
  return `${service} ${port} ${method} ${host} ${identity}`;
}

function keyOf(request: ObservedRequest): string {
  return `${String(request.port).padStart(5, '0')} ${groupOf(request)} ${request.path ?? ''}`;
}

// What callers were let ask for by the sidecars of each service, as they reported it since this replica runs. In memory and bounded: where there is too
// much to tell apart, paths become patterns (lib/api/requestshape.ts). Pure.
import type { RequestSeen } from '../../lib/api/control.ts';
import { ShapeBook } from '../../lib/api/requestshape.ts';

/** What a caller asked for. */
export interface RequestSight extends RequestSeen {
  readonly firstSeen: Date;
  readonly lastSeen: Date;
}

/** Most that is told apart of a service, and in a policy's status. */
export const mostRequests = 300;

/** Requests by service. */
export class RequestBook {
  readonly #services = new Map<string, ShapeBook<RequestSight>>();

  /** Takes in what one report says. */
  note(service: string, requests: readonly RequestSeen[], at: Date): void {
    if (requests.length === 0) return;
    const book = this.#services.get(service) ?? new ShapeBook<RequestSight>(mostRequests, together);
    this.#services.set(service, book);
    for (const { path, ...seen } of requests) book.note(groupOf(seen), path, { ...seen, firstSeen: at, lastSeen: at });
  }

  /** What was asked of a service. */
  of(service: string): readonly RequestSight[] {
    const shapes = this.#services.get(service)?.shapes() ?? [];
    return shapes.map(({ path, entry }) => ({ ...entry, ...(path === undefined ? {} : { path }) }));
  }
}

/** What tells requests apart beside their path. */
function groupOf({ identity, port, method, host = '' }: Omit<RequestSeen, 'path' | 'count'>): string {
  return `${port} ${method} ${host} ${identity}`;
}

function together(known: RequestSight, other: RequestSight): RequestSight {
  const first = known.firstSeen < other.firstSeen ? known : other;
  const last = known.lastSeen > other.lastSeen ? known : other;
  return { ...known, count: known.count + other.count, firstSeen: first.firstSeen, lastSeen: last.lastSeen };
}

// Who was let in by the sidecars of each service, as they reported it since this replica runs. In memory and bounded. Pure.
import type { CallerSeen } from '../../lib/api/control.ts';

/** A caller of a port. */
export interface CallerSight {
  /** SPIFFE ID; empty for whoever proved none. */
  readonly identity: string;
  readonly port: number;
  /** Connections since `firstSeen`. */
  readonly count: number;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
}

/** Most callers that are remembered per service; the one seen longest ago goes. */
const most = 300;

/** Callers by service. */
export class CallerBook {
  readonly #services = new Map<string, Map<string, CallerSight>>();

  /** Takes in what one report says. */
  note(service: string, callers: readonly CallerSeen[], at: Date): void {
    if (callers.length === 0) return;
    const known = this.#services.get(service) ?? new Map<string, CallerSight>();
    this.#services.set(service, known);
    for (const { identity, port, count } of callers) {
      const key = `${port} ${identity}`;
      const before = known.get(key);
      // Put in anew, so that the order of the map is the order of last sight.
      known.delete(key);
      const firstSeen = before?.firstSeen ?? at;
      known.set(key, { identity, port, count: (before?.count ?? 0) + count, firstSeen, lastSeen: at });
    }
    for (const key of known.keys()) {
      if (known.size <= most) break;
      known.delete(key);
    }
  }

  /** The callers of a service. */
  of(service: string): readonly CallerSight[] {
    return [...(this.#services.get(service)?.values() ?? [])];
  }
}

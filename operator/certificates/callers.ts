// Who was let in by the pods of a policy, as it stands in its status: what sidecars report, together with what an earlier leader had written, so
// that the list survives restarts. Pure.
import { rfc3339 } from '../../lib/api/time.ts';
import type { ObservedCaller, TLSPolicyStatus } from '../../lib/api/tlspolicy.ts';
import type { CallerSight } from '../control/callerbook.ts';

/** A caller of one service. */
export interface ServiceCaller extends CallerSight {
  readonly service: string;
}

/** Most callers in a status; those seen longest ago go first. */
const most = 300;
/** What is known already, of callers and of requests, is written anew only when it is older, so that busy services do not write a status every minute. */
export const refreshMs = 3_600_000;

/** What the status says of callers. */
export function callersOf(
  before: TLSPolicyStatus | undefined,
  seen: readonly ServiceCaller[],
  now: Date,
): Pick<TLSPolicyStatus, 'callers' | 'callersSince'> {
  const merged = new Map((before?.callers ?? []).map((each) => [keyOf(each), each]));
  for (const sight of seen) {
    const key = keyOf(sight);
    const known = merged.get(key);
    if (known === undefined || sight.lastSeen.getTime() - Date.parse(known.lastSeen) >= refreshMs) {
      merged.set(key, later(known, sight));
    }
  }
  const latest = [...merged.values()].sort(
    (a, b) => b.lastSeen.localeCompare(a.lastSeen) || keyOf(a).localeCompare(keyOf(b)),
  );
  const callers = latest.slice(0, most).sort((a, b) => keyOf(a).localeCompare(keyOf(b)));
  return { callersSince: before?.callersSince ?? rfc3339(now), ...(callers.length === 0 ? {} : { callers }) };
}

/** A count of this replica's own either goes on from what was written before it began, or counts some of the same again: then the larger holds. */
function later(known: ObservedCaller | undefined, sight: ServiceCaller): ObservedCaller {
  const { service, identity, port, count, firstSeen, lastSeen } = sight;
  const isNew = known === undefined || Date.parse(known.lastSeen) < firstSeen.getTime();
  const before = known?.connections ?? 0;
  return {
    service,
    ...(identity === '' ? {} : { identity }),
    port,
    connections: isNew ? before + count : Math.max(before, count),
    since: known?.since ?? rfc3339(firstSeen),
    lastSeen: rfc3339(lastSeen),
  };
}

function keyOf({ service, port, identity = '' }: Pick<ObservedCaller, 'service' | 'port' | 'identity'>): string {
  return `${service} ${String(port).padStart(5, '0')} ${identity}`;
}

// Where it stands who called a service that no TLSPolicy governs, so that there is no status to hold it: in a ConfigMap beside it, which the leading operator
// writes and `tabard authz suggest` reads. Pure.
import type { TLSPolicyStatus } from './tlspolicy.ts';

/** What was seen of callers, as in the status of a policy. */
export type SeenCallers = Pick<TLSPolicyStatus, 'callers' | 'callersSince' | 'requests' | 'requestsSince'>;

/** Label of the ConfigMaps, with the name of the service. */
export const callersLabel = 'tabard.dev/callers';

/** The member of their data. */
const member = 'seen.json';

/** Name of the ConfigMap of a service. */
export function callersMapName(service: string): string {
  return `tabard-callers-${service}`;
}

/** Data of a ConfigMap. */
export function callersData(seen: SeenCallers): Readonly<Record<string, string>> {
  return { [member]: JSON.stringify(seen) };
}

/** What a ConfigMap holds; nothing when it cannot be read. */
export function callersIn(data: Readonly<Record<string, string>> | undefined): SeenCallers {
  try {
    const value = JSON.parse(data?.[member] ?? '{}') as SeenCallers | null;
    const { callers = [], requests = [], callersSince, requestsSince } = value ?? {};
    if (!Array.isArray(callers) || !Array.isArray(requests)) return {};
    return {
      callers,
      requests,
      ...(callersSince === undefined ? {} : { callersSince }),
      ...(requestsSince === undefined ? {} : { requestsSince }),
    };
  } catch {
    return {};
  }
}

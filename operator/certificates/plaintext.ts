// Who lately came without TLS, as it stands in a policy's status: what sidecars report, together with what an earlier
// leader had written, so that the list survives a restart. Pure.
import type { TLSPolicyStatus } from '../../lib/api/tlspolicy.ts';

/** One caller on one port of one service. */
export interface PlaintextSight {
  readonly address: string;
  readonly service: string;
  /** Container port. */
  readonly port: number;
  readonly lastSeen: Date;
}

type Listed = NonNullable<TLSPolicyStatus['plaintextClients']>;

/** How long a caller stays listed after it was last seen. */
export const memoryMs = 7 * 86_400_000;
/** Most callers in a status; those seen longest ago go first. */
const most = 100;

/** Both lists as one, each caller once with the latest time, the latest first. Times are cut to minutes to write less. */
export function mergeClients(before: Listed | undefined, seen: readonly PlaintextSight[], now: Date): Listed {
  const merged = new Map<string, Listed[number]>();
  const sights = seen.map(({ address, service, port, lastSeen }) => ({
    address,
    service,
    port,
    lastSeen: minute(lastSeen),
  }));
  for (const client of [...(before ?? []), ...sights]) {
    const key = `${client.service} ${client.port} ${client.address}`;
    const known = merged.get(key);
    if (known === undefined || known.lastSeen < client.lastSeen) merged.set(key, client);
  }
  return [...merged.values()]
    .filter(({ lastSeen }) => Date.parse(lastSeen) > now.getTime() - memoryMs)
    .sort((a, b) => b.lastSeen.localeCompare(a.lastSeen) || keyOf(a).localeCompare(keyOf(b)))
    .slice(0, most);
}

function keyOf({ service, port, address }: Listed[number]): string {
  return `${service} ${port} ${address}`;
}

function minute(at: Date): string {
  return `${at.toISOString().slice(0, 16)}:00Z`;
}

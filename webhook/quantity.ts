// Kubernetes quantities of CPU and memory, as far as a proxy's resources need them: compared, and bounded.
// Exponents ("1e3") and units past G and Gi are not taken.

/** A request and, where one is wanted, a limit, as the user wrote them. */
export interface Share {
  readonly request: string;
  readonly limit?: string;
}

/** Which resource a share is of. */
export type ResourceName = 'cpu' | 'memory';

const memoryUnits: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

const bounds = {
  cpu: { request: [1, 64_000], limit: [10, 64_000] },
  memory: { request: [16 * 2 ** 20, 64 * 2 ** 30], limit: [64 * 2 ** 20, 64 * 2 ** 30] },
} as const;

/** What a share may be, in words for a message. */
export const acceptedShare: Readonly<Record<ResourceName, string>> = {
  cpu: 'a CPU request, or request/limit, such as "50m" or "50m/1" (request 1m to 64, limit 10m to 64, not below the request)',
  memory:
    'a memory request, or request/limit, such as "64Mi" or "64Mi/1Gi" (request 16Mi to 64Gi, limit 64Mi to 64Gi, not below the request)',
};

/** The amount in millicores or bytes; undefined for text that is no such quantity. */
export function amountOf(resource: ResourceName, text: string): number | undefined {
  if (resource === 'cpu') {
    const [, whole, milli] = /^(?:(\d{1,6}(?:\.\d{1,3})?)|(\d{1,9})m)$/.exec(text) ?? [];
    if (whole !== undefined) return Math.round(Number(whole) * 1000);
    return milli === undefined ? undefined : Number(milli);
  }
  const [, count, unit = ''] = /^(\d{1,15})(k|M|G|Ki|Mi|Gi)?$/.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * (memoryUnits[unit] ?? 1);
}

/** Reads `request` or `request/limit`; undefined when it is not acceptable. */
export function parseShare(resource: ResourceName, text: string): Share | undefined {
  const [request = '', limit, ...rest] = text.split('/');
  const wanted = within(amountOf(resource, request), bounds[resource].request);
  if (wanted === undefined || rest.length > 0) return undefined;
  if (limit === undefined) return { request };
  const most = within(amountOf(resource, limit), bounds[resource].limit);
  return most === undefined || most < wanted ? undefined : { request, limit };
}

/** A share whose limit, taken over from a default, is no lower than its request. */
export function withDefaultLimit(resource: ResourceName, share: Share, fallback: Share): Share {
  if (share.limit !== undefined || fallback.limit === undefined) return share;
  const enough = (amountOf(resource, fallback.limit) ?? 0) >= (amountOf(resource, share.request) ?? 0);
  return { request: share.request, limit: enough ? fallback.limit : share.request };
}

function within(amount: number | undefined, [least, most]: readonly [number, number]): number | undefined {
  return amount !== undefined && amount >= least && amount <= most ? amount : undefined;
}

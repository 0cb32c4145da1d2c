// The share of one worker in what the policy allows to the whole proxy. Pure.
import type { EffectivePolicy } from '../../lib/api/control.ts';

type Limits = EffectivePolicy['connections'];

/**
 * Divides what is counted over all connections; limits of one connection stay. Each worker has at least one connection. The kernel shares
 * connections out by chance, so that a worker may be full a little before all of them are.
 */
export function shareOf(workers: number): (limits: Limits) => Limits {
  const shares = new WeakMap<Limits, Limits>();
  return (limits) => {
    const known = shares.get(limits);
    if (known !== undefined) return known;
    const share = { ...limits, maxConcurrent: Math.max(1, Math.ceil(limits.maxConcurrent / workers)) };
    shares.set(limits, share);
    return share;
  };
}

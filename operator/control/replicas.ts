// Keeps every other replica informed of the reports that come to this one: sidecars are spread over the replicas, and the status of
// policies, which the leader writes, must be about all of them.
import type { Clock } from '../../lib/clock.ts';
import type { SocketAddress } from '../mesh/address.ts';
import { destinationKey } from '../mesh/address.ts';
import { informReplica, type ReplicaDeps } from './replicalink.ts';

export interface ReplicasDeps extends ReplicaDeps {
  readonly clock: Clock;
  /** Where replicas listen now, this one among them or not. */
  addresses(): readonly SocketAddress[];
}

/** How often it is looked which replicas there are, in milliseconds. */
const lookEveryMs = 1_000;

interface Running {
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/** Follows the set of replicas until the signal is aborted. */
export async function informReplicas(deps: ReplicasDeps, signal: AbortSignal): Promise<void> {
  const running = new Map<string, Running>();
  while (!signal.aborted) {
    const wanted = new Map(deps.addresses().map((at) => [destinationKey(at), at]));
    for (const [key, at] of wanted) {
      if (running.has(key)) continue;
      const stop = new AbortController();
      running.set(key, { stop, done: informReplica(at, deps, AbortSignal.any([signal, stop.signal])) });
    }
    for (const [key, { stop }] of running) {
      if (wanted.has(key)) continue;
      stop.abort();
      running.delete(key);
    }
    await deps.clock.sleep(lookEveryMs, signal).catch(() => undefined);
  }
  await Promise.all([...running.values()].map(({ done }) => done));
}

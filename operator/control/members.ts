// The pod that a client speaks for: the injected pod that owns the address it calls from, which must be of the service in its
// certificate. A pod that was not seen yet is waited for, since its sidecar may be up before the watch has told of it.
import type { Clock } from '../../lib/clock.ts';
import type { Identity } from '../../lib/pki/identity.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { MeshPod } from '../mesh/workloads.ts';

/** Who calls. */
export interface Caller {
  /** Source address, canonical. */
  readonly address: string;
  readonly identity: Identity;
}

/** The outcome: `address_unknown` = no injected pod has the address; `address_mismatch` = one of another service does. */
export type Member =
  | { readonly ok: true; readonly pod: MeshPod }
  | { readonly ok: false; readonly reason: 'address_unknown' | 'address_mismatch'; readonly detail: string };

export interface MembersDeps {
  readonly mesh: Pick<Mesh, 'podAt' | 'subscribe'>;
  readonly clock: Clock;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/** Finds pods for callers. */
export class Members {
  readonly #deps: MembersDeps;
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(deps: MembersDeps) {
    this.#deps = deps;
    const leave = deps.mesh.subscribe(({ addresses }) => {
      for (const address of addresses) for (const wake of this.#waiting.get(address) ?? []) wake();
    });
    deps.signal.addEventListener('abort', leave, { once: true });
  }

  /** The pod of a caller as far as it is known now. */
  now({ address, identity }: Caller): Member {
    const pod = this.#deps.mesh.podAt(address);
    if (pod === undefined) {
      return { ok: false, reason: 'address_unknown', detail: `no injected pod has the address ${address}` };
    }
    if (pod.namespace === identity.namespace && pod.service === identity.service) return { ok: true, pod };
    const owner = `${pod.namespace}/${pod.name} of service ${pod.service}`;
    return { ok: false, reason: 'address_mismatch', detail: `the address ${address} belongs to pod ${owner}` };
  }

  /** Waits until the caller's pod is seen, within the bound. Never rejects. */
  async find(caller: Caller): Promise<Member> {
    const first = this.now(caller);
    if (first.ok) return first;
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#deps.signal]);
    const late = this.#deps.clock.sleep(this.#deps.waitMs, signal).catch(() => undefined);
    try {
      return await Promise.race([this.#seen(caller, signal), late.then(() => this.now(caller))]);
    } finally {
      stop.abort();
    }
  }

  /** Resolves when a change of the address makes the caller a member; never, if none does. */
  #seen(caller: Caller, signal: AbortSignal): Promise<Member> {
    const { promise, resolve } = Promise.withResolvers<Member>();
    const wakes = this.#waiting.get(caller.address) ?? new Set<() => void>();
    this.#waiting.set(caller.address, wakes);
    const wake = (): void => {
      const member = this.now(caller);
      if (member.ok) resolve(member);
    };
    wakes.add(wake);
    signal.addEventListener(
      'abort',
      () => {
        wakes.delete(wake);
        if (wakes.size === 0 && this.#waiting.get(caller.address) === wakes) this.#waiting.delete(caller.address);
      },
      { once: true },
    );
    return promise;
  }
}

// What this pod has been told about itself: the newest snapshot, and who wants to know when it changes.
import type { EffectivePolicy, SelfSnapshot } from '../../lib/api/control.ts';

/** Limits that hold until the policy is known. */
export const firstLimits: EffectivePolicy['connections'] = {
  maxAgeMs: 12 * 3_600_000,
  idleTimeoutMs: 3_600_000,
  handshakeTimeoutMs: 10_000,
  maxConcurrent: 10_000,
};

/** Holds the newest snapshot of this pod. */
export class SelfState {
  readonly #listeners = new Set<(self: SelfSnapshot) => void>();
  #current: SelfSnapshot | undefined;

  /** Undefined until a snapshot came from the control API or from disk. */
  current(): SelfSnapshot | undefined {
    return this.#current;
  }

  /** Takes over a snapshot; one of the same version changes nothing. */
  update(self: SelfSnapshot): void {
    if (this.#current?.version === self.version) return;
    this.#current = self;
    for (const listener of this.#listeners) listener(self);
  }

  /** Calls `listener`, which must not throw, after each change. */
  subscribe(listener: (self: SelfSnapshot) => void): void {
    this.#listeners.add(listener);
  }
}

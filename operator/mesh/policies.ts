// The effective policy of each pod, kept so that a change of a TLSPolicy touches only the pods for which it changes
// something. Pure but for the function it is given.
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { MeshPod } from './workloads.ts';

/** What holds for each pod, by uid. */
export class Policies {
  readonly #policyOf: (pod: MeshPod) => EffectivePolicy;
  readonly #known = new Map<string, { readonly policy: EffectivePolicy; readonly text: string }>();

  constructor(policyOf: (pod: MeshPod) => EffectivePolicy) {
    this.#policyOf = policyOf;
  }

  /** What holds for a pod; worked out on first use. */
  of(pod: MeshPod): EffectivePolicy {
    const known = this.#known.get(pod.uid);
    if (known !== undefined) return known.policy;
    const policy = this.#policyOf(pod);
    this.#known.set(pod.uid, { policy, text: JSON.stringify(policy) });
    return policy;
  }

  /** Works a pod's policy out again. True when it differs from what was known. */
  refresh(pod: MeshPod): boolean {
    const policy = this.#policyOf(pod);
    const text = JSON.stringify(policy);
    if (this.#known.get(pod.uid)?.text === text) return false;
    this.#known.set(pod.uid, { policy, text });
    return true;
  }

  /** Forgets a pod that is gone. */
  drop(uid: string): void {
    this.#known.delete(uid);
  }
}

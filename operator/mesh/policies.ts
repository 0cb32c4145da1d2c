// The effective policy of each pod, kept so that a change of a TLSPolicy touches only the pods for which it changes
// something. Pure but for the function it is given.
import type { Authentication } from '../../lib/api/authentication.ts';
import type { Authorization } from '../../lib/api/authorization.ts';
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { MeshPod } from './workloads.ts';

/** Rules and keys may be long and are one object as long as they are equal (rulebook.ts, tokenbook.ts); the rest is compared as text. */
interface Known {
  readonly policy: EffectivePolicy;
  readonly text: string;
  readonly authorization: Authorization | undefined;
  readonly authentication: Authentication | undefined;
}

function knownOf(policy: EffectivePolicy): Known {
  const { authorization, authentication, ...rest } = policy;
  return { policy, text: JSON.stringify(rest), authorization, authentication };
}

/** What holds for each pod, by uid. */
export class Policies {
  readonly #policyOf: (pod: MeshPod) => EffectivePolicy;
  readonly #known = new Map<string, Known>();

  constructor(policyOf: (pod: MeshPod) => EffectivePolicy) {
    this.#policyOf = policyOf;
  }

  /** What holds for a pod; worked out on first use. */
  of(pod: MeshPod): EffectivePolicy {
    const known = this.#known.get(pod.uid);
    if (known !== undefined) return known.policy;
    const policy = this.#policyOf(pod);
    this.#known.set(pod.uid, knownOf(policy));
    return policy;
  }

  /** Works a pod's policy out again. True when it differs from what was known. */
  refresh(pod: MeshPod): boolean {
    const next = knownOf(this.#policyOf(pod));
    const known = this.#known.get(pod.uid);
    const isSame = known?.authorization === next.authorization && known?.authentication === next.authentication;
    if (isSame && known?.text === next.text) return false;
    this.#known.set(pod.uid, next);
    return true;
  }

  /** Forgets a pod that is gone. */
  drop(uid: string): void {
    this.#known.delete(uid);
  }
}

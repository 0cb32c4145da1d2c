// The effective policy of an injected pod, from the policies of its namespace and from what the Services that select it say
// of their ports. Pure; the stores behind it are handed in.
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import type { Pod, Service } from '../../lib/kube/object.ts';
import { effectivePolicy } from '../../lib/policy/effective.ts';
import { portProtocols } from '../../lib/policy/protocols.ts';
import { governing } from '../../lib/policy/select.ts';
import { selects } from './services.ts';
import type { MeshPod } from './workloads.ts';

/** Where the objects are, as the stores hold them at the moment of asking. */
export interface PolicySources {
  policiesIn(namespace: string): readonly TLSPolicy[];
  servicesIn(namespace: string): readonly Service[];
  /** By `<namespace>/<name>`. */
  pod(key: string): Pod | undefined;
}

/** The function that a mesh asks for the policy of a pod (MeshDeps.policyOf). */
export function policySource(sources: PolicySources): (pod: MeshPod) => EffectivePolicy {
  return ({ namespace, name, labels }) => {
    const { policy } = governing(sources.policiesIn(namespace), labels);
    const services = sources.servicesIn(namespace).filter(({ spec }) => {
      const { selector = {} } = spec ?? {};
      return Object.keys(selector).length > 0 && selects(selector, labels);
    });
    return effectivePolicy(policy, portProtocols(services, podPorts(sources.pod(`${namespace}/${name}`))));
  };
}

/** Named target ports of a pod that is not in the store any more stay unresolved; nobody asks for long. */
function podPorts(pod: Pod | undefined): { readonly spec?: NonNullable<Pod['spec']> } {
  return pod?.spec === undefined ? {} : { spec: pod.spec };
}

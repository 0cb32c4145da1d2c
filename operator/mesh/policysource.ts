// The effective policy of an injected pod, from the policies of its namespace, the baselines and what the Services that select it
// say of their ports. Pure; the stores behind it are handed in.
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import type { Pod, Service } from '../../lib/kube/object.ts';
import { noFloor, raised } from '../../lib/policy/baseline.ts';
import { effectivePolicy } from '../../lib/policy/effective.ts';
import { portProtocols } from '../../lib/policy/protocols.ts';
import { governing } from '../../lib/policy/select.ts';
import type { Rulebook } from './rulebook.ts';
import { selects } from './services.ts';
import type { TokenBook } from './tokenbook.ts';
import type { MeshPod } from './workloads.ts';

/** Where the objects are, as the stores hold them at the moment of asking. */
export interface PolicySources {
  policiesIn(namespace: string): readonly TLSPolicy[];
  servicesIn(namespace: string): readonly Service[];
  /** By `<namespace>/<name>`. */
  pod(key: string): Pod | undefined;
}

/** What a cluster without baselines and rules has. */
const noRules: Pick<Rulebook, 'of' | 'floor'> = { of: () => undefined, floor: () => noFloor };

const noTokens: Pick<TokenBook, 'of'> = { of: () => undefined };

/** The function that a mesh asks for the policy of a pod (MeshDeps.policyOf). `rules` are authorization rules and the baselines' floor. */
export function policySource(
  sources: PolicySources,
  rules: Pick<Rulebook, 'of' | 'floor'> = noRules,
  tokens: Pick<TokenBook, 'of'> = noTokens,
): (pod: MeshPod) => EffectivePolicy {
  return ({ namespace, name, labels }) => {
    const { policy } = governing(sources.policiesIn(namespace), labels);
    const services = sources.servicesIn(namespace).filter(({ spec }) => {
      const { selector = {} } = spec ?? {};
      return Object.keys(selector).length > 0 && selects(selector, labels);
    });
    const spoken = portProtocols(services, podPorts(sources.pod(`${namespace}/${name}`)));
    const effective = raised(effectivePolicy(policy, spoken), rules.floor());
    const authorization = rules.of(policy);
    const authentication = tokens.of(policy);
    return {
      ...effective,
      ...(authentication === undefined ? {} : { authentication }),
      ...(authorization === undefined ? {} : { authorization }),
    };
  };
}

/** Named target ports of a pod that is not in the store any more stay unresolved; nobody asks for long. */
function podPorts(pod: Pod | undefined): { readonly spec?: NonNullable<Pod['spec']> } {
  return pod?.spec === undefined ? {} : { spec: pod.spec };
}

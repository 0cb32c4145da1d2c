// Whether a Service is of the mesh, from what stands behind it. Fails closed: once an injected pod of it was ready, pods
// without a sidecar serve only when all injected ones are on their way out. Pure.
import type { EndpointState } from './slices.ts';
import type { MeshPod } from './workloads.ts';

/** What stands behind an endpoint or address. */
export type Standing =
  | { readonly kind: 'mesh'; readonly pod: MeshPod }
  | { readonly kind: 'stale' } // an injected pod was meant, but it is gone or its address is another's
  | { readonly kind: 'unseen'; readonly untilMs: number } // a pod that may turn out to be injected
  | { readonly kind: 'outside' };

/** What one endpoint says about its Service: pods without a sidecar that serve or do not, and injected pods by where they are in life. */
export type Trait = 'bare ready' | 'bare' | 'unseen' | 'starting' | 'member' | 'leaving';

/** The trait of one endpoint. */
export function traitOf(standing: Standing, state: EndpointState): Trait {
  switch (standing.kind) {
    case 'outside':
      return state === 'ready' ? 'bare ready' : 'bare';
    case 'unseen':
      return 'unseen';
    case 'stale':
      return 'leaving';
    case 'mesh':
      if (standing.pod.leaving) return 'leaving';
      return standing.pod.starting && state !== 'ready' ? 'starting' : 'member';
  }
}

/**
 * Whether a Service is of the mesh, from the traits of its endpoints. `passing`: on its way in or out; only its pods without a
 * sidecar serve, and they are named one by one, because kube-proxy may send what is passed through to an injected pod.
 */
export function membership(traits: ReadonlySet<Trait>): 'ours' | 'passing' | 'outside' | 'undecided' | 'nobody' {
  if (traits.has('member')) return 'ours';
  const entering = traits.has('starting');
  const leaving = traits.has('leaving');
  if (traits.has('bare ready') && entering !== leaving) return 'passing';
  if (entering || leaving) return 'ours';
  if (traits.has('bare ready') || traits.has('bare')) return 'outside';
  return traits.has('unseen') ? 'undecided' : 'nobody';
}

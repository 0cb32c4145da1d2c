// A policy to begin with, for a service that none governs: it selects the pods of the service and nothing else, has the defaults that hold for them already,
// and what the operator has noted of their callers in place of a status.
import { labels } from '../lib/api/contract.ts';
import { callersIn, callersMapName, type SeenCallers } from '../lib/api/seencallers.ts';
import type { TLSPolicy } from '../lib/api/tlspolicy.ts';
import { isKube } from '../lib/kube/errors.ts';
import type { Pod } from '../lib/kube/object.ts';
import { resources } from '../lib/kube/resources.ts';
import type { AuthzView, ServicePods } from './authz.ts';
import type { Invocation } from './command.ts';
import { UsageError } from './command.ts';

/** What the operator has noted. Rejects with a KubeError. */
export async function seenOf({ namespace, service }: ServicePods, { cluster, signal }: Invocation) {
  try {
    const ref = { namespace, name: callersMapName(service) };
    return callersIn((await cluster().client.get(resources.configmaps, ref, { signal })).data);
  } catch (error) {
    if (isKube(error, 'NotFound')) return {};
    throw error;
  }
}

/** The policy. Throws a UsageError where no labels tell the service's pods from others. */
export function firstPolicy(to: ServicePods, view: AuthzView, seen: SeenCallers): TLSPolicy {
  const { namespace, service } = to;
  const others = view.services.filter((each) => each.namespace === namespace && each.service !== service);
  const matchLabels = selectorFor(
    to.pods,
    others.flatMap(({ pods }) => pods),
  );
  if (matchLabels === undefined)
    throw new UsageError(
      `no labels tell the pods of ${service} from those of other services: give them one, such as app`,
    );
  return {
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSPolicy',
    metadata: { name: service, namespace, uid: '', resourceVersion: '', creationTimestamp: '' },
    spec: { selector: { matchLabels } },
    status: seen,
  };
}

/** Labels that change with each version of a workload, or name one pod. */
const passing =
  /^(?:pod-template-hash|controller-revision-hash|pod-template-generation|statefulset\.kubernetes\.io\/|apps\.kubernetes\.io\/pod-index|batch\.kubernetes\.io\/|controller-uid|job-name|app\.kubernetes\.io\/version|version$|helm\.sh\/|topology\.kubernetes\.io\/)/;
/** Those that people select by, in this order. */
const usual: readonly string[] = ['app.kubernetes.io/name', 'app', 'k8s-app', 'name'];

/** One usual label where that is enough, else all that the pods have in common. */
function selectorFor(own: readonly Pod[], others: readonly Pod[]): Readonly<Record<string, string>> | undefined {
  const [first] = own;
  const common = Object.entries(first?.metadata.labels ?? {}).filter(
    ([name, value]) =>
      !passing.test(name) && name !== labels.injected && own.every(({ metadata }) => metadata.labels?.[name] === value),
  );
  const candidates = [...usual.map((name) => common.filter(([each]) => each === name)), common];
  const found = candidates.find(
    (chosen) =>
      chosen.length > 0 &&
      !others.some(({ metadata }) => chosen.every(([name, value]) => metadata.labels?.[name] === value)),
  );
  return found === undefined ? undefined : Object.fromEntries(found);
}

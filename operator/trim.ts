// What the caches keep of objects that are many and large: only what a part of the operator reads. Pure.
import { names } from '../lib/api/contract.ts';
import type { Node, Pod } from '../lib/kube/object.ts';

/** Written by kubectl apply, as large as the object itself. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

type Container = NonNullable<Pod['spec']>['containers'][number];

/** A pod without what only the kubelet needs: about a tenth of it is left. */
export function trimPod({ apiVersion, kind, metadata, spec, status }: Pod): Pod {
  const { [lastApplied]: _, ...annotations } = metadata.annotations ?? {};
  return {
    apiVersion,
    kind,
    metadata: { ...metadata, annotations },
    ...(spec === undefined
      ? {}
      : {
          spec: {
            containers: spec.containers.map(trimContainer),
            initContainers: (spec.initContainers ?? []).map(trimContainer),
            ...picked(spec, ['hostNetwork', 'nodeName', 'serviceAccountName']),
            ...certificateVolume(spec),
          },
        }),
    ...(status === undefined
      ? {}
      : { status: picked(status, ['phase', 'podIP', 'podIPs', 'startTime', 'conditions']) }),
  };
}

/** The volume of a certificate whose key the kubelet makes: by it such a pod is told from one that reads a Secret. */
function certificateVolume({ volumes = [] }: NonNullable<Pod['spec']>): Pick<NonNullable<Pod['spec']>, 'volumes'> {
  const kept = volumes.filter(
    ({ name, projected }) =>
      name === names.tlsVolume && projected?.sources?.some(({ podCertificate }) => podCertificate !== undefined),
  );
  return kept.length === 0 ? {} : { volumes: kept };
}

/** A node with its pod ranges alone. Its status changes every few minutes and lists every image. */
export function trimNode({ apiVersion, kind, metadata, spec }: Node): Node {
  const { name, uid, resourceVersion, creationTimestamp } = metadata;
  return {
    apiVersion,
    kind,
    metadata: { name, uid, resourceVersion, creationTimestamp },
    spec: spec === undefined ? {} : picked(spec, ['podCIDR', 'podCIDRs']),
  };
}

function trimContainer(container: Container): Container {
  return picked(container, ['name', 'ports', 'restartPolicy']) as Container;
}

function picked<T extends object, K extends keyof T>(object: T, names: readonly K[]): Pick<T, K> {
  const found = names.filter((name) => object[name] !== undefined).map((name) => [name, object[name]] as const);
  return Object.fromEntries(found) as Pick<T, K>;
}

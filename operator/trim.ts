// What the caches keep of objects that are many and large: only what a part of the operator reads. Ten thousand services with
// twenty thousand pods are to fit into 350 MB. Pure, but for the pool of shared texts.
import { GROUP, names, secretKeys } from '../lib/api/contract.ts';
import type { ObjectMeta } from '../lib/api/tlspolicy.ts';
import type { EndpointSlice, Node, Pod, Secret, Service } from '../lib/kube/object.ts';

/** Conditions of a pod that are read (operator/mesh/workloads.ts). */
const conditions = ['Ready', 'Initialized'] as const;

/** A pod without what only the kubelet needs: about a twentieth of it is left. Of its annotations our own are kept. */
export function trimPod({ apiVersion, kind, metadata, spec, status }: Pod): Pod {
  return {
    apiVersion,
    kind,
    metadata: trimMetadata(metadata),
    ...(spec === undefined
      ? {}
      : {
          spec: {
            containers: [],
            ...picked(spec, ['hostNetwork', 'nodeName', 'serviceAccountName']),
            ...certificateVolume(spec),
          },
        }),
    ...(status === undefined
      ? {}
      : { status: { ...picked(status, ['phase', 'podIP', 'podIPs', 'startTime']), ...conditionsOf(status) } }),
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

function conditionsOf({ conditions: all }: NonNullable<Pod['status']>): Pick<NonNullable<Pod['status']>, 'conditions'> {
  if (all === undefined) return {};
  const kept = conditions.flatMap((type) => {
    const found = all.find((each) => each.type === type);
    return found === undefined ? [] : [{ type, ...picked(found, ['status', 'lastTransitionTime']) }];
  });
  return { conditions: kept };
}

/** A Service without annotations, which are often as large as the Service itself. */
export function trimService({ metadata, ...rest }: Service): Service {
  return { ...rest, metadata: trimMetadata(metadata) };
}

/** An EndpointSlice with what decides where connections go. */
export function trimSlice({ metadata, endpoints, ...rest }: EndpointSlice): EndpointSlice {
  const kept = endpoints?.map((endpoint) => picked(endpoint, ['addresses', 'conditions', 'targetRef', 'nodeName']));
  // The API server writes null where there are no endpoints.
  return { ...rest, metadata: trimMetadata(metadata), endpoints: kept ?? [] };
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

/** Trims Secrets: one text for all that hold the same trust bundle. Make one per cache. */
export function secretTrimmer(): (secret: Secret) => Secret {
  const bundles = new Map<string, string>();
  return ({ metadata, data, ...rest }) => {
    const bundle = data?.[secretKeys.trustBundle];
    const shared = bundle === undefined ? {} : { [secretKeys.trustBundle]: pooled(bundles, bundle) };
    return {
      ...rest,
      metadata: trimMetadata(metadata),
      ...(data === undefined ? {} : { data: { ...data, ...shared } }),
    };
  };
}

/** Texts that are in use at one time; older ones may stay double for a while. */
const mostPooled = 64;

function pooled(pool: Map<string, string>, text: string): string {
  const known = pool.get(text);
  if (known !== undefined) return known;
  for (const oldest of pool.keys()) {
    if (pool.size < mostPooled) break;
    pool.delete(oldest);
  }
  pool.set(text, text);
  return text;
}

function trimMetadata(metadata: ObjectMeta): ObjectMeta {
  const ours = Object.entries(metadata.annotations ?? {}).filter(([name]) => name.startsWith(`${GROUP}/`));
  return {
    ...picked(metadata, ['name', 'namespace', 'uid', 'resourceVersion', 'generation', 'creationTimestamp']),
    ...picked(metadata, ['deletionTimestamp', 'labels', 'ownerReferences']),
    ...(ours.length === 0 ? {} : { annotations: Object.fromEntries(ours) }),
  };
}

function picked<T extends object, K extends keyof T>(object: T, names: readonly K[]): Pick<T, K> {
  const found = names.filter((name) => object[name] !== undefined).map((name) => [name, object[name]] as const);
  return Object.fromEntries(found) as Pick<T, K>;
}

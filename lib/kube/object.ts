// The shapes of Kubernetes objects as JSON, exactly as the API server sends them: times are strings, nothing is
// dropped, everything is read-only. The generated models of client-node lend their field names (types only).
import type {
  EventsV1Event,
  V1ConfigMap,
  V1CronJob,
  V1DaemonSet,
  V1Deployment,
  V1EndpointSlice,
  V1Job,
  V1Lease,
  V1MutatingWebhookConfiguration,
  V1Namespace,
  V1Node,
  V1Pod,
  V1ReplicaSet,
  V1Secret,
  V1Service,
  V1ServiceCIDR,
  V1StatefulSet,
  V1ValidatingWebhookConfiguration,
} from '@kubernetes/client-node';
import type { Condition } from '../api/conditions.ts';
import type { ObjectMeta } from '../api/tlspolicy.ts';

/** What every stored object has. `apiVersion` and `kind` are always set, also on the items of a list. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** The name of an object; `namespace` is absent for cluster-scoped kinds. */
export interface ObjectRef {
  readonly name: string;
  readonly namespace?: string;
}

/** An object to be written: any JSON with a name. `apiVersion` and `kind` are filled in from the resource. */
export interface KubeInput {
  readonly metadata: ObjectRef & Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** A model of client-node as it is on the wire: times are strings, all members read-only. */
export type Raw<T> = T extends Date
  ? string
  : T extends string | number | boolean | undefined | null
    ? T
    : T extends readonly (infer U)[]
      ? readonly Raw<U>[]
      : { readonly [K in keyof T]: Raw<T[K]> };

type Stored<T> = KubeObject & Raw<Omit<T, 'apiVersion' | 'kind' | 'metadata'>>;

export type Pod = Stored<V1Pod>;
export type Service = Stored<V1Service>;
export type EndpointSlice = Stored<V1EndpointSlice>;
export type Secret = Stored<V1Secret>;
export type ConfigMap = Stored<V1ConfigMap>;
export type Namespace = Stored<V1Namespace>;
export type KubeEvent = Stored<EventsV1Event>;
export type Lease = Stored<V1Lease>;
export type Node = Stored<V1Node>;
export type ServiceCIDR = Stored<V1ServiceCIDR>;
export type Deployment = Stored<V1Deployment>;
export type StatefulSet = Stored<V1StatefulSet>;
export type DaemonSet = Stored<V1DaemonSet>;
export type ReplicaSet = Stored<V1ReplicaSet>;
export type Job = Stored<V1Job>;
export type CronJob = Stored<V1CronJob>;
export type MutatingWebhookConfiguration = Stored<V1MutatingWebhookConfiguration>;
export type ValidatingWebhookConfiguration = Stored<V1ValidatingWebhookConfiguration>;

/** certificates.k8s.io/v1 (KEP-3257); the generated models know only its beta versions. */
export interface ClusterTrustBundle extends KubeObject {
  readonly spec: { readonly signerName?: string; readonly trustBundle: string };
}

/** certificates.k8s.io/v1 CertificateSigningRequest; `request` and `certificate` are base64 of PEM. */
export interface CertificateSigningRequest extends KubeObject {
  readonly spec: {
    readonly request: string;
    readonly signerName: string;
    readonly expirationSeconds?: number;
    readonly usages?: readonly string[];
    readonly username?: string;
  };
  readonly status?: {
    readonly certificate?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

/** authorization.k8s.io/v1 SelfSubjectAccessReview: a question whose answer is in what `create` returns. */
export interface SelfSubjectAccessReview extends KubeObject {
  readonly status?: { readonly allowed?: boolean };
}

/** certificates.k8s.io/v1 (KEP-4317), as far as a signer reads it; the generated models know only its beta versions. */
export interface PodCertificateRequest extends KubeObject {
  readonly spec: {
    readonly signerName: string;
    readonly podName: string;
    readonly podUID: string;
    readonly serviceAccountName: string;
    readonly serviceAccountUID: string;
    readonly nodeName: string;
    readonly nodeUID: string;
    readonly maxExpirationSeconds?: number;
    /** Base64 of DER. */
    readonly stubPKCS10Request?: string;
    readonly unverifiedUserAnnotations?: Readonly<Record<string, string>>;
  };
  readonly status?: {
    /** At most one of Issued, Denied and Failed, which is then final. */
    readonly conditions?: readonly Condition[];
    readonly certificateChain?: string;
    readonly notBefore?: string;
    readonly beginRefreshAt?: string;
    readonly notAfter?: string;
  };
}

/** The key of an object in stores and queues: `namespace/name`, or `name` alone when it is cluster-scoped. */
export function keyOf(ref: ObjectRef): string {
  return ref.namespace === undefined || ref.namespace === '' ? ref.name : `${ref.namespace}/${ref.name}`;
}

/** The object that a key names; the reverse of keyOf. */
export function refOf(key: string): ObjectRef {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

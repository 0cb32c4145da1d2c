// The kinds that Tabard reads or writes, and where the API server serves them. A descriptor carries the object's type,
// so that `client.get(resources.pods, ref)` is a Pod without a cast.
import { GROUP, VERSION } from '../api/contract.ts';
import type { TLSBaseline, TLSRole } from '../api/tlsbaseline.ts';
import type { TLSIssuer } from '../api/tlsissuer.ts';
import type { TLSPolicy } from '../api/tlspolicy.ts';
import type { TLSRevocation } from '../api/tlsrevocation.ts';
import type {
  CertificateSigningRequest,
  ClusterTrustBundle,
  ConfigMap,
  CronJob,
  DaemonSet,
  Deployment,
  EndpointSlice,
  Job,
  KubeEvent,
  KubeObject,
  Lease,
  MutatingWebhookConfiguration,
  Namespace,
  Node,
  ObjectRef,
  Pod,
  PodCertificateRequest,
  ReplicaSet,
  Secret,
  SelfSubjectAccessReview,
  Service,
  ServiceCIDR,
  StatefulSet,
  ValidatingWebhookConfiguration,
} from './object.ts';

declare const objectType: unique symbol;

/** One kind of the API. `group` is empty for the core group. */
export interface Resource<T extends KubeObject = KubeObject> {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Ask the server for metadata alone (PartialObjectMetadata): far less to send and to keep. */
  readonly metadataOnly?: boolean;
  /** Type-level only, never set: the type of the kind's objects. */
  readonly [objectType]?: T;
}

function define<T extends KubeObject>(
  apiVersion: string,
  plural: string,
  kind: string,
  scope: 'Namespaced' | 'Cluster' = 'Namespaced',
): Resource<T> {
  const [version = '', group = ''] = apiVersion.split('/').reverse();
  return Object.freeze({ group, version, plural, kind, namespaced: scope === 'Namespaced' });
}

/** Every resource that a part of Tabard uses, by its plural name. */
export const resources = Object.freeze({
  pods: define<Pod>('v1', 'pods', 'Pod'),
  services: define<Service>('v1', 'services', 'Service'),
  secrets: define<Secret>('v1', 'secrets', 'Secret'),
  configmaps: define<ConfigMap>('v1', 'configmaps', 'ConfigMap'),
  namespaces: define<Namespace>('v1', 'namespaces', 'Namespace', 'Cluster'),
  nodes: define<Node>('v1', 'nodes', 'Node', 'Cluster'),
  endpointslices: define<EndpointSlice>('discovery.k8s.io/v1', 'endpointslices', 'EndpointSlice'),
  events: define<KubeEvent>('events.k8s.io/v1', 'events', 'Event'),
  leases: define<Lease>('coordination.k8s.io/v1', 'leases', 'Lease'),
  servicecidrs: define<ServiceCIDR>('networking.k8s.io/v1', 'servicecidrs', 'ServiceCIDR', 'Cluster'),
  deployments: define<Deployment>('apps/v1', 'deployments', 'Deployment'),
  statefulsets: define<StatefulSet>('apps/v1', 'statefulsets', 'StatefulSet'),
  daemonsets: define<DaemonSet>('apps/v1', 'daemonsets', 'DaemonSet'),
  replicasets: define<ReplicaSet>('apps/v1', 'replicasets', 'ReplicaSet'),
  jobs: define<Job>('batch/v1', 'jobs', 'Job'),
  cronjobs: define<CronJob>('batch/v1', 'cronjobs', 'CronJob'),
  tlspolicies: define<TLSPolicy>(`${GROUP}/${VERSION}`, 'tlspolicies', 'TLSPolicy'),
  tlsissuers: define<TLSIssuer>(`${GROUP}/${VERSION}`, 'tlsissuers', 'TLSIssuer', 'Cluster'),
  tlsrevocations: define<TLSRevocation>(`${GROUP}/${VERSION}`, 'tlsrevocations', 'TLSRevocation', 'Cluster'),
  tlsbaselines: define<TLSBaseline>(`${GROUP}/${VERSION}`, 'tlsbaselines', 'TLSBaseline', 'Cluster'),
  tlsroles: define<TLSRole>(`${GROUP}/${VERSION}`, 'tlsroles', 'TLSRole', 'Cluster'),
  clustertrustbundles: define<ClusterTrustBundle>(
    'certificates.k8s.io/v1',
    'clustertrustbundles',
    'ClusterTrustBundle',
    'Cluster',
  ),
  certificatesigningrequests: define<CertificateSigningRequest>(
    'certificates.k8s.io/v1',
    'certificatesigningrequests',
    'CertificateSigningRequest',
    'Cluster',
  ),
  selfsubjectaccessreviews: define<SelfSubjectAccessReview>(
    'authorization.k8s.io/v1',
    'selfsubjectaccessreviews',
    'SelfSubjectAccessReview',
    'Cluster',
  ),
  podcertificaterequests: define<PodCertificateRequest>(
    'certificates.k8s.io/v1',
    'podcertificaterequests',
    'PodCertificateRequest',
  ),
  mutatingwebhookconfigurations: define<MutatingWebhookConfiguration>(
    'admissionregistration.k8s.io/v1',
    'mutatingwebhookconfigurations',
    'MutatingWebhookConfiguration',
    'Cluster',
  ),
  validatingwebhookconfigurations: define<ValidatingWebhookConfiguration>(
    'admissionregistration.k8s.io/v1',
    'validatingwebhookconfigurations',
    'ValidatingWebhookConfiguration',
    'Cluster',
  ),
});

/** The same resource, read as metadata alone. It must not be written through. */
export function metadataOf(resource: Resource): Resource {
  return Object.freeze({ ...resource, metadataOnly: true });
}

/** `group/version`, or `version` for the core group. */
export function apiVersionOf(resource: Resource): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/** The short name for messages, metrics and logs: `pods`, `tlspolicies.tabard.dev`. */
export function resourceName(resource: Resource): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

/**
 * The URL path of a collection (no name), an object, or its subresource. A namespaced resource without a namespace is
 * the collection of all namespaces.
 */
export function pathOf(resource: Resource, ref: Partial<ObjectRef> = {}, subresource?: string): string {
  const root = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const inNamespace = resource.namespaced && ref.namespace !== undefined;
  const parts = [
    ...(inNamespace ? ['namespaces', ref.namespace] : []),
    resource.plural,
    ...(ref.name === undefined ? [] : [ref.name]),
    ...(subresource === undefined ? [] : [subresource]),
  ];
  return `${root}/${parts.map(encodeURIComponent).join('/')}`;
}

// What injection adds to a pod: the redirect container, the sidecar, their volumes. Pure data from settings; nothing of
// the user's text is put anywhere but as a value that annotations.ts has checked.
import {
  env,
  type LogFormat,
  names,
  PROXY_UID,
  paths,
  ports,
  type RelayWish,
  spiffeId,
  type WorkersWish,
} from '../lib/api/contract.ts';
import type { RewrittenProbe } from '../lib/api/probes.ts';
import type { InjectionSettings, ProxyDefaults } from './annotations.ts';
import { type Json, type JsonObject, objectAt, valueAt } from './json.ts';
import type { ResourceName } from './quantity.ts';
import { tlsVolume } from './volume.ts';

/** What every injected pod gets alike (webhook/config.ts). */
export interface SidecarConfig {
  /** Tabard's own namespace. */
  readonly namespace: string;
  /** One image for the sidecar and the redirect container. */
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Names of pull secrets that the pod's namespace holds; added to the pod's own. */
  readonly imagePullSecrets: readonly string[];
  readonly trustDomain: string;
  /** host:port of the control API. */
  readonly controlAddress: string;
  /** Which relay sidecars use; `Auto` is not written, for it is what they do by themselves. */
  readonly relay: RelayWish;
  /** How many processes a sidecar has; what it takes by itself (`Auto`) is not written. */
  readonly workers?: WorkersWish;
  /** Whose names the fields of their logs have; OpenTelemetry's are what they write by themselves. */
  readonly logFormat?: LogFormat;
  readonly defaults: ProxyDefaults;
}

/** One pod's part. */
export interface SidecarRequest {
  readonly config: SidecarConfig;
  readonly service: string;
  readonly settings: InjectionSettings;
  readonly probes: readonly RewrittenProbe[];
  /** `spec.resources` of the pod: a budget for all containers together (KEP-2837). */
  readonly podResources: JsonObject | undefined;
  /** `terminationGracePeriodSeconds` of the pod. */
  readonly graceSeconds: number;
}

/** A container as it is added: `env` is apart because later passes bring it up to date by name. */
export interface Container extends JsonObject {
  readonly name: string;
  readonly env: readonly JsonObject[];
}

const startCommand = (entry: string, options: readonly string[] = []): Json => [
  '/usr/local/bin/node',
  '--disable-warning=ExperimentalWarning',
  ...options,
  `/app/${entry}.js`,
];

/** Each saves a few megabytes in every pod, and none costs speed that could be measured (docs/adr/0007-data-path.md). */
const smallHeap = ['--no-maglev', '--v8-pool-size=1', '--max-semi-space-size=2', '--expose-gc'];

/** How long a sidecar that no longer answers its liveness probe may take to end. */
const hungSeconds = 5;
/** Of the pod's grace period, what is left for the end after the last connection was drained. */
const stopSeconds = 5;

const hardened = {
  allowPrivilegeEscalation: false,
  privileged: false,
  readOnlyRootFilesystem: true,
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/**
 * Something mounted where the API server would mount the service account's token, in an empty folder of the state volume:
 * it then leaves the container without one (plugin/pkg/admission/serviceaccount). Neither container may use the Kubernetes API.
 */
const noToken = {
  name: names.stateVolume,
  mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
  subPath: 'no-token',
  readOnly: true,
} as const;

/** The init container that writes the capture rules: root, because only root keeps a capability, and NET_ADMIN alone. */
export function redirectContainer(request: SidecarRequest): Container {
  const { config, settings } = request;
  return {
    name: names.redirectContainer,
    ...image(config),
    command: startCommand('redirect'),
    env: [
      { name: env.logLevel, value: settings.logLevel },
      { name: env.excludeInboundPorts, value: settings.excludeInboundPorts.join(',') },
      { name: env.excludeOutboundPorts, value: settings.excludeOutboundPorts.join(',') },
      { name: env.excludeOutboundCidrs, value: settings.excludeOutboundCidrs.join(',') },
    ],
    resources: resourcesOf(request),
    securityContext: {
      ...hardened,
      capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
    },
    // The last lines of the log are the reason in `kubectl describe pod` when the rules cannot be written.
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [noToken],
  };
}

/** The sidecar: an init container that keeps running (KEP-753), so that it starts before and stops after the application. */
export function proxyContainer(request: SidecarRequest): Container {
  const { config } = request;
  return {
    name: names.proxyContainer,
    ...image(config),
    command: startCommand('sidecar', smallHeap),
    restartPolicy: 'Always',
    ports: [{ name: 'tabard-admin', containerPort: ports.admin, protocol: 'TCP' }],
    env: proxyEnv(request),
    resources: resourcesOf(request),
    // A second's period keeps the start short; two minutes are for a certificate or a control plane that is late.
    startupProbe: probe('/ready', { periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 120 }),
    readinessProbe: probe('/ready', { periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 2 }),
    // One that hangs cannot drain: it is to be back in seconds, not after the pod's whole grace period.
    livenessProbe: probe('/live', {
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6,
      terminationGracePeriodSeconds: hungSeconds,
    }),
    securityContext: {
      ...hardened,
      capabilities: { drop: ['ALL'] },
      runAsUser: PROXY_UID,
      runAsGroup: PROXY_UID,
      runAsNonRoot: true,
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: names.tlsVolume, mountPath: paths.tls, readOnly: true },
      { name: names.stateVolume, mountPath: paths.state },
      noToken,
    ],
  };
}

/** The volumes of a pod with a sidecar. */
export function volumesOf({
  service,
  settings,
}: Pick<SidecarRequest, 'service' | 'settings'>): readonly (JsonObject & { name: string })[] {
  return [
    tlsVolume({ service, delivery: settings.delivery, reader: 'sidecar' }),
    // In memory, so that nothing of it stays on the node, and so that cluster-autoscaler does not count it as local storage.
    { name: names.stateVolume, emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
  ];
}

function proxyEnv({ config, service, settings, probes, graceSeconds }: SidecarRequest): readonly JsonObject[] {
  const fromField = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  return [
    fromField(env.podName, 'metadata.name'),
    fromField(env.podNamespace, 'metadata.namespace'),
    fromField(env.podUid, 'metadata.uid'),
    fromField(env.podIps, 'status.podIPs'),
    { name: env.service, value: service },
    { name: env.trustDomain, value: config.trustDomain },
    { name: env.controlAddress, value: config.controlAddress },
    { name: env.controlIdentity, value: spiffeId(config.trustDomain, config.namespace, names.operator) },
    { name: env.logLevel, value: settings.logLevel },
    { name: env.drainSeconds, value: String(Math.max(0, graceSeconds - stopSeconds)) },
    ...(config.relay === 'Auto' ? [] : [{ name: env.relay, value: config.relay }]),
    ...(config.workers === undefined || config.workers === 'Auto'
      ? []
      : [{ name: env.workers, value: config.workers }]),
    ...(config.logFormat === 'ECS' ? [{ name: env.logFormat, value: config.logFormat }] : []),
    { name: env.probes, value: JSON.stringify(probes) },
  ];
}

function image(config: SidecarConfig): { readonly image: string; readonly imagePullPolicy: string } {
  return { image: config.image, imagePullPolicy: config.imagePullPolicy };
}

function probe(path: string, timing: Readonly<Record<string, number>>): JsonObject {
  return { httpGet: { path, port: ports.admin, scheme: 'HTTP' }, ...timing };
}

/**
 * Requests and limits. Where the pod has a budget of its own for a resource and no annotation asks, the container takes part in that
 * budget: a request or limit of its own could exceed it, and the API server would refuse the pod.
 */
function resourcesOf({ settings, podResources }: SidecarRequest): JsonObject {
  const requests: Record<string, string> = {};
  const limits: Record<string, string> = {};
  const budgeted = (resource: ResourceName) =>
    ['requests', 'limits'].some((kind) => valueAt(objectAt(podResources, kind), resource) !== undefined);
  const add = (resource: ResourceName, asked: boolean) => {
    if (!asked && budgeted(resource)) return;
    const share = settings[resource];
    requests[resource] = share.request;
    if (share.limit !== undefined) limits[resource] = share.limit;
  };
  add('cpu', settings.asksCpu);
  add('memory', settings.asksMemory);
  return {
    ...(Object.keys(requests).length > 0 ? { requests } : {}),
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
  };
}

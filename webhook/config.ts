// The webhook's settings, read once from its environment.
import { logFormats, names, ports, relayWishes, workersWishes } from '../lib/api/contract.ts';
import { ConfigReader, type Environment } from '../lib/runtime/config.ts';
import type { LogLevel } from '../lib/runtime/logger.ts';
import { proxyLogLevels } from './annotations.ts';
import type { SidecarConfig } from './container.ts';
import type { ServingSettings } from './material.ts';
import { acceptedShare, parseShare, type ResourceName, type Share } from './quantity.ts';

/** Everything that can be set. */
export interface WebhookConfig {
  /** TABARD_POD_NAME: the reporter of events. */
  readonly podName: string;
  /** TABARD_LOG_LEVEL, `info` by default. */
  readonly logLevel: LogLevel;
  /** TABARD_WEBHOOK_PORT and TABARD_ADMIN_PORT; 0 = any free port. */
  readonly port: number;
  readonly adminPort: number;
  /** TABARD_DRAIN: how long requests are still answered after the order to stop, 20s by default. */
  readonly drainMs: number;
  /**
   * What every injected pod gets: TABARD_NAMESPACE (Tabard's own), TABARD_IMAGE, TABARD_IMAGE_PULL_POLICY, TABARD_IMAGE_PULL_SECRETS,
   * TABARD_TRUST_DOMAIN, TABARD_CONTROL_ADDRESS, TABARD_PROXY_CPU, TABARD_PROXY_MEMORY, TABARD_PROXY_LOG_LEVEL, TABARD_PROXY_RELAY,
   * TABARD_PROXY_WORKERS.
   */
  readonly sidecar: SidecarConfig;
  /** TABARD_SERVING_NAMES (DNS names beside the Service's; none), TABARD_CA_LIFETIME 365d, TABARD_CERTIFICATE_LIFETIME 30d, TABARD_CA_OVERLAP 1h. */
  readonly serving: ServingSettings;
  /** TABARD_SERVING_PERIOD: how often the certificate is looked after when nothing is heard, 60s by default. */
  readonly servingPeriodMs: number;
  /** TABARD_SERVING_SETTLE: how long the API server gets to learn of a CA, 10s by default. */
  readonly servingSettleMs: number;
  /** KUBECONFIG: path of one kubeconfig file; without it the pod's service account is used. */
  readonly kubeconfig: string | undefined;
}

/** Reads the settings. Throws AppError `config_invalid` that names every faulty variable. */
export function readConfig(environment: Environment): WebhookConfig {
  const reader = new ConfigReader(environment);
  const namespace = reader.text('TABARD_NAMESPACE');
  const trustDomain = reader.text('TABARD_TRUST_DOMAIN', 'cluster.local');
  const clusterDomain = reader.text('TABARD_CLUSTER_DOMAIN', 'cluster.local');
  const control = `${names.operator}.${namespace}.svc.${clusterDomain}:${ports.control}`;
  const kubeconfig = reader.text('KUBECONFIG', '');
  return reader.finish({
    podName: reader.text('TABARD_POD_NAME'),
    logLevel: reader.level('TABARD_LOG_LEVEL'),
    port: reader.port('TABARD_WEBHOOK_PORT', ports.webhook, true),
    adminPort: reader.port('TABARD_ADMIN_PORT', ports.admin, true),
    drainMs: reader.durationMs('TABARD_DRAIN', '20s'),
    sidecar: {
      namespace,
      image: reader.text('TABARD_IMAGE'),
      imagePullPolicy: reader.choice('TABARD_IMAGE_PULL_POLICY', ['Always', 'IfNotPresent', 'Never'], 'IfNotPresent'),
      imagePullSecrets: reader.list('TABARD_IMAGE_PULL_SECRETS', '', faultOfName),
      trustDomain,
      controlAddress: reader.text('TABARD_CONTROL_ADDRESS', control),
      relay: reader.choice('TABARD_PROXY_RELAY', relayWishes, 'Auto'),
      workers: reader.choice('TABARD_PROXY_WORKERS', workersWishes, 'Auto'),
      logFormat: reader.choice('TABARD_PROXY_LOG_FORMAT', logFormats, 'OpenTelemetry'),
      defaults: {
        cpu: share(reader, 'TABARD_PROXY_CPU', 'cpu', '20m'),
        memory: share(reader, 'TABARD_PROXY_MEMORY', 'memory', '64Mi/1Gi'),
        logLevel: reader.choice('TABARD_PROXY_LOG_LEVEL', proxyLogLevels, 'info'),
      },
    },
    serving: {
      namespace,
      trustDomain,
      clusterDomain,
      extraNames: reader.list('TABARD_SERVING_NAMES', '', faultOfName),
      caLifetimeMs: reader.durationMs('TABARD_CA_LIFETIME', '365d'),
      certificateLifetimeMs: reader.durationMs('TABARD_CERTIFICATE_LIFETIME', '30d'),
      overlapMs: reader.durationMs('TABARD_CA_OVERLAP', '1h'),
    },
    servingPeriodMs: reader.durationMs('TABARD_SERVING_PERIOD', '60s'),
    servingSettleMs: reader.durationMs('TABARD_SERVING_SETTLE', '10s'),
    kubeconfig: kubeconfig === '' ? undefined : kubeconfig,
  });
}

function share(reader: ConfigReader, name: string, resource: ResourceName, fallback: string): Share {
  const text = reader.text(name, fallback);
  const found = parseShare(resource, text);
  return found ?? reader.fault(name, `is "${text}"; it takes ${acceptedShare[resource]}`, { request: text });
}

function faultOfName(item: string): string | undefined {
  return /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/.test(item) ? undefined : 'is no lower-case DNS name';
}

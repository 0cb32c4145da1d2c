// The operator's settings, read once from its environment.
import { ports } from '../lib/api/contract.ts';
import { ConfigReader, type Environment } from '../lib/runtime/config.ts';
import type { LogLevel } from '../lib/runtime/logger.ts';

/** Everything that can be set. */
export interface OperatorConfig {
  /** TABARD_NAMESPACE: Tabard's own namespace, where the CA and the lease are. */
  readonly namespace: string;
  /** TABARD_POD_NAME: unique among the replicas; the holder of the lease and the reporter of events. */
  readonly podName: string;
  /** TABARD_LOG_LEVEL, `info` by default. */
  readonly logLevel: LogLevel;
  /** TABARD_TRUST_DOMAIN of every identity, `cluster.local` by default. It cannot change while workloads run. */
  readonly trustDomain: string;
  /** TABARD_CLUSTER_DOMAIN of DNS names, `cluster.local` by default. */
  readonly clusterDomain: string;
  /** TABARD_MINIMUM_LIFETIME of a leaf, 10m by default; lower only for demonstrations and tests. */
  readonly minimumLifetimeMs: number;
  /** TABARD_FILE_DELIVERY: how long a kubelet may take to bring a Secret's content to a pod that does not report; 3m by default. */
  readonly fileDeliveryMs: number;
  /** TABARD_DEFAULT_ISSUER_CREATE and _LIFETIME: the TLSIssuer `cluster` is made, with a CA of this lifetime. */
  readonly defaultIssuer: { readonly lifetimeMs: number } | undefined;
  /** TABARD_CLUSTER_RANGES: CIDRs of pods and Services that the API server does not tell of, comma-separated. */
  readonly clusterRanges: readonly string[];
  /** TABARD_CONTROL_PORT of the control API; 0 = any free port. */
  readonly controlPort: number;
  /** TABARD_CRL_PORT of the revocation lists; 0 = any free port. */
  readonly crlPort: number;
  /** TABARD_ADMIN_PORT of /ready, /live and /metrics; 0 = any free port. */
  readonly adminPort: number;
  /** TABARD_TOKENS_FOLDER: tokens of the operator's service account for others than the API server, one file per audience. */
  readonly tokensFolder: string;
  /** TABARD_JWKS_HOSTS: names of the hosts that keys of token issuers may be fetched from, comma-separated; empty by default: any. */
  readonly jwksHosts: readonly string[];
  /** TABARD_LEASE_DURATION: how long a leader that is not heard of keeps the other replicas from leading; 15s by default, 1s at least. */
  readonly leaseMs: number;
  /** KUBECONFIG: path of one kubeconfig file; without it the pod's service account is used. */
  readonly kubeconfig: string | undefined;
}

/** Reads the settings. Throws AppError `config_invalid` that names every faulty variable. */
export function readConfig(environment: Environment): OperatorConfig {
  const reader = new ConfigReader(environment);
  const create = reader.flag('TABARD_DEFAULT_ISSUER_CREATE', true);
  const lifetimeMs = reader.durationMs('TABARD_DEFAULT_ISSUER_LIFETIME', '90d');
  const kubeconfig = reader.text('KUBECONFIG', '');
  return reader.finish({
    namespace: reader.text('TABARD_NAMESPACE'),
    podName: reader.text('TABARD_POD_NAME'),
    logLevel: reader.level('TABARD_LOG_LEVEL'),
    trustDomain: reader.text('TABARD_TRUST_DOMAIN', 'cluster.local'),
    clusterDomain: reader.text('TABARD_CLUSTER_DOMAIN', 'cluster.local'),
    minimumLifetimeMs: reader.durationMs('TABARD_MINIMUM_LIFETIME', '10m'),
    fileDeliveryMs: reader.durationMs('TABARD_FILE_DELIVERY', '3m'),
    defaultIssuer: create ? { lifetimeMs } : undefined,
    clusterRanges: reader.cidrs('TABARD_CLUSTER_RANGES', ''),
    controlPort: reader.port('TABARD_CONTROL_PORT', ports.control, true),
    crlPort: reader.port('TABARD_CRL_PORT', ports.crl, true),
    adminPort: reader.port('TABARD_ADMIN_PORT', ports.admin, true),
    tokensFolder: reader.text('TABARD_TOKENS_FOLDER', '/var/run/tabard/tokens'),
    jwksHosts: reader.list('TABARD_JWKS_HOSTS', ''),
    // The record tells it in whole seconds.
    leaseMs: Math.max(1_000, reader.durationMs('TABARD_LEASE_DURATION', '15s')),
    kubeconfig: kubeconfig === '' ? undefined : kubeconfig,
  });
}

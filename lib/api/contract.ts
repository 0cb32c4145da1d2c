// Names that two or more parts of Tabard must agree on: annotations, labels, ports, paths, Secret keys, environment.
// Pure constants; the design fixes them and users write some of them.

/** API group and version of all Tabard resources. */
export const GROUP = 'tabard.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** Annotations that users write on a workload, a pod template or a pod (and `injection` as a namespace label). */
export const annotations = {
  inject: 'tabard.dev/inject',
  service: 'tabard.dev/service',
  excludeInboundPorts: 'tabard.dev/exclude-inbound-ports',
  excludeOutboundPorts: 'tabard.dev/exclude-outbound-ports',
  excludeOutboundCidrs: 'tabard.dev/exclude-outbound-cidrs',
  proxyCpu: 'tabard.dev/proxy-cpu',
  proxyMemory: 'tabard.dev/proxy-memory',
  proxyLogLevel: 'tabard.dev/proxy-log-level',
  capture: 'tabard.dev/capture',
  delivery: 'tabard.dev/delivery',
  /** On a TLSIssuer: why its CA is to be rotated, or a rotation to be taken back. Each distinct text acts once. */
  rotate: 'tabard.dev/rotate',
  undoRotation: 'tabard.dev/undo-rotation',
  /** On a TLSIssuer: SHA-256 of the CA that nobody is to trust from now on, whatever breaks. */
  distrustNow: 'tabard.dev/distrust-now',
  /** On a TLSIssuer of kind acme: why its account key is to be replaced. Each distinct reason acts once. */
  rotateAccountKey: 'tabard.dev/rotate-account-key',
} as const;

/** Annotations that Tabard writes. */
export const written = {
  /** On an injected pod: the service it belongs to, decided at admission, never changed. Same key as the user's annotation. */
  service: 'tabard.dev/service',
  /** On an injected pod: version of the injector's result, also the mark by which a second injection is recognised. */
  injected: 'tabard.dev/injected',
  /** On a workload object: which annotations the webhook copied into its pod template, so that it can take them back. */
  copied: 'tabard.dev/copied',
  /** On a Secret: facts of the certificate in it (hex serial; RFC 3339 times; issuer name; fingerprint of inputs). */
  serial: 'tabard.dev/serial',
  notBefore: 'tabard.dev/not-before',
  notAfter: 'tabard.dev/not-after',
  renewAt: 'tabard.dev/renew-at',
  issuer: 'tabard.dev/issuer',
  /** Lifetime that was asked for, as a duration ("24h"): what the certificate has may be cut short by its CA's end. */
  lifetime: 'tabard.dev/lifetime',
  /** When the certificate was asked for, and why (a reason of an issue): the audit trail is made good by them after a crash. */
  issuedAt: 'tabard.dev/issued-at',
  issuedFor: 'tabard.dev/issued-for',
  /** Certificates that this one took the place of and that have not ended: `SERIAL/CA KEY ID/NOT AFTER`, comma-separated. */
  previousSerials: 'tabard.dev/previous-serials',
  /** On a Secret with keystores: what they hold (`SERIAL/BUNDLE FINGERPRINT`), and which password they take (`SECRET/KEY`). */
  keystores: 'tabard.dev/keystores',
  keystorePassword: 'tabard.dev/keystore-password',
  /** On the Secret of an ACME account key: the reason for which it was last replaced. */
  accountKeyReason: 'tabard.dev/account-key-reason',
} as const;

/** Labels. `injected` is on every injected pod, with one of `injectedKinds`: the operator watches by it. */
export const labels = {
  injection: 'tabard.dev/injection',
  injected: 'tabard.dev/injected',
  service: 'tabard.dev/service',
  /** On a namespace, `enabled`: it gets the trust bundle as a ConfigMap. */
  trustBundle: 'tabard.dev/trust-bundle',
  /** `true` on the Secret of an edge certificate. */
  edge: 'tabard.dev/edge',
  managedBy: 'app.kubernetes.io/managed-by',
} as const;

/** Values of the label `injected`: a pod with a sidecar, and one that has the certificate alone and terminates TLS itself. */
export const injectedKinds = ['true', 'certificate'] as const;

/** Whether a value of the label `injected` says that the webhook injected the pod. */
export function isInjectedKind(value: string | undefined): value is (typeof injectedKinds)[number] {
  return injectedKinds.some((kind) => kind === value);
}

/** Value of `app.kubernetes.io/managed-by` on everything that Tabard's processes write. */
export const MANAGED_BY = 'tabard';

/** Field managers of server-side apply, one per writer. */
export const fieldManagers = { operator: 'tabard-operator', webhook: 'tabard-webhook' } as const;

/** TCP ports (design section 3 and 4). */
export const ports = {
  outbound: 16001,
  inbound: 16006,
  control: 16010,
  /** Revocation lists, on the operator. */
  crl: 16012,
  admin: 16020,
  webhook: 16443,
} as const;

/** User and group of the sidecar; traffic of this uid is never captured. */
export const PROXY_UID = 1616;

/** Names of the containers and volumes that injection adds. */
export const names = {
  redirectContainer: 'tabard-redirect',
  proxyContainer: 'tabard-proxy',
  tlsVolume: 'tabard-tls',
  stateVolume: 'tabard-state',
  operator: 'tabard-operator',
  webhook: 'tabard-webhook',
  /** Secret in Tabard's namespace with the key of the `cluster` issuer's CA. */
  caSecret: 'tabard-ca',
  /** Secret in Tabard's namespace with the webhook's CA and serving certificate. */
  webhookSecret: 'tabard-webhook-tls',
  /** MutatingWebhookConfiguration, and the ValidatingWebhookConfiguration beside it. */
  webhookConfiguration: 'tabard-webhook',
  defaultIssuer: 'cluster',
} as const;

/** Where injected containers find things. */
export const paths = {
  tls: '/var/run/tabard/tls',
  state: '/var/run/tabard/state',
} as const;

/** The file with key and chain of a pod certificate (KEP-4317), which the kubelet writes below `paths.tls`. */
export const credentialBundleFile = 'credential-bundle.pem';

/** Keys of a certificate Secret (`kubernetes.io/tls`). */
export const secretKeys = { certificate: 'tls.crt', key: 'tls.key', trustBundle: 'ca.crt' } as const;

/** What is written for clients and servers without a sidecar. */
export const delivered = {
  /** ConfigMap with the trust bundle (key `ca.crt`) in namespaces that ask for it. */
  trustMap: 'tabard-trust',
  /** Signer of ClusterTrustBundles and PodCertificateRequests. */
  signerName: 'tabard.dev/mesh',
  /** Keys of a certificate Secret: PKCS#12 with key and chain, and with the trust bundle. */
  keystore: 'keystore.p12',
  truststore: 'truststore.p12',
} as const;

/** Names of the edge certificate's files in the certificate folder, beside those above; optional. */
export const edgeFiles = { certificate: 'edge.crt', key: 'edge.key' } as const;

/** Environment of the sidecar and the redirect container, set by the webhook. */
export const env = {
  podName: 'TABARD_POD_NAME',
  podNamespace: 'TABARD_POD_NAMESPACE',
  podUid: 'TABARD_POD_UID',
  /** Comma-separated, from status.podIPs. */
  podIps: 'TABARD_POD_IPS',
  service: 'TABARD_SERVICE',
  trustDomain: 'TABARD_TRUST_DOMAIN',
  /** host:port of the control API. */
  controlAddress: 'TABARD_CONTROL_ADDRESS',
  /** SPIFFE identity that the control API must show. */
  controlIdentity: 'TABARD_CONTROL_IDENTITY',
  logLevel: 'TABARD_LOG_LEVEL',
  /** How long connections may take to end after the order to stop. */
  drainSeconds: 'TABARD_DRAIN_SECONDS',
  /** Which relay carries bytes, one of `relayWishes`; unset means the first. */
  relay: 'TABARD_RELAY',
  /** How many processes share the data path, one of `workersWishes`; unset means the first. */
  workers: 'TABARD_WORKERS',
  /** Number of a further worker, for the process that the first one starts. */
  worker: 'TABARD_WORKER',
  /** Names of the fields in the sidecar's log, one of `logFormats`; unset means the first. */
  logFormat: 'TABARD_LOG_FORMAT',
  /** JSON: RewrittenProbe[] (lib/api/probes.ts). */
  probes: 'TABARD_PROBES',
  /** Comma-separated ports and CIDRs that the redirect leaves alone. */
  excludeInboundPorts: 'TABARD_EXCLUDE_INBOUND_PORTS',
  excludeOutboundPorts: 'TABARD_EXCLUDE_OUTBOUND_PORTS',
  excludeOutboundCidrs: 'TABARD_EXCLUDE_OUTBOUND_CIDRS',
} as const;

/** `Auto` takes the fast relay where it passes its test at the start, else the public one; `Public` always takes that. */
export const relayWishes = ['Auto', 'Public'] as const;
export type RelayWish = (typeof relayWishes)[number];

/** Most processes that share a sidecar's data path. */
export const MOST_WORKERS = 16;

/** `Auto` takes one process for each whole core of the container's CPU limit, and one where there is no limit; a number takes so many. */
export const workersWishes = [
  'Auto',
  '1',
  '2',
  '3',
  '4',
  '5',
  '6',
  '7',
  '8',
  '9',
  '10',
  '11',
  '12',
  '13',
  '14',
  '15',
  `${MOST_WORKERS}`,
] as const;
export type WorkersWish = (typeof workersWishes)[number];

/** Whose names the fields of the sidecar's log have: OpenTelemetry's semantic conventions, or the Elastic Common Schema. */
export const logFormats = ['OpenTelemetry', 'ECS'] as const;
export type LogFormat = (typeof logFormats)[number];

/** Namespaces that are never injected, whatever they ask for (Tabard's own comes on top). */
export const protectedNamespaces: readonly string[] = ['kube-system', 'kube-node-lease'];

/** ALPN protocol of one mTLS connection per application connection. */
export const ALPN_DIRECT = 'tabard-tcp/1';

/** ALPN protocol of a long-lived mTLS connection that carries application connections as streams (docs/tunnel-protocol.md). */
export const ALPN_TUNNEL = 'tabard/1';

/** ALPN protocol of an ACME CA that validates by TLS (RFC 8737 section 6.2). It is never agreed to for anything else. */
export const ALPN_ACME = 'acme-tls/1';

/** Whether an ALPN protocol is one of ours: only members of the mesh offer it. */
export function isMeshProtocol(protocol: string): boolean {
  return protocol.startsWith('tabard-') || protocol.startsWith('tabard/');
}

/** Name of the Secret that holds a service's certificate. Service names are DNS labels of at most 56 characters. */
export function certificateSecretName(service: string): string {
  return `tabard-${service}`;
}

/** Name of the Secret that holds a service's edge certificate. No service has a dot in its name, so no other Secret of ours has it. */
export function edgeSecretName(service: string): string {
  return `${certificateSecretName(service)}.edge`;
}

/** The SPIFFE ID of a service (design, "Identity"). */
export function spiffeId(trustDomain: string, namespace: string, service: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/svc/${service}`;
}

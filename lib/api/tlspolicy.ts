// Wire types of TLSPolicy as stored by the API server, defaults applied (crds/ holds the schema).
import type { AuthenticationSpec } from './authentication.ts';
import type { AuthorizationSpec } from './authorization.ts';
import type { Condition } from './conditions.ts';
import type { ForwardedHeader } from './control.ts';

/** How a port treats callers: both prove themselves, only the server does, both TLS and plaintext, or no TLS at all. */
export type Mode = 'Mutual' | 'ServerOnly' | 'Permissive' | 'Disabled';

/** What is spoken inside the TLS connection; Passthrough = the application speaks TLS itself. */
export type Protocol = 'TCP' | 'HTTP' | 'HTTP2' | 'GRPC' | 'Passthrough';

/** Key algorithms of a leaf certificate. */
export type KeyAlgorithm = 'ECDSA-P256' | 'ECDSA-P384' | 'RSA-2048' | 'RSA-3072' | 'RSA-4096' | 'Ed25519';

/** TLS key exchange groups by their IANA names. */
export type Group = 'X25519MLKEM768' | 'X25519' | 'P-256' | 'P-384';

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

/** A file beside the PEM files of a certificate Secret; its password stands in a Secret of the policy's namespace. */
export interface Keystore {
  readonly format: 'PKCS12';
  readonly passwordSecretRef: { readonly name: string; readonly key: string };
}

/** Durations are strings such as "24h" (lib/clock.ts parseDuration). */
export interface TLSPolicySpec {
  readonly selector?: LabelSelector;
  readonly mode?: Mode;
  readonly ports?: readonly { readonly port: number; readonly mode?: Mode; readonly protocol?: Protocol }[];
  readonly tls?: {
    readonly minVersion?: '1.2' | '1.3';
    readonly ciphers?: readonly string[];
    readonly groups?: readonly Group[];
  };
  readonly certificate?: {
    readonly issuer?: string;
    readonly lifetime?: string;
    readonly renewAt?: number;
    readonly key?: KeyAlgorithm;
    readonly delivery?: 'Secret' | 'PodCertificate';
    readonly dnsNames?: readonly string[];
    readonly keystores?: readonly Keystore[];
    /** Names of the issuer's sinks to which the certificate is published. */
    readonly sinks?: readonly string[];
  };
  /** A second certificate, for callers from outside: served by name to clients that are no members of the mesh. */
  readonly edge?: { readonly issuer: string; readonly dnsNames: readonly string[] };
  readonly revocation?: { readonly mode?: 'Hard' | 'Soft'; readonly maxAge?: string };
  readonly authentication?: AuthenticationSpec;
  readonly authorization?: AuthorizationSpec;
  readonly http?: {
    readonly hsts?: {
      readonly maxAge?: string;
      readonly includeSubDomains?: boolean;
      readonly preload?: boolean;
      readonly preloadConfirmation?: 'HardlyReversible';
    };
    readonly securityHeaders?: readonly { readonly name: string; readonly value: string }[];
    readonly clientCertificate?: {
      readonly headers?: readonly ForwardedHeader[];
      readonly trustedForwarders?: readonly string[];
    };
    readonly accessLog?: 'None' | 'Denied' | 'All';
    /** Requests with a field name that has `_` in it. Absent = Refuse. */
    readonly underscoresInHeaders?: 'Refuse' | 'Pass';
    /** With All: one in so many of what went well gets a line. */
    readonly accessLogOneIn?: number;
  };
  readonly connections?: {
    readonly maxAge?: string;
    readonly idleTimeout?: string;
    readonly handshakeTimeout?: string;
    readonly maxConcurrent?: number;
    readonly transport?: 'Tunnel' | 'Direct';
  };
}

/** One service that a policy governs. Times are RFC 3339; serial is upper-case hex without separators. */
export interface ServiceStatus {
  readonly name: string;
  readonly serial?: string;
  readonly notBefore?: string;
  readonly notAfter?: string;
  readonly renewAt?: string;
  readonly issuer?: string;
  /** PodCertificate: there is no serial, each pod has a certificate of its own; times are those of the first to come. */
  readonly delivery?: 'Secret' | 'PodCertificate';
  /** With delivery PodCertificate: different certificates of its pods that are valid. */
  readonly certificates?: number;
  readonly pods: number;
  readonly ready: boolean;
}

/** A caller as a policy's status names it. */
export interface ObservedCaller {
  /** The service that was called. */
  readonly service: string;
  /** SPIFFE ID; absent for callers that proved none. */
  readonly identity?: string;
  readonly port: number;
  /** At least so many connections, and streams of tunnels. */
  readonly connections: number;
  readonly since: string;
  readonly lastSeen: string;
}

/** What a caller was let ask for, as a policy's status names it. */
export interface ObservedRequest {
  /** The service that was called. */
  readonly service: string;
  /** SPIFFE ID; absent for callers that proved none. */
  readonly identity?: string;
  readonly port: number;
  readonly method: string;
  /** Absent: none was said, or none that a rule can name. */
  readonly host?: string;
  /** Canonical, or with a final `/*` where paths vary. Absent: paths without a canonical form. */
  readonly path?: string;
  /** At least so many. */
  readonly requests: number;
  readonly since: string;
  readonly lastSeen: string;
}

export interface TLSPolicyStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly services?: readonly ServiceStatus[];
  /** `<ready>/<all>` services, for the printer column. */
  readonly servicesReady?: string;
  /** Earliest notAfter of the services. */
  readonly expires?: string;
  readonly plaintextClients?: readonly {
    readonly address: string;
    readonly service: string;
    readonly port: number;
    readonly lastSeen: string;
  }[];
  /** Rules of `authorization`, in their order: since when each is watched, and when it last matched. */
  readonly rules?: readonly { readonly name: string; readonly since: string; readonly lastHit?: string }[];
  /** Since when `callers` is kept. */
  readonly callersSince?: string;
  /** Who was let in, for `tabard authz suggest`; those seen longest ago go first. */
  readonly callers?: readonly ObservedCaller[];
  /** Since when `requests` is kept. */
  readonly requestsSince?: string;
  /** What they were let ask for, where requests are read. */
  readonly requests?: readonly ObservedRequest[];
  /** True when a Permissive policy saw no plaintext client and could be Mutual. */
  readonly strictReady?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export interface TLSPolicy {
  readonly apiVersion: string;
  readonly kind: 'TLSPolicy';
  readonly metadata: ObjectMeta;
  readonly spec: TLSPolicySpec;
  readonly status?: TLSPolicyStatus;
}

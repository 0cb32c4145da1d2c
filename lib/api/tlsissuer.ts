// Wire types of TLSIssuer as stored by the API server, defaults applied (crds/ holds the schema). Every Secret and ConfigMap
// that an issuer names lies in Tabard's own namespace: the resource is cluster-scoped, and nobody else may feed it keys.
import type { Condition } from './conditions.ts';
import type { ObjectMeta } from './tlspolicy.ts';

/** A whole Secret of Tabard's own namespace. */
export interface SecretRef {
  readonly name: string;
}

/** One value in a Secret or ConfigMap of Tabard's own namespace. */
export interface KeyRef {
  readonly name: string;
  readonly key: string;
}

/** AWS Secrets Manager: where, and with which credentials (without a reference, those of the operator's environment). */
export interface AwsSecretsManager {
  readonly region: string;
  /** Another address than AWS's own. */
  readonly endpoint?: string;
  /** Keys `accessKeyId`, `secretAccessKey` and perhaps `sessionToken`. */
  readonly credentialsSecretRef?: SecretRef;
}

/** How the operator proves itself to Vault. Exactly one. */
export interface VaultAuth {
  readonly kubernetes?: { readonly role: string; readonly mountPath?: string; readonly audience?: string };
  readonly tokenSecretRef?: KeyRef;
}

/** A Vault server and how to reach it. */
export interface VaultServer {
  readonly server: string;
  readonly namespace?: string;
  /** Base64 of PEM; without it the system's roots are trusted. */
  readonly caBundle?: string;
  readonly timeout?: string;
  readonly auth: VaultAuth;
}

/** A CA that somebody else keeps: in a Secret (tls.crt, tls.key, ca.crt), or in AWS Secrets Manager as JSON of the same keys. */
export interface CaIssuerSpec {
  readonly secretRef?: SecretRef;
  readonly awsSecretsManager?: AwsSecretsManager & { readonly secretId: string };
}

/** The PKI secrets engine of Vault, mounted at `path`. */
export interface VaultIssuerSpec extends VaultServer {
  readonly path: string;
  readonly role: string;
}

/** One way to answer ACME challenges; exactly one kind. */
export interface AcmeSolver {
  /** Names that it is for, with everything below; empty = all. */
  readonly dnsZones?: readonly string[];
  readonly http01?: Readonly<Record<string, never>>;
  readonly tlsAlpn01?: Readonly<Record<string, never>>;
  readonly dns01?: {
    readonly rfc2136: {
      readonly nameserver: string;
      readonly tsigKeyName?: string;
      readonly tsigAlgorithm?: 'HMACSHA256' | 'HMACSHA384' | 'HMACSHA512';
      readonly tsigSecretRef?: KeyRef;
    };
  };
}

/** An ACME server (RFC 8555). */
export interface AcmeIssuerSpec {
  /** URL of the directory. */
  readonly server: string;
  readonly email?: string;
  /** Base64 of PEM; without it the system's roots are trusted. */
  readonly caBundle?: string;
  readonly profile?: string;
  /** Made if it is absent. */
  readonly accountKeySecretRef: SecretRef;
  readonly externalAccountBinding?: { readonly keyID: string; readonly keySecretRef: KeyRef };
  readonly solvers: readonly AcmeSolver[];
}

/** A signer behind certificates.k8s.io. */
export interface KubernetesCsrIssuerSpec {
  readonly signerName: string;
  /** Whether the operator approves its own requests. */
  readonly approve?: boolean;
  /** Base64 of PEM: the API does not tell which CA signs. */
  readonly caBundle: string;
}

/** A further root of trust; of this mesh's trust domain unless it names another. Exactly one of pem and configMapRef. */
export interface TrustRoot {
  readonly name: string;
  readonly pem?: string;
  readonly configMapRef?: KeyRef;
  readonly trustDomain?: string;
}

/** A place outside of the cluster to which certificates are published. Exactly one kind. */
export interface CertificateSink {
  readonly name: string;
  readonly awsSecretsManager?: AwsSecretsManager & { readonly prefix: string };
  readonly vaultKV?: VaultServer & { readonly mount: string; readonly prefix: string };
}

/** Exactly one of the kinds selfSigned, ca, vault, acme, kubernetesCSR. */
export interface TLSIssuerSpec {
  readonly selfSigned?: { readonly lifetime?: string };
  readonly ca?: CaIssuerSpec;
  readonly vault?: VaultIssuerSpec;
  readonly acme?: AcmeIssuerSpec;
  readonly kubernetesCSR?: KubernetesCsrIssuerSpec;
  readonly rotation?: { readonly paused?: boolean };
  readonly crl?: {
    readonly distributionPoint?: boolean;
    readonly importFrom?: { readonly configMapRef?: KeyRef; readonly url?: string };
  };
  readonly trust?: { readonly roots?: readonly TrustRoot[] };
  readonly sinks?: readonly CertificateSink[];
}

/** What a CA of an issuer does now: sign, wait for trust, or be trusted until the last leaf of it is gone. */
export type AuthorityRole = 'Active' | 'Next' | 'Retiring';

/** Step of a CA rotation (design section 5). */
export type RotationPhase = 'Idle' | 'Prepared' | 'Active' | 'Retiring';

/** How a rotation stands. Times are RFC 3339. */
export interface RotationStatus {
  readonly phase: RotationPhase;
  readonly reason?: string;
  readonly startedAt?: string;
  readonly phaseSince?: string;
  /** Who holds it up, as `namespace/pod: why`; at most 20. */
  readonly waitingFor?: readonly string[];
  readonly waitingCount?: number;
  readonly message?: string;
  /** Reasons of annotations that were acted on, so that each acts once. */
  readonly handledReasons?: readonly string[];
}

export interface TLSIssuerStatus {
  readonly conditions?: readonly Condition[];
  readonly caNotAfter?: string;
  readonly caFingerprint?: string;
  /** PEM of every CA that peers of this issuer's leaves must trust now. Every replica builds the mesh's bundle from these. */
  readonly trustBundle?: string;
  readonly authorities?: readonly {
    /** Subject key id, upper-case hex. */
    readonly keyId: string;
    /** SHA-256, lower-case hex. */
    readonly fingerprint: string;
    readonly notAfter: string;
    readonly role: AuthorityRole;
  }[];
  readonly rotation?: RotationStatus;
}

/** Cluster-scoped. */
export interface TLSIssuer {
  readonly apiVersion: string;
  readonly kind: 'TLSIssuer';
  readonly metadata: ObjectMeta;
  readonly spec: TLSIssuerSpec;
  readonly status?: TLSIssuerStatus;
}

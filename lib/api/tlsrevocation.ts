// Wire types of TLSRevocation as stored by the API server, defaults applied (crds/ holds the schema).
import type { Condition } from './conditions.ts';
import type { ObjectMeta } from './tlspolicy.ts';

/** Why a certificate is revoked, by the names of RFC 5280 section 5.3.1 (without removeFromCRL, which is for delta CRLs). */
export const revocationReasons = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  'privilegeWithdrawn',
  'aACompromise',
] as const;
export type RevocationReason = (typeof revocationReasons)[number];

/** Exactly one of identity, serial and pod. */
export interface TLSRevocationSpec {
  /** SPIFFE ID of a service. */
  readonly identity?: string;
  /** Upper-case hex without separators. */
  readonly serial?: string;
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid?: string };
  readonly reason?: RevocationReason;
  /** RFC 3339; from then on it no longer holds. */
  readonly until?: string;
  readonly comment?: string;
}

/** What the CA outside of the cluster that signed a certificate was told. */
export interface UpstreamRevocation {
  /** Upper-case hex. */
  readonly serial: string;
  /** Name of the TLSIssuer. */
  readonly issuer: string;
  /** `Pending`: it is told, again if need be. `NotPossible`: it will not be told any more. */
  readonly state: 'Pending' | 'Revoked' | 'NotPossible';
  readonly message: string;
  /** Base64 of its DER, while the CA may have to be shown it. */
  readonly certificate?: string;
}

export interface TLSRevocationStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  /** Number of the list in which sidecars were first told: those that report it or a higher one enforce this. */
  readonly number?: number;
  /** What serial or pod resolved to, upper-case hex. */
  readonly serials?: readonly string[];
  /** When the last of the sidecars enforced it, RFC 3339. */
  readonly enforcedAt?: string;
  readonly sidecars?: { readonly total: number; readonly enforcing: number };
  /** `<enforcing>/<total>`, for the printer column. */
  readonly enforced?: string;
  /** Sidecars that do not enforce it yet, as `namespace/pod`; at most 20. */
  readonly lagging?: readonly string[];
  /** Certificates of issuers outside of the cluster; at most 50. */
  readonly upstream?: readonly UpstreamRevocation[];
}

/** Cluster-scoped. */
export interface TLSRevocation {
  readonly apiVersion: string;
  readonly kind: 'TLSRevocation';
  readonly metadata: ObjectMeta;
  readonly spec: TLSRevocationSpec;
  readonly status?: TLSRevocationStatus;
}

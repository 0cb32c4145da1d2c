// Wire types of TLSBaseline and TLSRole as stored by the API server, defaults applied (crds/ holds the schemas).
import type { AuthorizationRule, AuthorizationTarget } from './authorization.ts';
import type { Condition } from './conditions.ts';
import type { Mode, ObjectMeta } from './tlspolicy.ts';

/** The floor below which no TLSPolicy may go. Several baselines all hold. */
export interface TLSBaselineSpec {
  /** True: tells in the status of policies what it would change, and logs and counts its rules; enforces nothing. */
  readonly audit?: boolean;
  /** Least strict mode of any port: Mutual before ServerOnly before Permissive before Disabled. */
  readonly mode?: Mode;
  readonly tls?: {
    readonly minVersion?: '1.2' | '1.3';
    /** IANA names of the cipher suites that may be used; absent or empty = all. */
    readonly ciphers?: readonly string[];
  };
  readonly certificate?: {
    /** Longest lifetime of a certificate, such as "7d". */
    readonly maxLifetime?: string;
  };
  /** Deny rules that are asked before those of any policy, on every injected pod. */
  readonly authorization?: { readonly rules?: readonly AuthorizationRule[] };
}

/** What became of a baseline, written by the operator. */
export interface TLSBaselineStatus {
  readonly observedGeneration?: number;
  /** Accepted, Ready. */
  readonly conditions?: readonly Condition[];
  /** Policies that it is stricter than, as `<namespace>/<name>`; the first of them. */
  readonly overrides?: readonly string[];
  /** How many there are. */
  readonly overridesCount?: number;
}

/** Cluster-scoped. */
export interface TLSBaseline {
  readonly apiVersion: string;
  readonly kind: 'TLSBaseline';
  readonly metadata: ObjectMeta;
  readonly spec: TLSBaselineSpec;
  readonly status?: TLSBaselineStatus;
}

/** What became of a role, written by the operator. */
export interface TLSRoleStatus {
  readonly observedGeneration?: number;
  /** Accepted, Ready. */
  readonly conditions?: readonly Condition[];
  /** Who refers to it, as `<Kind> <name>`; the first of them. */
  readonly usedBy?: readonly string[];
  /** How many there are. */
  readonly usedByCount?: number;
}

/** Permissions under a name, cluster-scoped. Rules refer to it (`roles`), so that what "metrics" means is written once. */
export interface TLSRole {
  readonly apiVersion: string;
  readonly kind: 'TLSRole';
  readonly metadata: ObjectMeta;
  readonly spec: { readonly permissions: readonly AuthorizationTarget[] };
  readonly status?: TLSRoleStatus;
}

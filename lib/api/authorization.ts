// Who may call what: rules as users write them in TLSPolicy, TLSBaseline and TLSRole, and what a sidecar is told of them.

/** Callers; every list that is given must match. */
export interface AuthorizationCaller {
  /** Names of services, in `namespaces`; without those, in the policy's own namespace. */
  readonly services?: readonly string[];
  readonly namespaces?: readonly string[];
  /** Names of service accounts, in `namespaces`; without those, in the policy's own namespace. */
  readonly serviceAccounts?: readonly string[];
  /** SPIFFE IDs, compared as they are. */
  readonly identities?: readonly string[];
  /** CIDRs of where the connection comes from. */
  readonly ipBlocks?: readonly string[];
}

/** What is called; every list that is given must match. */
export interface AuthorizationTarget {
  /** Container ports. */
  readonly ports?: readonly number[];
  /** From here on judged for each request, on ports that speak HTTP. Methods such as GET. */
  readonly methods?: readonly string[];
  /** Paths as they are, or with a final `/*` all that begin so. */
  readonly paths?: readonly string[];
  /** Names without port, or `*.` and a name for all that end so. */
  readonly hosts?: readonly string[];
  /** `<package>.<Service>/<Method>`, or `<package>.<Service>/*`; not beside `methods` and `paths`. */
  readonly grpcMethods?: readonly string[];
}

/** One rule. */
export interface AuthorizationRule {
  readonly name: string;
  readonly effect?: 'Allow' | 'Deny';
  /** Logged and counted, never enforced. */
  readonly audit?: boolean;
  /** One entry must match; absent or empty = anyone. */
  readonly from?: readonly AuthorizationCaller[];
  /** One entry, or one permission of `roles`, must match; both absent or empty = anything. */
  readonly to?: readonly AuthorizationTarget[];
  /** Names of TLSRoles. */
  readonly roles?: readonly string[];
  /** A condition on the request in CEL, which must hold, too. */
  readonly when?: string;
}

/** Rules of a policy: any Deny match denies; else if any Allow rule exists one must match; else allowed. */
export interface AuthorizationSpec {
  /** True: all of these rules are in audit mode. */
  readonly audit?: boolean;
  readonly rules?: readonly AuthorizationRule[];
}

/** Callers as a sidecar is told. Every member that is there must match. */
export interface CallerMatch {
  /** Names of services of the own trust domain; always together with `namespaces`, or meant in every namespace. */
  readonly services?: readonly string[];
  readonly namespaces?: readonly string[];
  /** SPIFFE IDs that stand for service accounts (lib/policy/authorization.ts). */
  readonly holders?: readonly string[];
  readonly identities?: readonly string[];
  readonly ipBlocks?: readonly string[];
}

/** Targets as a sidecar is told. Every member that is there must match; all but `ports` are judged for each request. */
export interface TargetMatch {
  readonly ports?: readonly number[];
  readonly methods?: readonly string[];
  /** Canonical paths, or with a final `/*`. */
  readonly paths?: readonly string[];
  readonly hosts?: readonly string[];
}

/** A rule as a sidecar is told. */
export interface RuleMatch {
  /** The rule's name in its policy; `<baseline>/<rule>` for one of a TLSBaseline. */
  readonly name: string;
  readonly effect: 'Allow' | 'Deny';
  readonly audit?: true;
  /** Absent = anyone; empty = nobody. */
  readonly from?: readonly CallerMatch[];
  /** Absent = anything; empty = nothing. */
  readonly to?: readonly TargetMatch[];
  /** A condition in CEL (lib/cel). */
  readonly when?: string;
}

/** Form of the rules that this version writes and reads. A reader that finds another lets nobody in. */
export const AUTHORIZATION_FORM = 1;

/** The rules for one pod in the order in which they are asked: Deny of baselines, Deny of the policy, Allow. */
export interface Authorization {
  readonly form: typeof AUTHORIZATION_FORM;
  readonly rules: readonly RuleMatch[];
}

/** What a rule did, as sidecars count it. */
export interface RuleHits {
  readonly name: string;
  /** `audited`: it matched, and was not enforced. */
  readonly outcome: 'allowed' | 'denied' | 'audited';
  readonly count: number;
}

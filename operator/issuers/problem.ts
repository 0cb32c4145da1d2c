// What can go wrong with an issuer outside of this process that signs for the mesh (Vault, a Kubernetes signer), as a closed list of
// reasons with what a person can do about each. Conditions, events, logs and docs/issuers.md use these words.
import { AppError } from '../../lib/errors.ts';

/** Every reason, with what to do. */
export const issuerHints = {
  NotChecked: 'it is looked at now',
  SpecInvalid: 'correct the TLSIssuer',
  Unreachable: 'check the address, DNS and network policies; it is tried again until it answers',
  ServerUntrusted: "set caBundle to the CA of the server's certificate",
  Sealed: 'unseal Vault; it is looked at again every few seconds',
  Throttled: 'the server asks to slow down; it is asked again when it allows',
  ServerFailed: "look into the server's own log; it is asked again",
  BadAnswer: 'the address may not be that of the API; check it and what stands in between',
  CredentialMissing: 'make the Secret, or have the token mounted by the chart (issuers.tokenAudiences)',
  Unauthorized: 'check the role of the auth method, or put a token that is still good into its Secret',
  Forbidden: 'let the policy of the token grant update on <path>/sign/<role>',
  NotFound: 'check path, namespace and auth mount of the TLSIssuer',
  RoleRefuses: 'let the role allow these names, or ask for others',
  AuthorityUnusable: "give the engine a CA certificate with its chain up to the root, as the role's issuer",
  AuthorityChanging: 'the signer has changed its CA; certificates of it are used as soon as every peer trusts it',
  CertificateNotAsAsked: 'what came back is not what was asked for and is not used; correct the role or the signer',
  Denied: 'somebody denied the request; its conditions say why',
  SignerFailed: "the signer gave the request up; look into the signer's log",
  NotApproved: 'approve the request, set approve: true, or run an approver for this signer',
  NotSigned: 'no signer answered; check that one runs for this signerName',
  NotRevoked: 'the certificate is refused by all sidecars all the same; it is tried again',
  RightMissing: 'let the chart give the operator the right: list the signer in issuers.signers',
} as const;

/** Why an issuer did not sign. */
export type IssuerReason = keyof typeof issuerHints;

/** Reasons that a later try without any change of ours may overcome. */
const passing: ReadonlySet<IssuerReason> = new Set([
  'NotChecked',
  'Unreachable',
  'Sealed',
  'Throttled',
  'ServerFailed',
  'BadAnswer',
  'CredentialMissing',
  'Unauthorized',
  'AuthorityChanging',
  'SignerFailed',
  'NotApproved',
  'NotSigned',
  'NotRevoked',
]);

/** Reasons that concern the issuer as a whole and not one order: `state` says them until a look finds otherwise. */
const whole: ReadonlySet<IssuerReason> = new Set([
  'Unreachable',
  'ServerUntrusted',
  'Sealed',
  'CredentialMissing',
  'Unauthorized',
  'Forbidden',
  'NotFound',
  'AuthorityUnusable',
  'RightMissing',
]);

/** What else is known of a failure. */
export interface FailureDetails {
  readonly cause?: unknown;
  readonly retryAfterMs?: number | undefined;
}

/** A signer outside of this process that did not sign, with the reason of its family's closed list. */
export abstract class SignerError<Reason extends string = string> extends AppError {
  readonly reason: Reason;
  /** How long the server asked to stay away, milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: Reason,
    detail: string,
    { hint, retryable, cause, retryAfterMs }: FailureDetails & { readonly hint: string; readonly retryable: boolean },
  ) {
    super('issuer_failed', `${detail}; ${hint}`, { retryable, cause });
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** An issuer of the mesh that did not sign, with the reason. */
export class IssuerError extends SignerError<IssuerReason> {
  constructor(reason: IssuerReason, detail: string, details: FailureDetails = {}) {
    super(reason, detail, { ...details, hint: issuerHints[reason], retryable: passing.has(reason) });
    this.name = 'IssuerError';
  }

  /** Whether every other order would fail as well. */
  get concernsAll(): boolean {
    return whole.has(this.reason);
  }
}

/** Longest part of a server's own text that is repeated in conditions and logs. */
const longestDetail = 300;

/** A server's text as one bounded line. */
export function quoted(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, longestDetail);
}

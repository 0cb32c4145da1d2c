// What the audit trail records: the closed set of actions, one line each of what it means. Log consumers and alerts match on
// these words, so they are only ever added to.

/** Actions and what each says happened. */
export const auditActions = {
  CertificateIssued: 'a first certificate was signed and written',
  CertificateRenewed: 'a certificate was signed and written in place of another',
  CertificateRefused: 'no certificate is made although one is asked for',
  CertificateFailed: 'a try to sign or write a certificate failed; it is tried again',
  CertificateDeleted: 'a certificate that nobody uses was deleted',
  CertificateRevoked: 'an identity, a serial or a pod is refused from now on',
  RevocationLifted: 'a revocation was taken back or ran out',
  RevocationEnforced: 'every live sidecar enforces a revocation',
  CertificateRevokedUpstream: 'the CA outside of the cluster that signed a certificate revoked it',
  UpstreamRevocationFailed:
    'the CA outside of the cluster that signed a certificate did not revoke it; it is told again where that can help',
  CrlPublished: 'a revocation list was signed',
  CrlImported: 'a revocation list of a foreign CA was taken in',
  CrlRefused: 'a revocation list of a foreign CA was not taken in',
  CaCreated: 'a CA was made',
  CaPrepared: 'a next CA is in the trust bundle and does not sign yet',
  CaActivated: 'a CA signs from now on; the one before it is still trusted',
  CaRetired: 'a CA left the trust bundle',
  CaUndone: 'a rotation was taken back',
  CaPaused: 'a rotation waits until it is resumed',
  CaResumed: 'a paused rotation goes on',
  CaDistrusted: 'a CA left the trust bundle at once, by order',
  CaRefused: 'a CA that was offered is not used; the one in use stays',
  TrustChanged: 'roots of another trust domain came into or left what peers trust',
  AccountKeyChanged: 'the key of an ACME account was replaced',
  SinkWritten: 'a certificate was published to a store outside the cluster',
  SinkFailed: 'a certificate could not be published to a store outside the cluster',
} as const;

/** One of the actions. */
export type AuditAction = keyof typeof auditActions;

/** Those after which a person may have to act; they are logged as warnings. */
export const alarming: ReadonlySet<AuditAction> = new Set<AuditAction>([
  'CertificateRefused',
  'CertificateFailed',
  'CertificateRevoked',
  'UpstreamRevocationFailed',
  'CrlRefused',
  'CaDistrusted',
  'CaRefused',
  'SinkFailed',
]);

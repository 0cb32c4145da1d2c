// From the codes of Node and OpenSSL to the closed vocabulary of reasons. By code, never by message text; what is not
// listed is `malformed` when it is OpenSSL's own and `reset` otherwise. Pure.
import type { Reason } from '../../lib/api/reasons.ts';
import { systemCode } from '../../lib/errors.ts';

/** A failed handshake or a failed TLS connection in our words. */
export interface TlsFailure {
  readonly reason: Reason;
  /** True when the peer sent an alert: the reason is then what the peer says of us. */
  readonly told: boolean;
  /** The code that led here, for the log. */
  readonly code: string;
}

/** OpenSSL reason codes (openssl/sslerr.h) as Node prints them, without the `ERR_SSL_` in front. */
const local: Readonly<Record<string, Reason>> = {
  WRONG_VERSION_NUMBER: 'protocol_version',
  UNSUPPORTED_PROTOCOL: 'protocol_version',
  VERSION_TOO_LOW: 'protocol_version',
  VERSION_TOO_HIGH: 'protocol_version',
  INAPPROPRIATE_FALLBACK: 'protocol_version',
  NO_SHARED_CIPHER: 'no_shared_cipher',
  NO_SHARED_GROUP: 'no_shared_cipher',
  NO_SHARED_GROUPS: 'no_shared_cipher',
  NO_SUITABLE_KEY_SHARE: 'no_shared_cipher',
  NO_SUITABLE_GROUPS: 'no_shared_cipher',
  NO_SHARED_SIGNATURE_ALGORITHMS: 'no_shared_cipher',
  NO_SUITABLE_SIGNATURE_ALGORITHM: 'no_shared_cipher',
  NO_CIPHERS_AVAILABLE: 'no_shared_cipher',
  NO_CIPHERS_SPECIFIED: 'no_shared_cipher',
  UNKNOWN_GROUP: 'no_shared_cipher',
  WRONG_CURVE: 'no_shared_cipher',
  UNSUPPORTED_ELLIPTIC_CURVE: 'no_shared_cipher',
  PEER_DID_NOT_RETURN_A_CERTIFICATE: 'no_client_certificate',
  CERTIFICATE_VERIFY_FAILED: 'unknown_ca',
};

/** Alerts that the peer sent (RFC 8446 section 6.2), as OpenSSL names them. */
const alerts: Readonly<Record<string, Reason>> = {
  UNKNOWN_CA: 'unknown_ca',
  BAD_CERTIFICATE: 'identity_mismatch',
  UNSUPPORTED_CERTIFICATE: 'identity_mismatch',
  CERTIFICATE_UNKNOWN: 'identity_mismatch',
  ACCESS_DENIED: 'denied',
  CERTIFICATE_EXPIRED: 'expired',
  CERTIFICATE_REVOKED: 'revoked',
  CERTIFICATE_REQUIRED: 'no_client_certificate',
  PROTOCOL_VERSION: 'protocol_version',
  HANDSHAKE_FAILURE: 'no_shared_cipher',
  INSUFFICIENT_SECURITY: 'no_shared_cipher',
  NO_APPLICATION_PROTOCOL: 'protocol_version',
};

const alertForm = /^ERR_SSL_(?:TLSV1|TLSV13|SSLV3|TLS)_ALERT_([A-Z_]+)$/;

/** The failure behind an error of a TLS socket, before or after the handshake was done. */
export function tlsFailure(error: unknown): TlsFailure {
  const code = systemCode(error) ?? 'UNKNOWN';
  const alert = alertForm.exec(code)?.[1];
  if (alert !== undefined) return { reason: alerts[alert] ?? 'reset', told: true, code };
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return { reason: 'handshake_timeout', told: false, code };
  if (!code.startsWith('ERR_SSL_')) return { reason: 'reset', told: false, code };
  return { reason: local[code.slice('ERR_SSL_'.length)] ?? 'malformed', told: false, code };
}

/** X509 verification codes of OpenSSL (`authorizationError`) that are not `unknown_ca`. */
const verification: Readonly<Record<string, Reason>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not_yet_valid',
  CERT_REVOKED: 'revoked',
};

/** Why OpenSSL did not accept the peer's chain. */
export function verificationReason(code: string): Reason {
  return verification[code] ?? 'unknown_ca';
}

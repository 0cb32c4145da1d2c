import { describe, expect, test } from '@jest/globals';
import { reasonHints } from '../../../../lib/api/reasons.ts';
import { tlsFailure, verificationReason } from '../../../../sidecar/tls/reason.ts';

const failed = (code: string) => Object.assign(new Error('text that nobody may look at'), { code });

describe('tlsFailure', () => {
  test.each([
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'protocol_version', false],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'protocol_version', false],
    ['ERR_SSL_NO_SHARED_CIPHER', 'no_shared_cipher', false],
    ['ERR_SSL_NO_SUITABLE_KEY_SHARE', 'no_shared_cipher', false],
    ['ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS', 'no_shared_cipher', false],
    ['ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', 'no_client_certificate', false],
    ['ERR_SSL_UNEXPECTED_MESSAGE', 'malformed', false],
    ['ERR_SSL_HTTP_REQUEST', 'malformed', false],
    ['ERR_SSL_A_CODE_OF_TOMORROW', 'malformed', false],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'unknown_ca', true],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'expired', true],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED', 'revoked', true],
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'no_shared_cipher', true],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'no_client_certificate', true],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'protocol_version', true],
    ['ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 'reset', true],
    ['ERR_TLS_HANDSHAKE_TIMEOUT', 'handshake_timeout', false],
    ['ECONNRESET', 'reset', false],
    ['EPIPE', 'reset', false],
  ] as const)('%s is %s', (code, reason, told) => {
    expect(tlsFailure(failed(code))).toEqual({ reason, told, code });
    expect(reasonHints[reason]).not.toBe('');
  });

  test('anything else is a reset', () => {
    expect(tlsFailure(new Error('x'))).toEqual({ reason: 'reset', told: false, code: 'UNKNOWN' });
    expect(tlsFailure('x').reason).toBe('reset');
  });
});

describe('verificationReason', () => {
  test.each([
    ['CERT_HAS_EXPIRED', 'expired'],
    ['CERT_NOT_YET_VALID', 'not_yet_valid'],
    ['CERT_REVOKED', 'revoked'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'unknown_ca'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unknown_ca'],
    ['INVALID_PURPOSE', 'unknown_ca'],
    ['whatever comes', 'unknown_ca'],
  ])('%s is %s', (code, reason) => {
    expect(verificationReason(code)).toBe(reason);
  });
});

// What holds where no TLSPolicy says otherwise. The CRD states the same values as its defaults (a test compares them), so a
// stored policy is complete; these are for pods that no policy governs and for objects written before a field existed.
import { names } from '../api/contract.ts';
import type { EffectivePolicy } from '../api/control.ts';
import type { CertificateSettings } from './effective.ts';

const second = 1_000;
const hour = 3_600 * second;
const day = 24 * hour;

/** What holds while news of revocations does not arrive. */
export const defaultRevocation: NonNullable<EffectivePolicy['revocation']> = { mode: 'Soft', maxAgeMs: hour };

/** Connection handling of a pod that no policy governs. */
export const defaultPolicy: EffectivePolicy = {
  source: 'defaults',
  mode: 'Mutual',
  ports: [],
  tls: { minVersion: '1.3', ciphers: [], groups: ['X25519MLKEM768', 'X25519', 'P-256'] },
  connections: {
    maxAgeMs: 12 * hour,
    idleTimeoutMs: hour,
    handshakeTimeoutMs: 10 * second,
    maxConcurrent: 10_000,
    transport: 'Tunnel',
  },
  accessLog: 'Denied',
  revocation: defaultRevocation,
};

/** Certificate of a service that no policy governs. */
export const defaultCertificate: CertificateSettings = {
  issuer: names.defaultIssuer,
  lifetimeMs: day,
  renewAt: 66,
  key: 'ECDSA-P256',
  dnsNames: [],
  delivery: 'Secret',
};

/** Shortest and longest lifetime of a leaf. The shortest is a setting of the operator; demos and tests lower it. */
export const lifetimes = { shortestMs: 600 * second, longestMs: 90 * day } as const;

/** Shortest life of a pod certificate, from notBefore to notAfter: the API server takes none that is shorter (KEP-4317). */
export const shortestPodCertificateMs: number = hour;

/** Lifetime of a self-signed CA that Tabard makes, where its TLSIssuer states none. */
export const authorityLifetimeMs: number = 90 * day;

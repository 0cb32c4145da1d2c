// Certificates for tests: a real CA and real leaves, with sensible defaults and every field open to change.

import type { KeyAlgorithm } from '../../lib/api/tlspolicy.ts';
import { type Authority, createAuthority, issueLeaf, type LeafRequest } from '../../lib/pki/ca.ts';
import { generateKey, privateKeyPem } from '../../lib/pki/keys.ts';

/** A day in milliseconds: the default lifetime of test leaves. */
export const DAY_MS = 86_400_000;

/** A CA of trust domain `cluster.local`, ten years from now, unless said otherwise. */
export async function testAuthority(
  options: {
    readonly trustDomain?: string;
    readonly lifetimeMs?: number;
    readonly now?: Date;
    readonly key?: KeyAlgorithm;
  } = {},
): Promise<Authority> {
  return createAuthority({ trustDomain: 'cluster.local', lifetimeMs: 3_650 * DAY_MS, now: new Date(), ...options });
}

/** A leaf with its key, as the Secret of a service holds them. */
export interface TestLeaf {
  /** PEM. */
  readonly certificate: string;
  /** PKCS#8 PEM. */
  readonly key: string;
  /** PEM of the CA. */
  readonly bundle: string;
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SPIFFE URI. */
  readonly identity: string;
}

/** What a test may change of a leaf. */
export type LeafOptions = Partial<Omit<LeafRequest, 'authority' | 'publicKey' | 'identity'>> & {
  readonly namespace?: string;
  readonly service?: string;
  readonly key?: KeyAlgorithm;
};

/** A leaf of `authority` for service `web` of namespace `shop`, valid for a day from now, unless said otherwise. */
export async function testLeaf(authority: Authority, options: LeafOptions = {}): Promise<TestLeaf> {
  const { namespace = 'shop', service = 'web', key = 'ECDSA-P256', ...rest } = options;
  const { privateKey, publicKey } = await generateKey(key);
  const issued = issueLeaf({
    authority,
    publicKey,
    identity: { trustDomain: authority.trustDomain, namespace, service },
    dnsNames: [service, `${service}.${namespace}`, `${service}.${namespace}.svc`],
    now: new Date(),
    lifetimeMs: DAY_MS,
    ...rest,
  });
  return {
    ...issued,
    key: privateKeyPem(privateKey),
    bundle: authority.certificate,
    identity: `spiffe://${authority.trustDomain}/ns/${namespace}/svc/${service}`,
  };
}

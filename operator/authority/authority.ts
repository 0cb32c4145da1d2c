// The CA of issuer `cluster` as this replica knows it: read from its Secret, judged, and kept in memory. Every replica has
// one, to sign the certificate of its own control API and to hand out the trust bundle; only the leader's keeper writes. A
// Secret that becomes unreadable or vanishes never takes away a CA that was good.
import { X509Certificate } from 'node:crypto';
import { labels, MANAGED_BY, names, secretKeys } from '../../lib/api/contract.ts';
import { messageOf } from '../../lib/errors.ts';
import type { KubeInput, Secret } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { bundleFingerprint, formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import { type Authority, loadAuthority } from '../../lib/pki/ca.ts';
import { privateKeyPem } from '../../lib/pki/keys.ts';

/** A CA that can sign, and whom its mesh trusts. */
export interface TrustedAuthority {
  readonly authority: Authority;
  /** PEM of every CA that peers may chain to: this one, and what else the Secret's ca.crt holds. */
  readonly trustBundle: string;
  /** SHA-256 of that bundle as a set (lib/pki/bundle.ts). */
  readonly bundleFingerprint: string;
}

/** How the CA's Secret is found to be. */
export type SecretState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'good' }
  | { readonly kind: 'broken'; readonly message: string };

/** The CA for those who sign with it or hand out its bundle. */
export interface AuthoritySource {
  /** The newest CA that was good; undefined until the first one was seen. */
  current(): TrustedAuthority | undefined;
  /** Told of each new one, synchronously. Returns the function that ends it. */
  subscribe(listener: (current: TrustedAuthority) => void): () => void;
}

/** The CA as kept by one replica. */
export class ClusterAuthority implements AuthoritySource {
  readonly #namespace: string;
  readonly #trustDomain: string;
  readonly #listeners = new Set<(current: TrustedAuthority) => void>();
  #current: TrustedAuthority | undefined;
  #secret: SecretState = { kind: 'absent' };

  /** `namespace` is Tabard's own. */
  constructor(namespace: string, trustDomain: string) {
    this.#namespace = namespace;
    this.#trustDomain = trustDomain;
  }

  current(): TrustedAuthority | undefined {
    return this.#current;
  }

  /** How the Secret was when it was last seen. */
  get secret(): SecretState {
    return this.#secret;
  }

  subscribe(listener: (current: TrustedAuthority) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the CA's Secret in a store of Tabard's Secrets. Returns the function that ends it. */
  follow(secrets: Store<Secret>): () => void {
    return secrets.subscribe((before, after) => {
      const { name, namespace } = (after ?? before)?.metadata ?? {};
      if (name === names.caSecret && namespace === this.#namespace) this.offer(after);
    });
  }

  /** Takes the Secret as it is now; undefined = it is gone. What is not good leaves `current` as it was. */
  offer(secret: Secret | undefined): void {
    if (secret === undefined) {
      this.#secret = { kind: 'absent' };
      return;
    }
    try {
      this.#accept(trustedAuthority(secret, this.#trustDomain));
      this.#secret = { kind: 'good' };
    } catch (error) {
      this.#secret = { kind: 'broken', message: messageOf(error) };
    }
  }

  #accept(next: TrustedAuthority): void {
    const same =
      next.authority.fingerprint === this.#current?.authority.fingerprint &&
      next.bundleFingerprint === this.#current.bundleFingerprint;
    if (same) return;
    this.#current = next;
    for (const listener of this.#listeners) listener(next);
  }
}

/** The CA in a Secret. Throws AppError `pki_invalid` when it is not usable. */
export function trustedAuthority(secret: Secret, trustDomain: string): TrustedAuthority {
  const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  const authority = loadAuthority(text(secretKeys.certificate), text(secretKeys.key), trustDomain);
  const others =
    secret.data?.[secretKeys.trustBundle] === undefined ? [] : parseCertificates(text(secretKeys.trustBundle));
  // Its own certificate comes first, whatever ca.crt says: leaves must chain to the CA that signs them.
  const members = parseCertificates([authority.certificate, formatCertificates(others)].join('\n'));
  return { authority, trustBundle: formatCertificates(members), bundleFingerprint: bundleFingerprint(members) };
}

/** The Secret that holds a CA, to be created once. */
export function authoritySecret(namespace: string, { authority, trustBundle }: TrustedAuthority): KubeInput {
  const encoded = (text: string): string => Buffer.from(text).toString('base64');
  return {
    metadata: { name: names.caSecret, namespace, labels: { [labels.managedBy]: MANAGED_BY } },
    type: 'kubernetes.io/tls',
    data: {
      [secretKeys.certificate]: encoded(authority.certificate),
      [secretKeys.key]: encoded(privateKeyPem(authority.privateKey)),
      [secretKeys.trustBundle]: encoded(trustBundle),
    },
  };
}

/** A CA that was just made: trusted alone. */
export function newlyTrusted(authority: Authority): TrustedAuthority {
  const members = [new X509Certificate(authority.certificate)];
  return { authority, trustBundle: formatCertificates(members), bundleFingerprint: bundleFingerprint(members) };
}

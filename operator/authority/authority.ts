// The CAs of an issuer as this replica knows them: read from their Secret, judged, and kept in memory. Every replica has them,
// to sign the certificate of its own control API and to hand out the trust bundle; only the leader's keeper writes. A Secret
// that becomes unreadable, vanishes, or is exchanged by hand never takes away what was good.
import { names } from '../../lib/api/contract.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Secret } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { bundleFingerprint, formatCertificates } from '../../lib/pki/bundle.ts';
import type { Authority } from '../../lib/pki/ca.ts';
import {
  chainOf,
  type Generation,
  issuerOfSecret,
  madeGeneration,
  type Ring,
  readRing,
  ringSecretName,
} from './ring.ts';
import { firstRing } from './turn.ts';

/** A CA that can sign, and whom its mesh trusts. */
export interface TrustedAuthority {
  readonly authority: Authority;
  /** PEM that is served after a leaf: this CA and those above it, without roots. Empty for a CA that is a root. */
  readonly chain: string;
  /** PEM of every CA that peers may chain to: roots of this one, of the next, of the one before, and what else ca.crt holds. */
  readonly trustBundle: string;
  /** SHA-256 of that bundle as a set (lib/pki/bundle.ts). */
  readonly bundleFingerprint: string;
}

/** How the CA's Secret is found to be. */
export type SecretState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'good' }
  /** Somebody exchanged tls.crt and tls.key: what was there still signs, and this is offered. */
  | { readonly kind: 'exchanged'; readonly offered: Generation }
  | { readonly kind: 'broken'; readonly message: string };

/** The CA for those who sign with it or hand out its bundle. */
export interface AuthoritySource {
  /** The newest CA that was good; undefined until the first one was seen. */
  current(): TrustedAuthority | undefined;
  /** Told of each new one, synchronously. Returns the function that ends it. */
  subscribe(listener: (current: TrustedAuthority) => void): () => void;
}

/** The CAs of one issuer as kept by one replica. */
export class ClusterAuthority implements AuthoritySource {
  readonly secretName: string;
  readonly #namespace: string;
  readonly #trustDomain: string;
  readonly #listeners = new Set<(current: TrustedAuthority) => void>();
  #current: TrustedAuthority | undefined;
  #ring: Ring | undefined;
  #live: Secret['metadata'] | undefined;
  #secret: SecretState = { kind: 'absent' };

  /** `namespace` is Tabard's own; `issuer` the name of a TLSIssuer. */
  constructor(namespace: string, trustDomain: string, issuer: string = names.defaultIssuer) {
    this.#namespace = namespace;
    this.#trustDomain = trustDomain;
    this.secretName = ringSecretName(issuer);
  }

  current(): TrustedAuthority | undefined {
    return this.#current;
  }

  /** The newest CAs that were good, with their keys. */
  get ring(): Ring | undefined {
    return this.#ring;
  }

  /** How the Secret was when it was last seen. */
  get secret(): SecretState {
    return this.#secret;
  }

  /** Of the Secret as it was last seen; undefined when it was gone. */
  get live(): Secret['metadata'] | undefined {
    return this.#live;
  }

  subscribe(listener: (current: TrustedAuthority) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the CA's Secret in a store of Tabard's Secrets. Returns the function that ends it. */
  follow(secrets: Store<Secret>): () => void {
    return secrets.subscribe((before, after) => {
      const { name, namespace } = (after ?? before)?.metadata ?? {};
      if (name !== this.secretName || namespace !== this.#namespace) return;
      // A watch that is behind tells of an end that our own write has undone since.
      if (after === undefined && before?.metadata.uid !== this.#live?.uid) return;
      this.offer(after);
    });
  }

  /** Takes the Secret as it is now; undefined = it is gone. What is not good leaves `current` as it was. */
  offer(secret: Secret | undefined): void {
    if (secret !== undefined && isOlder(secret.metadata, this.#live)) return;
    this.#live = secret?.metadata;
    if (secret === undefined) {
      this.#secret = { kind: 'absent' };
      return;
    }
    try {
      const read = readRing(secret, this.#trustDomain);
      if (this.#ring !== undefined && isExchanged(read, this.#ring)) {
        this.#secret = { kind: 'exchanged', offered: read.active };
        return;
      }
      this.#secret = { kind: 'good' };
      this.#accept(read);
    } catch (error) {
      this.#secret = { kind: 'broken', message: messageOf(error) };
    }
  }

  #accept(ring: Ring): void {
    this.#ring = ring;
    const next = trustedBy(ring);
    const same =
      next.authority.fingerprint === this.#current?.authority.fingerprint &&
      next.bundleFingerprint === this.#current.bundleFingerprint;
    if (same) return;
    this.#current = next;
    for (const listener of this.#listeners) listener(next);
  }
}

/** The CAs of all issuers that keep them in Secrets, by the issuer's name. */
export class Authorities {
  readonly #namespace: string;
  readonly #trustDomain: string;
  readonly #known = new Map<string, ClusterAuthority>();

  constructor(namespace: string, trustDomain: string) {
    this.#namespace = namespace;
    this.#trustDomain = trustDomain;
  }

  /** The CAs of an issuer; nothing is in them until their Secret was seen. */
  of(issuer: string): ClusterAuthority {
    const known = this.#known.get(issuer);
    if (known !== undefined) return known;
    const made = new ClusterAuthority(this.#namespace, this.#trustDomain, issuer);
    this.#known.set(issuer, made);
    return made;
  }

  /** Follows all their Secrets in a store of Tabard's Secrets. Returns the function that ends it. */
  follow(secrets: Store<Secret>): () => void {
    return secrets.subscribe((before, after) => {
      const { name, namespace, uid } = (after ?? before)?.metadata ?? {};
      const issuer = namespace === this.#namespace ? issuerOfSecret(name ?? '') : undefined;
      if (issuer === undefined) return;
      const authority = this.of(issuer);
      if (after === undefined && uid !== authority.live?.uid) return;
      authority.offer(after);
    });
  }

  /** An issuer is gone for good: so is what was remembered of its CAs. */
  forget(issuer: string): void {
    this.#known.delete(issuer);
  }
}

/** Who signs by a ring, and whom its peers must trust. */
export function trustedBy({ active, trusted }: Ring): TrustedAuthority {
  return {
    authority: active.authority,
    chain: chainOf(active),
    trustBundle: formatCertificates(trusted),
    bundleFingerprint: bundleFingerprint(trusted),
  };
}

/** Another CA signs than the one in memory, and it was not a step of Tabard's that brought it. */
function isExchanged({ active, notes }: Ring, known: Ring): boolean {
  const { fingerprint } = active.authority;
  if (fingerprint === known.active.authority.fingerprint) return false;
  return notes.active !== fingerprint || notes.sequence <= known.notes.sequence;
}

/** Versions of one object are whole numbers that grow (KEP-5504); any other form counts as newer. */
function isOlder(next: Secret['metadata'], known: Secret['metadata'] | undefined): boolean {
  if (known === undefined || next.uid !== known.uid) return false;
  const versions = [next.resourceVersion, known.resourceVersion];
  if (!versions.every((each) => /^\d+$/.test(each))) return false;
  return BigInt(next.resourceVersion) < BigInt(known.resourceVersion);
}

/** A CA that was just made: trusted alone. */
export function newlyTrusted(authority: Authority): TrustedAuthority {
  return trustedBy(firstRing(madeGeneration(authority)));
}

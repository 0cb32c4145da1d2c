// The CAs that sign revocation lists: every one whose key lies in a Secret of Tabard's namespace, also the next and the previous one of a
// rotation, since certificates of each may be in use. No I/O.
import { X509Certificate } from 'node:crypto';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import type { Authority } from '../../../lib/pki/ca.ts';
import { pathFacts } from '../../../lib/pki/facts.ts';
import { issuerOfSecret, readRing } from '../../authority/ring.ts';

/** A CA with the TLSIssuer that it is of. */
export interface CrlAuthority {
  readonly issuer: string;
  readonly authority: Authority;
}

/** The CAs in a store of Tabard's Secrets. */
export class CrlAuthorities {
  readonly #secrets: Store<Secret>;
  readonly #namespace: string;
  readonly #trustDomain: string;
  readonly #seen = new WeakMap<Secret, readonly CrlAuthority[]>();

  /** `namespace` is Tabard's own. */
  constructor(secrets: Store<Secret>, namespace: string, trustDomain: string) {
    this.#secrets = secrets;
    this.#namespace = namespace;
    this.#trustDomain = trustDomain;
  }

  /** All of them, by key id (upper-case hex). What does not read signs nothing: its issuer's own condition says why. */
  all(): ReadonlyMap<string, CrlAuthority> {
    const found = new Map<string, CrlAuthority>();
    for (const secret of this.#secrets.list()) {
      if (!this.isOurs(secret)) continue;
      for (const each of this.#in(secret)) found.set(each.authority.keyId, each);
    }
    return found;
  }

  /** Whether a Secret holds CAs. */
  isOurs({ metadata }: Secret): boolean {
    return metadata.namespace === this.#namespace && issuerOfSecret(metadata.name) !== undefined;
  }

  #in(secret: Secret): readonly CrlAuthority[] {
    const seen = this.#seen.get(secret);
    if (seen !== undefined) return seen;
    const read = this.#read(secret, issuerOfSecret(secret.metadata.name) ?? '');
    this.#seen.set(secret, read);
    return read;
  }

  #read(secret: Secret, issuer: string): readonly CrlAuthority[] {
    try {
      const { active, next, previous } = readRing(secret, this.#trustDomain);
      return [active, next, previous].flatMap((each) =>
        each !== undefined && maySignLists(each.authority) ? [{ issuer, authority: each.authority }] : [],
      );
    } catch {
      return [];
    }
  }
}

/** A CA of somebody else may lack the key usage (cRLSign, bit 6): nobody would accept its list. */
function maySignLists({ certificate }: Authority): boolean {
  const { keyUsage } = pathFacts(new X509Certificate(certificate));
  return keyUsage === undefined || (keyUsage & 0x02) !== 0;
}

// Whom the mesh trusts: one bundle over all issuers, the same on every replica. It is made from what every replica watches (the
// CA's Secret and the status of TLSIssuers), never from what one of them asked an issuer, so that sidecars are told the same
// whichever replica they ask. Only additions and removals of whole CAs change it; order and repeats do not.
import type { X509Certificate } from 'node:crypto';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Store } from '../../lib/kube/store.ts';
import { bundleFingerprint, formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { AuthoritySource } from '../authority/authority.ts';

/** A set of CAs. */
export interface TrustBundle {
  /** Concatenated PEM. */
  readonly pem: string;
  /** SHA-256 of the set (lib/pki/bundle.ts). */
  readonly fingerprint: string;
  readonly members: readonly X509Certificate[];
}

/** The mesh's bundle for those who hand it out. */
export interface TrustSource {
  /** Undefined until the CA of the control plane is known. */
  current(): TrustBundle | undefined;
  /** Told of each new one, synchronously. Returns the function that ends it. */
  subscribe(listener: (current: TrustBundle) => void): () => void;
}

export interface MeshTrustDeps {
  readonly authority: AuthoritySource;
  readonly issuers: Store<TLSIssuer>;
  readonly logger: Logger;
}

/** A bundle of PEM texts, each CA once, in the order given. Throws AppError `pki_invalid` for a text that does not parse. */
export function bundleOf(texts: readonly string[]): TrustBundle {
  const members = parseCertificates(texts.join('\n'));
  return { pem: formatCertificates(members), fingerprint: bundleFingerprint(members), members };
}

/** Whether leaves of an issuer carry identities of the mesh, so that its CAs belong into the bundle. */
export function isMeshIssuer({ spec }: Pick<TLSIssuer, 'spec'>): boolean {
  return spec.acme === undefined;
}

/** The bundle as one replica knows it. */
export class MeshTrust implements TrustSource {
  readonly #deps: MeshTrustDeps;
  readonly #listeners = new Set<(current: TrustBundle) => void>();
  /** What each issuer contributed last, by name: a text that does not parse leaves it as it was. */
  readonly #contributions = new Map<string, string>();
  #current: TrustBundle | undefined;

  constructor(deps: MeshTrustDeps) {
    this.#deps = deps;
  }

  current(): TrustBundle | undefined {
    return this.#current;
  }

  subscribe(listener: (current: TrustBundle) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the CA and the issuers. Returns the function that ends it. */
  follow(): () => void {
    const { authority, issuers } = this.#deps;
    const ends = [
      issuers.subscribe((before, after) => {
        const name = (after ?? before)?.metadata.name ?? '';
        if (this.#contribute(name, after)) this.#make();
      }),
      authority.subscribe(() => this.#make()),
    ];
    this.#make();
    return () => {
      for (const end of ends) end();
    };
  }

  /** Whether the contribution of an issuer changed. */
  #contribute(name: string, issuer: TLSIssuer | undefined): boolean {
    const before = this.#contributions.get(name);
    const text = issuer === undefined || !isMeshIssuer(issuer) ? '' : (issuer.status?.trustBundle ?? '');
    if (text === (before ?? '')) return false;
    if (text === '') return this.#contributions.delete(name);
    try {
      parseCertificates(text);
    } catch (error) {
      this.#deps.logger.warn({ issuer: name, reason: messageOf(error) }, 'trust bundle of an issuer is not readable');
      return false;
    }
    this.#contributions.set(name, text);
    return true;
  }

  #make(): void {
    const own = this.#deps.authority.current();
    if (own === undefined) return;
    const others = [...this.#contributions].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
    const next = bundleOf([own.trustBundle, ...others]);
    if (next.fingerprint === this.#current?.fingerprint) return;
    this.#current = next;
    for (const listener of this.#listeners) listener(next);
  }
}

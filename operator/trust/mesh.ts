// Whom the mesh trusts: one bundle over all issuers, the same on every replica. It is made from what every replica watches (the
// CA's Secret and the status of TLSIssuers), never from what one of them asked an issuer, so that sidecars are told the same
// whichever replica they ask. Only additions and removals of whole CAs change it; order and repeats do not.
import type { X509Certificate } from 'node:crypto';
import { sameJson } from '../../lib/api/equal.ts';
import type { KeyRef, TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { ConfigMap } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { bundleFingerprint, formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { AuthoritySource } from '../authority/authority.ts';
import { ExternalRoots, type FederatedDomain, type RootsView } from './roots.ts';

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
  /** What roots that issuers name are read with; where it is not given, they are not read. */
  readonly roots?: {
    /** All of Tabard's own namespace. */
    readonly configMaps: Store<ConfigMap>;
    readonly namespace: string;
    readonly trustDomain: string;
    readonly clock: Pick<Clock, 'now'>;
  };
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
  readonly #roots = new ExternalRoots();
  readonly #rootListeners = new Set<() => void>();
  #rootsView: RootsView = { own: [], federated: [], faults: new Map() };
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

  /** Other trust domains whose members may be clients, in the order of their names. */
  federated(): readonly FederatedDomain[] {
    return this.#rootsView.federated;
  }

  /** What is wrong with the roots that an issuer names; a sentence for each. */
  rootFaults(issuer: string): readonly string[] {
    return this.#rootsView.faults.get(issuer) ?? [];
  }

  /** Told, synchronously, when other domains or faults of roots are others. Returns the function that ends it. */
  subscribeRoots(listener: () => void): () => void {
    this.#rootListeners.add(listener);
    return () => this.#rootListeners.delete(listener);
  }

  /** Resolves when every root that issuers name was looked for: before, a domain would seem not to be federated. */
  async complete(signal: AbortSignal): Promise<void> {
    const { issuers, roots } = this.#deps;
    await Promise.all([issuers.synced(signal), roots?.configMaps.synced(signal)]);
    this.#make();
  }

  /** Follows the CA, the issuers and the ConfigMaps that they name. Returns the function that ends it. */
  follow(): () => void {
    const { authority, issuers, roots } = this.#deps;
    const stop = new AbortController();
    this.complete(stop.signal).catch(() => undefined);
    const ends = [
      () => stop.abort(),
      issuers.subscribe((before, after) => {
        const name = (after ?? before)?.metadata.name ?? '';
        const hasOthers = before?.metadata.generation !== after?.metadata.generation;
        if (this.#contribute(name, after) || hasOthers) this.#make();
      }),
      authority.subscribe(() => this.#make()),
      ...(roots === undefined ? [] : [roots.configMaps.subscribe(() => this.#make())]),
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
    const issued = bundleOf([own.trustBundle, ...others]);
    const isNews = this.#readRoots(issued.members);
    const next = bundleOf([issued.pem, formatCertificates(this.#rootsView.own)]);
    if (next.fingerprint !== this.#current?.fingerprint) {
      this.#current = next;
      for (const listener of this.#listeners) listener(next);
    }
    if (isNews) for (const listener of this.#rootListeners) listener();
  }

  /** Whether other domains or faults are others than before. */
  #readRoots(mesh: readonly X509Certificate[]): boolean {
    const { issuers, roots, logger } = this.#deps;
    if (roots === undefined) return false;
    const { configMaps, namespace, trustDomain, clock } = roots;
    // Before it is complete, a ConfigMap that is there would be said to be missing.
    if (!issuers.hasSynced || !configMaps.hasSynced) return false;
    const text = ({ name, key }: KeyRef) => configMaps.get(`${namespace}/${name}`)?.data?.[key];
    const before = this.#rootsView;
    const next = this.#roots.read({ issuers: issuers.list(), text, mesh, trustDomain, now: clock.now() });
    this.#rootsView = next;
    if (sameJson(next.federated, before.federated) && sameJson([...next.faults], [...before.faults])) return false;
    const domains = next.federated.map((each) => each.trustDomain);
    logger.info({ domains, faults: [...next.faults.values()].flat() }, 'roots of trust read');
    return true;
  }
}

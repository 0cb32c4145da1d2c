// Keeps the newest credential generation: built from the certificate source and from what the control API says of this pod,
// swapped without touching a live connection. What cannot be built leaves the last good generation in place.
import type { SelfSnapshot } from '../../lib/api/control.ts';
import type { CertificateSource } from '../../lib/runtime/credentials.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { Generation, type GenerationParts, type RevocationView } from './generation.ts';

/** Settings of a CredentialKeeper. */
export interface CredentialKeeperOptions {
  readonly source: CertificateSource;
  readonly logger: Logger;
  /** What generations ask about peers. */
  readonly revocations?: RevocationView;
  /** Called for each set of parts that could not be built. */
  readonly onRejected?: () => void;
}

type Listener = (next: Generation, last: Generation | undefined) => void;

/** The part of a snapshot of this pod that a generation is built from. */
export type TrustSettings = Pick<SelfSnapshot, 'trustBundle' | 'retired' | 'trustDomain' | 'federated'> & {
  readonly tls: SelfSnapshot['policy']['tls'];
};

/** Holds the newest generation. */
export class CredentialKeeper {
  readonly #options: CredentialKeeperOptions;
  readonly #listeners = new Set<Listener>();
  #settings: TrustSettings | undefined;
  #current: Generation | undefined;

  constructor(options: CredentialKeeperOptions) {
    this.#options = options;
    options.source.subscribe(() => this.#rebuild());
  }

  /** The newest generation; undefined until certificate, bundle and policy are all known. It may have expired since. */
  current(): Generation | undefined {
    return this.#current;
  }

  /** Calls `listener` after each swap. */
  subscribe(listener: Listener): void {
    this.#listeners.add(listener);
  }

  /** Takes over bundle and TLS policy of this pod. */
  configure(settings: TrustSettings): void {
    this.#settings = settings;
    this.#rebuild();
  }

  #rebuild(): void {
    const credentials = this.#options.source.current();
    if (credentials === undefined || this.#settings === undefined) return;
    const parts: GenerationParts = { credentials, ...this.#settings };
    if (this.#current !== undefined && same(this.#current.parts, parts)) return;
    const next = this.#build(parts);
    if (next === undefined) return;
    const last = this.#current;
    this.#current = next;
    const { serial, notAfter, bundleFingerprint } = next;
    this.#options.logger.info(
      { serial, notAfter: notAfter.toISOString(), bundle: bundleFingerprint },
      'credentials in use',
    );
    for (const listener of this.#listeners) listener(next, last);
  }

  #build(parts: GenerationParts): Generation | undefined {
    try {
      return new Generation(parts, this.#options.revocations);
    } catch (err) {
      const { serial } = parts.credentials;
      this.#options.logger.error({ err, serial, kept: this.#current?.serial }, 'credentials cannot be used');
      this.#options.onRejected?.();
      return undefined;
    }
  }
}

function same(a: GenerationParts, b: GenerationParts): boolean {
  return (
    a.credentials.fingerprint === b.credentials.fingerprint &&
    a.trustBundle === b.trustBundle &&
    a.trustDomain === b.trustDomain &&
    JSON.stringify(a.federated ?? []) === JSON.stringify(b.federated ?? []) &&
    JSON.stringify(a.tls) === JSON.stringify(b.tls)
  );
}

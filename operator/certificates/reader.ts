// Reads the Secrets of certificates, each version once. What this process has just written it knows without parsing it again, as far as
// the API server answered with just that; whatever anybody else changed has another version and is read from the certificate itself.
import { secretKeys } from '../../lib/api/contract.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { constrainsNames } from '../../lib/pki/constraints.ts';
import { parseChain } from '../../lib/pki/pair.ts';
import { chainVerdict } from '../../lib/pki/verify.ts';
import { ParsedBundles } from './bundles.ts';
import { currentSecret, dataOf, type Made, recorded, secretType, serviceOf } from './secret.ts';
import type { CurrentSecret } from './snapshot.ts';

interface Read {
  readonly version: string;
  readonly trustBundle: string | undefined;
  readonly current: CurrentSecret;
}

/** So many Secrets were just written, at most, and come again by the watch as other objects of the same version. */
const justWritten = 1_000;
/** CAs whose leaves are known to be trusted. */
const mostPaths = 32;

/** Reads Secrets and remembers what was in each: the same version under the same bundle is parsed once. */
export class SecretReader {
  readonly #seen = new WeakMap<Secret, Read>();
  readonly #latest = new Map<string, Read>();
  readonly #bundles = new ParsedBundles();
  /** Bundles below which every leaf of a CA is trusted that this CA signed, by the CA's key id. */
  readonly #paths = new Map<string, string>();

  /** See `currentSecret`. */
  read(secret: Secret | undefined, trustBundle: string | undefined): CurrentSecret {
    if (secret === undefined) return { kind: 'absent' };
    const { uid, resourceVersion: version } = secret.metadata;
    const known = this.#seen.get(secret) ?? this.#latest.get(uid);
    const read =
      known?.version === version && known.trustBundle === trustBundle
        ? known
        : { version, trustBundle, current: this.#parsed(secret, trustBundle) };
    this.#keep(secret, read);
    return read.current;
  }

  /**
   * Takes note of what was just written: `secret` is the API server's answer. It is not parsed when it holds what was sent, and when an
   * earlier leaf of the same CA has shown that its leaves are trusted under this bundle.
   */
  written(secret: Secret, { input, facts }: Made, trustBundle: string): void {
    const { data = {}, metadata, immutable, type } = secret;
    const stored = [secretKeys.certificate, secretKeys.key, secretKeys.trustBundle];
    const asSent = stored.every((name) => data[name] !== undefined && data[name] === input.data[name]);
    if (!asSent || type !== secretType || immutable === true || serviceOf(secret) === undefined) return;
    if (facts.authorityKeyId === undefined || this.#paths.get(facts.authorityKeyId) !== trustBundle) return;
    const owners = metadata.ownerReferences ?? [];
    const current = { kind: 'held', facts, owners, trusted: true, ...recorded(secret, this.#bundles) } as const;
    this.#keep(secret, { version: metadata.resourceVersion, trustBundle, current });
  }

  /** Whether this version was read or written lately. */
  knows({ metadata }: Secret): boolean {
    return this.#latest.get(metadata.uid)?.version === metadata.resourceVersion;
  }

  #keep(secret: Secret, read: Read): void {
    const { uid } = secret.metadata;
    this.#seen.set(secret, read);
    this.#latest.delete(uid);
    this.#latest.set(uid, read);
    for (const oldest of this.#latest.keys()) {
      if (this.#latest.size <= justWritten) break;
      this.#latest.delete(oldest);
    }
  }

  #parsed(secret: Secret, trustBundle: string | undefined): CurrentSecret {
    const current = currentSecret(secret, trustBundle, this.#bundles);
    if (current.kind === 'held' && current.trusted && trustBundle !== undefined) {
      const { authorityKeyId } = current.facts;
      if (authorityKeyId !== undefined && this.#paths.get(authorityKeyId) !== trustBundle)
        this.#learn(secret, authorityKeyId, trustBundle);
    }
    return current;
  }

  /** A CA whose path limits DNS names may have leaves that are not trusted: those are all parsed. */
  #learn(secret: Secret, authorityKeyId: string, trustBundle: string): void {
    const chain = parseChain(dataOf(secret, secretKeys.certificate));
    const bundle = this.#bundles.of(trustBundle).members;
    const verdict = chainVerdict({ ...chain, bundle, now: chain.leaf.validFromDate });
    if (!verdict.ok || verdict.chain.slice(1).some((authority) => constrainsNames(authority, 'dns'))) return;
    if (this.#paths.size >= mostPaths) this.#paths.clear();
    this.#paths.set(authorityKeyId, trustBundle);
  }
}

// Trust bundles, parsed once each: ten thousand Secrets hold the same few texts.
import type { X509Certificate } from 'node:crypto';
import { bundleFingerprint, parseCertificates } from '../../lib/pki/bundle.ts';

/** A bundle that was parsed. */
export interface ParsedBundle {
  readonly members: readonly X509Certificate[];
  /** SHA-256 as a set (lib/pki/bundle.ts). */
  readonly fingerprint: string;
}

/** Bundles of several issuers, each before and after a change of it. */
const remembered = 32;

/** Parses, and remembers the texts used last. */
export class ParsedBundles {
  readonly #parsed = new Map<string, ParsedBundle>();

  /** The certificates of a PEM text. Throws AppError `pki_invalid` when it is no bundle. */
  of(pem: string): ParsedBundle {
    let parsed = this.#parsed.get(pem);
    if (parsed === undefined) {
      const members = parseCertificates(pem);
      parsed = { members, fingerprint: bundleFingerprint(members) };
    } else this.#parsed.delete(pem);
    this.#parsed.set(pem, parsed);
    for (const oldest of this.#parsed.keys()) {
      if (this.#parsed.size <= remembered) break;
      this.#parsed.delete(oldest);
    }
    return parsed;
  }
}

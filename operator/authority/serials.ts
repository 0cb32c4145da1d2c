// Which CA signed a certificate that a sidecar reports by its serial. The Secret tells for the newest; a sidecar may be one
// behind, and a certificate that a kubelet asked for lies in no Secret at all. Bounded, in memory.

/** Who signed one certificate. */
export interface SerialFacts {
  /** Name of the TLSIssuer. */
  readonly issuer: string;
  /** Subject key id of its CA, upper-case hex. */
  readonly keyId: string;
}

/** Most serials that are remembered; the ones noted longest ago go. */
const mostSerials = 100_000;

/** Serials (upper-case hex) with who signed them. */
export class SignedSerials {
  readonly #known = new Map<string, SerialFacts>();

  /** This certificate was signed by that CA. */
  note(serial: string, issuer: string, keyId: string): void {
    if (this.#known.get(serial)?.keyId === keyId) return;
    this.#known.set(serial, { issuer, keyId });
    if (this.#known.size <= mostSerials) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
  }

  /** Who signed it; undefined when it was not noted, or long ago. */
  of(serial: string): SerialFacts | undefined {
    return this.#known.get(serial);
  }
}

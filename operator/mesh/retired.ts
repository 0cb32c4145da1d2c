// Addresses that belonged to the mesh a moment ago. A client that still dials one (a pooled address, a stale DNS answer)
// must not be told "not ours": whoever gets the address next would receive its bytes in plaintext. Pure: takes the time.

/** How long an address stays reserved: longer than DNS answers of a cluster live (CoreDNS: 30 s at most). */
export const retirementMs = 30_000;

/** What an address was. */
export interface Retired {
  readonly serverName: string;
  /** ms since the epoch. */
  readonly untilMs: number;
}

/** The retired addresses, oldest first. */
export class RetiredAddresses {
  readonly #entries = new Map<string, Retired>();

  /** Reserves an address from now on. */
  add(address: string, serverName: string, nowMs: number): void {
    this.#entries.delete(address);
    this.#entries.set(address, { serverName, untilMs: nowMs + retirementMs });
    // Insertion order is order of time, so that only what ran out is looked at.
    for (const [key, { untilMs }] of this.#entries) {
      if (untilMs > nowMs) break;
      this.#entries.delete(key);
    }
  }

  /** What the address was, if that was a short while ago. */
  get(address: string, nowMs: number): Retired | undefined {
    const found = this.#entries.get(address);
    return found !== undefined && found.untilMs > nowMs ? found : undefined;
  }

  get size(): number {
    return this.#entries.size;
  }
}

// What is revoked, in a form in which a connection's question costs a few map look-ups. Pure; time is an argument. Shared by the
// operator, which refuses the revoked at its own door, and by sidecars.
import { plainSerial, type RevocationSnapshot, type RevocationSubject } from './revocations.ts';

/** What a set is made from. */
type Revoked = Pick<RevocationSnapshot, 'entries' | 'lists'>;

/** What one snapshot revokes, indexed. */
export class RevocationSet {
  /** End of each revoked identity and serial in milliseconds; Infinity for none. */
  readonly #identities = new Map<string, number>();
  readonly #serials = new Map<string, number>();
  readonly #lists = new Map<string, ReadonlySet<string>>();
  /** It revokes nothing. */
  readonly isEmpty: boolean;

  constructor({ entries, lists }: Revoked) {
    for (const entry of entries) {
      const untilMs = entry.until === undefined ? Infinity : Date.parse(entry.until);
      if ('identity' in entry) keepLater(this.#identities, entry.identity, untilMs);
      else keepLater(this.#serials, plainSerial(entry.serial), untilMs);
    }
    for (const { issuer, serials } of lists) this.#lists.set(issuer, new Set(serials.map(plainSerial)));
    this.isEmpty = entries.length === 0 && lists.length === 0;
  }

  /** How many identities and serials are revoked, those whose end has passed among them. */
  get size(): number {
    let listed = 0;
    for (const serials of this.#lists.values()) listed += serials.size;
    return this.#identities.size + this.#serials.size + listed;
  }

  /** What of a certificate's holder is revoked, for a log line; undefined when nothing is. */
  find({ identity, serial, issuer }: RevocationSubject, nowMs: number): string | undefined {
    // Asked several times for each connection, and nearly always of nothing.
    if (this.isEmpty) return undefined;
    if (nowMs < (this.#identities.get(identity) ?? -Infinity)) return `identity ${identity}`;
    const plain = plainSerial(serial);
    if (nowMs < (this.#serials.get(plain) ?? -Infinity)) return `serial ${serial}`;
    return this.#lists.get(issuer)?.has(plain) === true ? `serial ${serial} by the list of its CA` : undefined;
  }
}

/** Several revocations of one thing hold for as long as the last of them. A time that does not parse holds for good. */
function keepLater(ends: Map<string, number>, key: string, untilMs: number): void {
  const end = Number.isNaN(untilMs) ? Infinity : untilMs;
  ends.set(key, Math.max(ends.get(key) ?? -Infinity, end));
}

/** Whether two snapshots revoke the same, whatever their numbers are. */
export function sameRevocations(a: Revoked, b: Revoked): boolean {
  return JSON.stringify([a.entries, a.lists]) === JSON.stringify([b.entries, b.lists]);
}

// The next revocation list of a CA: what is on it, whether one is due, and what is remembered of it. Pure. An entry stays until it was on
// a list that was made after its certificate ended (RFC 5280 section 3.3); one that is lifted goes at once.

import { plainSerial } from '../../../lib/api/revocations.ts';
import type { RevocationReason } from '../../../lib/api/tlsrevocation.ts';

/** An entry, and why it is there. */
export interface ListedSerial {
  /** Upper-case hex without leading zeros. */
  readonly serial: string;
  readonly reason: RevocationReason;
  readonly revokedAt: Date;
  /** When the certificate ends; undefined where that is not known. */
  readonly notAfter: Date | undefined;
  /** Name of the TLSRevocation. */
  readonly by: string;
}

/** What is remembered of the last list. */
export interface CrlState {
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly entries: readonly ListedSerial[];
}

/** What a list follows from. */
export interface CrlInput {
  readonly last: CrlState | undefined;
  /** What is revoked now of the CA's certificates, as far as they have not ended. */
  readonly wanted: readonly ListedSerial[];
  /** TLSRevocations that are there and have not ended by time. */
  readonly standing: ReadonlySet<string>;
  readonly now: Date;
  readonly times: CrlTimes;
}

/** How long a list is good for, and when the next one is made although nothing changed. Milliseconds. */
export interface CrlTimes {
  readonly lifetimeMs: number;
  readonly refreshMs: number;
}

/** A list is good for three times as long as it takes to make the next: two may fail. */
export const crlTimes: CrlTimes = { lifetimeMs: 86_400_000, refreshMs: 28_800_000 };

/** The next list; undefined while the last one is good. */
export function nextCrl(input: CrlInput): CrlState | undefined {
  const { last, now, times } = input;
  const entries = entriesOf(input);
  if (last !== undefined && !isDue(last, now, times) && same(last.entries, entries)) return undefined;
  const thisUpdate = wholeSecond(now);
  const nextUpdate = new Date(thisUpdate.getTime() + times.lifetimeMs);
  return { number: numberAfter(last, now), thisUpdate, nextUpdate, entries };
}

/** When to look again although nothing changes. */
export function dueAt(state: CrlState, times: CrlTimes): Date {
  return new Date(state.thisUpdate.getTime() + times.refreshMs);
}

/** Also when the clock was set back: a list of the future would be refused by everybody. */
function isDue(last: CrlState, now: Date, times: CrlTimes): boolean {
  return now >= dueAt(last, times) || now < last.thisUpdate;
}

/**
 * Above the last number and never below the seconds since 1970: where what was remembered is lost, numbers go on above all that were
 * given out before.
 */
function numberAfter(last: CrlState | undefined, now: Date): number {
  return Math.max((last?.number ?? 0) + 1, Math.floor(now.getTime() / 1_000));
}

function entriesOf({ last, wanted, standing }: CrlInput): readonly ListedSerial[] {
  const found = new Map<string, ListedSerial>();
  for (const each of last?.entries ?? []) {
    const isShown = each.notAfter !== undefined && last !== undefined && each.notAfter < last.thisUpdate;
    if (standing.has(each.by) && !isShown) found.set(plainSerial(each.serial), each);
  }
  for (const each of wanted) {
    const known = found.get(plainSerial(each.serial));
    // What is known already keeps its date; its end may have become known since.
    found.set(
      plainSerial(each.serial),
      known === undefined ? each : { ...known, notAfter: known.notAfter ?? each.notAfter },
    );
  }
  return [...found.values()].sort((a, b) => (a.serial < b.serial ? -1 : 1));
}

function same(a: readonly ListedSerial[], b: readonly ListedSerial[]): boolean {
  const text = (list: readonly ListedSerial[]): string =>
    list.map(({ serial, reason }) => `${serial} ${reason}`).join();
  return text(a) === text(b);
}

function wholeSecond(at: Date): Date {
  return new Date(Math.floor(at.getTime() / 1_000) * 1_000);
}

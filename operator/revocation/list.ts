// The list that sidecars are told, from the TLSRevocations and what they mean. Pure. Entries are sorted, so that every replica tells
// the same; what has ended by time, or names nothing but certificates that have, is left out.
import type { RevokedEntry } from '../../lib/api/revocations.ts';
import type { TLSRevocation } from '../../lib/api/tlsrevocation.ts';
import { lifetimes } from '../../lib/policy/defaults.ts';
import type { Resolution } from './resolve.ts';

/** A TLSRevocation with what it means. */
export interface Meant {
  readonly object: TLSRevocation;
  readonly resolution: Resolution;
  /** When the last of the certificates that it names ends; undefined where that is not known, or for an identity. */
  readonly lastNotAfter: Date | undefined;
}

/** How a revocation stands at a moment. */
export type Standing =
  | 'holds'
  /** Its `until` has passed. */
  | 'ended'
  /** All certificates that it names have expired: there is nothing left to refuse. */
  | 'expired'
  /** It names a pod of which no certificate is known. */
  | 'unresolved'
  /** It would cut sidecars off from the operator, and with that from its own end. */
  | 'refused';

/** Clocks differ: an expired certificate is refused by its time, and by the list for this much longer. Milliseconds. */
const clockSlackMs = 300_000;
/** A serial of which nothing is known belongs to a certificate that was issued before and lives no longer than any may. */
const longestLifeMs = lifetimes.longestMs + 86_400_000;

/** How a revocation stands, and when that will change although nothing happens (ms since the epoch). */
export function standingOf(
  { object, resolution, lastNotAfter }: Meant,
  ownIdentity: string,
  nowMs: number,
): { readonly standing: Standing; readonly changesMs: number } {
  const { spec, metadata } = object;
  const untilMs = spec.until === undefined ? Infinity : Date.parse(spec.until);
  if (nowMs >= untilMs) return { standing: 'ended', changesMs: Infinity };
  if (resolution.identity === ownIdentity) return { standing: 'refused', changesMs: untilMs };
  if (resolution.identity !== undefined) return { standing: 'holds', changesMs: untilMs };
  if (resolution.serials.length === 0) return { standing: 'unresolved', changesMs: untilMs };
  const known = lastNotAfter?.getTime() ?? Date.parse(metadata.creationTimestamp) + longestLifeMs;
  const overMs = known + clockSlackMs;
  if (nowMs >= overMs) return { standing: 'expired', changesMs: Infinity };
  return { standing: 'holds', changesMs: Math.min(untilMs, overMs) };
}

/** The entries of revocations that hold. */
export function entriesOf(holding: readonly Pick<Meant, 'object' | 'resolution'>[]): readonly RevokedEntry[] {
  const entries = holding.flatMap(({ object: { spec }, resolution: { identity, serials } }): RevokedEntry[] => {
    const until = spec.until === undefined ? {} : { until: spec.until };
    if (identity !== undefined) return [{ identity, ...until }];
    return serials.map((serial) => ({ serial, ...until }));
  });
  const byText = new Map(entries.map((entry) => [JSON.stringify(entry), entry]));
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}

/**
 * The number from which on the list speaks of an object: what the leader wrote down when it first saw it, and before that the object's
 * own version, which every replica sees.
 */
export function requiredNumber({ metadata, status }: TLSRevocation): number {
  const isCurrent = status?.number !== undefined && status.observedGeneration === metadata.generation;
  return isCurrent ? (status.number ?? 0) : versionNumber(metadata.resourceVersion);
}

/** A version of the API server as a number (KEP-5504); 0 for one of another form. */
export function versionNumber(version: string): number {
  const number = /^\d{1,16}$/.test(version) ? Number(version) : 0;
  return Number.isSafeInteger(number) ? number : 0;
}

// The revocations in force in this proxy: the newest that it was told, how old that news is, and what follows for a peer. They
// outlive a restart of the container (the snapshot store keeps them with the time at which they were last known to be current).
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { RevocationSnapshot, RevocationSubject } from '../../lib/api/revocations.ts';
import { RevocationSet, sameRevocations } from '../../lib/api/revocationset.ts';
import type { Clock } from '../../lib/clock.ts';
import type { RevocationFigures } from '../metrics.ts';

/** Why a peer is refused; `detail` is a fact for the log. */
export interface RevocationRefusal {
  readonly reason: 'revoked' | 'control_unavailable';
  readonly detail: string;
}

/** What is kept on disk. */
export interface KeptRevocations {
  readonly snapshot: RevocationSnapshot;
  /** When they were last known to be current (ms since the epoch). */
  readonly confirmedMs: number;
}

/** What the revocations need to know. */
export interface RevocationsDeps {
  readonly clock: Clock;
  /** Milliseconds since the control API was lost; 0 while it is connected. */
  awayMs(): number;
  /** Of the policy in force; undefined before there is one, and with an operator that serves no revocations. */
  settings(): EffectivePolicy['revocation'];
}

/** What changed: `entries` = somebody is revoked or no longer; `number` = the same under another number. */
export type RevocationChange = 'entries' | 'number';

/**
 * A replica whose watch is behind, and to which this proxy has just come, tells of an older state for a moment: that is passed over.
 * If it goes on for so long, history itself went back (the cluster's store was restored), and what is told holds.
 */
export const olderAfterMs = 300_000;
const LOOK_EVERY_MS = 5_000;

/** Holds the newest revocations. */
export class Revocations {
  readonly #deps: RevocationsDeps;
  readonly #listeners = new Set<(change: RevocationChange) => void>();
  #snapshot: RevocationSnapshot | undefined;
  #set = new RevocationSet({ entries: [], lists: [] });
  /** When the set was last known to be current, as long as that is not now. */
  #confirmedMs = 0;
  /** The newest was told over the connection that stands. */
  #isLive = false;
  #older: { readonly snapshot: RevocationSnapshot; readonly sinceMs: number } | undefined;

  constructor(deps: RevocationsDeps) {
    this.#deps = deps;
  }

  /** Number of what is in force; undefined while nothing was ever told. */
  get number(): number | undefined {
    return this.#snapshot?.number;
  }

  /** Identities and serials that are revoked. */
  get size(): number {
    return this.#set.size;
  }

  /** What metrics show; undefined while nothing was ever told. */
  figures(): RevocationFigures | undefined {
    return this.number === undefined ? undefined : { number: this.number, size: this.size, ageMs: this.ageMs() };
  }

  /** Calls `listener`, which must not throw, after each change. */
  subscribe(listener: (change: RevocationChange) => void): void {
    this.#listeners.add(listener);
  }

  /** Takes in what the control API says now. */
  offer(snapshot: RevocationSnapshot): void {
    const nowMs = this.#nowMs();
    const last = this.#snapshot;
    const isOlder = last !== undefined && snapshot.number < last.number;
    if (isOlder && !sameRevocations(snapshot, last)) {
      this.#older = { snapshot, sinceMs: this.#older?.sinceMs ?? nowMs };
      return;
    }
    this.#isLive = true;
    this.#confirmedMs = nowMs;
    if (isOlder) this.#older = undefined;
    else this.#take(snapshot);
  }

  /** Takes over what an earlier run of this pod kept. */
  restore({ snapshot, confirmedMs }: KeptRevocations): void {
    if (this.#snapshot !== undefined) return;
    // A clock that was set back must not make old news look fresh.
    this.#confirmedMs = Math.min(confirmedMs, this.#nowMs());
    this.#take(snapshot);
  }

  /** What to keep on disk. */
  kept(): KeptRevocations | undefined {
    if (this.#snapshot === undefined) return undefined;
    return { snapshot: this.#snapshot, confirmedMs: this.#nowMs() - this.ageMs() };
  }

  /** For how long the revocations may have changed without this proxy's knowledge; Infinity when it never knew any. */
  ageMs(): number {
    if (this.#snapshot === undefined) return Infinity;
    const nowMs = this.#nowMs();
    const awayMs = this.#deps.awayMs();
    if (this.#isLive && awayMs > 0) {
      this.#isLive = false;
      this.#confirmedMs = Math.max(this.#confirmedMs, nowMs - awayMs);
    }
    const { asOf } = this.#snapshot;
    const staleMs = asOf === undefined ? 0 : Math.max(0, nowMs - Date.parse(asOf));
    return Math.max(staleMs, this.#isLive ? 0 : nowMs - this.#confirmedMs);
  }

  /** Why a holder of a certificate is not to be trusted; undefined when nothing is known against it. */
  revoked(subject: RevocationSubject): RevocationRefusal | undefined {
    // Asked several times for each connection: not even for the time, then.
    if (this.#set.isEmpty) return undefined;
    const detail = this.#set.find(subject, this.#nowMs());
    return detail === undefined ? undefined : { reason: 'revoked', detail: `${detail} is revoked` };
  }

  /** Why a peer that wants a connection now is refused: it is revoked, or what is known of revocations is too old to say. */
  refusal(subject: RevocationSubject): RevocationRefusal | undefined {
    return this.revoked(subject) ?? this.#stale();
  }

  /** Looks after time until the signal is aborted. `refresh` is called while what is kept on disk is to be confirmed. */
  async run(signal: AbortSignal, refresh: () => void): Promise<void> {
    let refreshedMs = this.#nowMs();
    while (!signal.aborted) {
      await this.#deps.clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
      this.look();
      const { mode, maxAgeMs } = this.#deps.settings() ?? { mode: 'Soft' as const, maxAgeMs: 0 };
      const nowMs = this.#nowMs();
      if (mode === 'Soft' || this.ageMs() > 0 || nowMs - refreshedMs < maxAgeMs / 10) continue;
      refreshedMs = nowMs;
      refresh();
    }
  }

  /** Takes over an older state that has been told for long. */
  look(): void {
    if (this.#older === undefined || this.#nowMs() - this.#older.sinceMs < olderAfterMs) return;
    this.#isLive = this.#deps.awayMs() === 0;
    this.#confirmedMs = this.#nowMs();
    this.#take(this.#older.snapshot);
  }

  #stale(): RevocationRefusal | undefined {
    const settings = this.#deps.settings();
    if (settings?.mode !== 'Hard') return undefined;
    const ageMs = this.ageMs();
    if (ageMs <= settings.maxAgeMs) return undefined;
    const age = ageMs === Infinity ? 'nothing' : `nothing for ${Math.round(ageMs / 1_000)} s`;
    return { reason: 'control_unavailable', detail: `${age} was heard of revocations, and the policy is Hard` };
  }

  #take(snapshot: RevocationSnapshot): void {
    const last = this.#snapshot;
    this.#older = undefined;
    if (last?.version === snapshot.version) return;
    this.#snapshot = snapshot;
    this.#set = new RevocationSet(snapshot);
    // A first list on which nobody stands changes nothing for anybody.
    const isSame = sameRevocations(last ?? { entries: [], lists: [] }, snapshot);
    for (const listener of this.#listeners) listener(isSame ? 'number' : 'entries');
  }

  #nowMs(): number {
    return this.#deps.clock.nowMs();
  }
}

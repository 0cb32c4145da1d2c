// Who is revoked now, as one replica knows it from its own watches: the list for sidecars, and answers for the parts of the operator that
// issue and admit. Every replica has one and none waits for the leader. The list's number is the version of the collection of
// TLSRevocations at which its entries last changed: the same order on every replica, and after every restart (docs/adr/0014).
import { sameJson } from '../../lib/api/equal.ts';
import type { ForeignList, RevocationSnapshot, RevocationSubject } from '../../lib/api/revocations.ts';
import { plainSerial } from '../../lib/api/revocations.ts';
import { RevocationSet } from '../../lib/api/revocationset.ts';
import type { TLSRevocation } from '../../lib/api/tlsrevocation.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Store } from '../../lib/kube/store.ts';
import { parseIdentity } from '../../lib/pki/identity.ts';
import { entriesOf, type Meant, requiredNumber, type Standing, standingOf, versionNumber } from './list.ts';
import { resolve } from './resolve.ts';
import { findSerials, podView, type ReportedSerials, type ViewSources } from './view.ts';

/** The lists of foreign CAs that are in force (imports.ts). */
export interface ForeignLists {
  current(): readonly ForeignList[];
  subscribe(listener: () => void): () => void;
}

/** Where no list is imported. */
export const noForeignLists: ForeignLists = { current: () => none, subscribe: () => () => undefined };

export interface BookDeps extends ViewSources {
  readonly revocations: Store<TLSRevocation>;
  readonly reports: ReportedSerials & { subscribe(listener: () => void): () => void };
  readonly lists: ForeignLists;
  readonly clock: Clock;
  /** SPIFFE URI of the operator: revoking it would cut every sidecar off from the end of the revocation. */
  readonly ownIdentity: string;
  /** Milliseconds since the API server was last heard of TLSRevocations. */
  silentMs(): number;
}

/** A revocation as the book has it. */
export interface BookEntry extends Meant {
  readonly standing: Standing;
}

const none: readonly ForeignList[] = [];

type Content = Omit<RevocationSnapshot, 'version'>;

/** Without a word from the API server for so long, sidecars are told that the list may be old. Bookmarks come each minute. */
const silentAfterMs = 150_000;
const LOOK_EVERY_MS = 10_000;

/** The book of one replica. */
export class RevocationBook {
  readonly #deps: BookDeps;
  readonly #listeners = new Set<(listChanged: boolean) => void>();
  /** When certificates end, by plain serial: their Secret forgets them once they have. */
  readonly #ends = new Map<string, Date>();
  #entries: ReadonlyMap<string, BookEntry> = new Map();
  #content: Content = { number: 0, entries: [], lists: none };
  #set = new RevocationSet(this.#content);
  /** Those that are written down: in their place fresh certificates are issued. */
  #recorded: ReadonlyMap<string, string> = new Map();
  #changesMs = Infinity;
  readonly #followers = new Set<(keys: Iterable<string>) => void>();
  /** Services (`<namespace>/<name>`) that certificates belong to, by plain serial. */
  readonly #owners = new Map<string, string>();

  constructor(deps: BookDeps) {
    this.#deps = deps;
  }

  /** What sidecars are told. */
  current(): Content {
    return this.#content;
  }

  /** What of a holder is revoked, for a message; undefined when nothing is. */
  find(subject: RevocationSubject): string | undefined {
    return this.#set.find(subject, this.#nowMs());
  }

  /** Name of the TLSRevocation by which an identity is revoked: no certificate may be issued to it. */
  byIdentity(identity: string): string | undefined {
    for (const { object, standing, resolution } of this.#entries.values()) {
      if (standing === 'holds' && resolution.identity === identity) return object.metadata.name;
    }
    return undefined;
  }

  /** Name of the TLSRevocation by which a certificate is to be replaced. */
  bySerial(serial: string): string | undefined {
    return this.#recorded.get(plainSerial(serial));
  }

  /** A revocation by name. */
  get(name: string): BookEntry | undefined {
    return this.#entries.get(name);
  }

  /** All revocations. */
  list(): readonly BookEntry[] {
    return [...this.#entries.values()];
  }

  /** Told, synchronously, whenever anything of the above changed, and whether `current` did. Returns the function that ends it. */
  subscribe(listener: (listChanged: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Told the keys of services whose certificate is to be looked at again. Returns the function that ends it. */
  touched(listener: (keys: Iterable<string>) => void): () => void {
    this.#followers.add(listener);
    return () => this.#followers.delete(listener);
  }

  /** Follows the caches. Returns the function that ends it. */
  follow(): () => void {
    const { revocations, pods, secrets, reports, lists } = this.#deps;
    // What a pod shows matters only while a revocation waits to know.
    const ifAwaited = (): void => {
      if (this.list().some(({ resolution }) => !resolution.recorded)) this.#make('elsewhere');
    };
    const ends = [
      pods.subscribe(ifAwaited),
      secrets.subscribe(ifAwaited),
      reports.subscribe(ifAwaited),
      lists.subscribe(() => this.#make('elsewhere')),
      revocations.subscribe(() => this.#make('revocations')),
    ];
    return () => {
      for (const end of ends) end();
    };
  }

  /** Resolves when everything was listed once: before, the book is not complete. */
  async complete(signal: AbortSignal): Promise<void> {
    const { revocations, pods, secrets } = this.#deps;
    await Promise.all([revocations, pods, secrets].map((store) => store.synced(signal)));
    this.#make('elsewhere');
    const number = Math.max(this.#content.number, versionNumber(revocations.version));
    this.#content = { ...this.#content, number };
  }

  /** Looks after what only time changes, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waitMs = Math.min(LOOK_EVERY_MS, Math.max(1, this.#changesMs - this.#nowMs()));
      await this.#deps.clock.sleep(waitMs, signal).catch(() => undefined);
      if (!signal.aborted) this.#make('elsewhere');
    }
  }

  #make(because: 'revocations' | 'elsewhere'): void {
    const { ownIdentity, lists } = this.#deps;
    const nowMs = this.#nowMs();
    const meant = this.#meanings();
    this.#changesMs = Infinity;
    const entries = new Map<string, BookEntry>();
    for (const each of meant) {
      const { standing, changesMs } = standingOf(each, ownIdentity, nowMs);
      this.#changesMs = Math.min(this.#changesMs, changesMs);
      entries.set(each.object.metadata.name, { ...each, standing });
    }
    const holding = [...entries.values()].filter(({ standing }) => standing === 'holds');
    const revoked = { entries: entriesOf(holding), lists: lists.current() };
    const last = this.#content;
    const isSame = revoked.lists === last.lists && sameJson(revoked.entries, last.entries);
    const next: Content = { number: this.#number(because, isSame), ...this.#staleness(nowMs), ...revoked };
    const isSameList = isSame && next.number === last.number && next.asOf === last.asOf;
    const changed = changedEntries(this.#entries, entries);
    const isSameBook = changed.length === 0;
    this.#entries = entries;
    this.#recorded = recordedOf(holding);
    this.#content = next;
    if (!isSame) this.#set = new RevocationSet(next);
    if (isSameList && isSameBook) return;
    for (const listener of this.#listeners) listener(!isSameList);
    const keys = new Set(changed.flatMap((each) => this.#servicesOf(each)));
    if (keys.size > 0) for (const follower of this.#followers) follower(keys);
  }

  #servicesOf({ resolution: { identity, serials } }: BookEntry): readonly string[] {
    const named = identity === undefined ? undefined : parseIdentity(identity);
    if (named !== undefined) return [`${named.namespace}/${named.service}`];
    return serials.flatMap((serial) => this.#owners.get(plainSerial(serial)) ?? []);
  }

  #meanings(): readonly Meant[] {
    const { revocations } = this.#deps;
    const resolved = revocations.list().map((object) => {
      const { pod } = object.spec;
      return { object, resolution: resolve(object, pod === undefined ? undefined : podView(this.#deps, pod)) };
    });
    const wanted = new Set(resolved.flatMap(({ resolution }) => resolution.serials.map(plainSerial)));
    for (const [serial, { notAfter, service }] of findSerials(this.#deps, wanted)) {
      this.#ends.set(serial, notAfter);
      this.#owners.set(serial, service);
    }
    for (const serial of this.#ends.keys()) {
      if (wanted.has(serial)) continue;
      this.#ends.delete(serial);
      this.#owners.delete(serial);
    }
    return resolved.map((each) => ({ ...each, lastNotAfter: this.#lastEnd(each.resolution.serials) }));
  }

  #lastEnd(serials: readonly string[]): Date | undefined {
    const ends = serials.map((serial) => this.#ends.get(plainSerial(serial))?.getTime() ?? Infinity);
    const last = Math.max(...ends);
    return Number.isFinite(last) ? new Date(last) : undefined;
  }

  /**
   * What other caches or time bring changes no order between replicas, and keeps the number. A version that went back (the store was
   * restored) must not take it along: it would be passed over as old.
   */
  #number(because: 'revocations' | 'elsewhere', isSame: boolean): number {
    const { number } = this.#content;
    if (because === 'elsewhere') return number;
    const { revocations } = this.#deps;
    const floor = Math.max(0, ...revocations.list().map(requiredNumber));
    if (isSame) return Math.max(number, floor);
    // Several changes of one version are those of one list, and nobody sees the book between them.
    const next = Math.max(versionNumber(revocations.version), floor);
    return next >= number ? next : number + 1;
  }

  #staleness(nowMs: number): Pick<Content, 'asOf'> {
    const silentMs = this.#deps.silentMs();
    if (silentMs < silentAfterMs) return {};
    return { asOf: this.#content.asOf ?? new Date(nowMs - silentMs).toISOString() };
  }

  #nowMs(): number {
    return this.#deps.clock.now().getTime();
  }
}

function recordedOf(holding: readonly BookEntry[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const { object, resolution } of holding) {
    if (!resolution.recorded) continue;
    for (const serial of resolution.serials) found.set(plainSerial(serial), object.metadata.name);
  }
  return found;
}

/** Entries that came, went or mean something else. */
function changedEntries(
  before: ReadonlyMap<string, BookEntry>,
  after: ReadonlyMap<string, BookEntry>,
): readonly BookEntry[] {
  const changed = [...before.values()].filter(({ object }) => !after.has(object.metadata.name));
  for (const [name, entry] of after) {
    const old = before.get(name);
    const isSame =
      old?.object === entry.object &&
      old.standing === entry.standing &&
      old.resolution.serials.join() === entry.resolution.serials.join();
    if (!isSame) changed.push(entry);
  }
  return changed;
}

// Where a captured connection really goes. One subscription per destination in use, so that memory follows what this pod talks to;
// the last snapshot serves while the control API is away. What is known to be in the mesh never falls back to plaintext, and
// an address of the cluster about which nothing is known is refused while nobody can be asked.
import { controlPaths, type DestinationSnapshot, type PlainReason } from '../../lib/api/control.ts';
import type { Clock } from '../../lib/clock.ts';
import type { SnapshotSource } from '../control/client.ts';
import { parseDestination } from '../control/parse.ts';
import { Lru } from '../lru.ts';
import { Balancer } from './balance.ts';
import type { EndpointChoice } from './connect.ts';
import { destinationKey } from './key.ts';

/** What to do with a captured connection. */
export type Lookup =
  | { readonly kind: 'endpoints'; readonly choice: EndpointChoice; readonly hold: () => () => void }
  | { readonly kind: 'pass'; readonly why: PlainReason }
  | { readonly kind: 'refused'; readonly reason: 'control_unavailable' };

/** What discovery needs. */
export interface DiscoveryDeps {
  readonly clock: Clock;
  readonly control: SnapshotSource;
  /** Whether an address belongs to the cluster; true for all while the cluster's ranges are not known. */
  inCluster(address: string): boolean;
  /** Called after the set of known destinations or one of them changed. */
  readonly onChange: () => void;
  /** Most destinations followed at once; the one looked up least recently goes. 1,000 by default. */
  readonly limit?: number;
}

/** A destination as it is kept on disk. */
export interface KeptDestination {
  readonly key: string;
  readonly snapshot: DestinationSnapshot;
}

interface Entry {
  readonly key: string;
  readonly balancer: Balancer;
  readonly unsubscribe: () => void;
  snapshot: DestinationSnapshot | undefined;
  /** What the snapshot comes to. */
  answer: Lookup | undefined;
  /** Resolved with the first snapshot. */
  readonly first: PromiseWithResolvers<void>;
  connections: number;
  usedMs: number;
}

/** An operator replica that goes away takes less than this to be replaced by the other one. */
const GRACE_MS = 5_000;
/** An address outside the cluster does not wait longer for an answer: it would be passed through anyway. */
const OUTSIDE_WAIT_MS = 1_000;
const IDLE_MS = 10 * 60_000;
const SWEEP_EVERY_MS = 30_000;

/** Destinations in use. */
export class Discovery {
  readonly #deps: DiscoveryDeps;
  readonly #entries: Lru<Entry>;
  /** What was known of the address that was asked for last: nearly always the same, and its name need not be put together each time. */
  #last: { readonly address: string; readonly port: number; readonly entry: Entry } | undefined;

  constructor(deps: DiscoveryDeps) {
    this.#deps = deps;
    this.#entries = new Lru(deps.limit ?? 1_000);
  }

  /** What is known of an address that was asked for before; undefined when there is nothing but to `lookup`. */
  known(address: string, port: number): Lookup | undefined {
    const last = this.#last;
    const isLast = last?.address === address && last.port === port;
    const entry = isLast ? last.entry : this.#entries.get(destinationKey(address, port));
    if (entry?.answer === undefined) return undefined;
    if (!isLast) this.#last = { address, port, entry };
    entry.usedMs = this.#deps.clock.nowMs();
    return entry.answer;
  }

  /** Waits for the first answer where there is none yet, within bounds. Never rejects. */
  async lookup(address: string, port: number): Promise<Lookup> {
    // A link-local address with its zone leads nowhere beyond this node, and the control API knows none.
    if (address.includes('%')) return { kind: 'pass', why: 'not_in_mesh' };
    const key = destinationKey(address, port);
    const entry = this.#entries.get(key) ?? this.#follow(key, undefined);
    entry.usedMs = this.#deps.clock.nowMs();
    if (entry.answer !== undefined) return entry.answer;
    const inCluster = this.#deps.inCluster(address);
    await this.#wait(entry, this.#patienceMs(inCluster));
    if (entry.answer !== undefined) return entry.answer;
    return inCluster
      ? { kind: 'refused', reason: 'control_unavailable' }
      : { kind: 'pass', why: 'control_unavailable' };
  }

  /** Takes over what was kept on disk; a newer answer replaces it. */
  restore(kept: readonly KeptDestination[]): void {
    for (const { key, snapshot } of kept) if (this.#entries.get(key) === undefined) this.#follow(key, snapshot);
  }

  /** Everything that is known now. */
  kept(): readonly KeptDestination[] {
    return [...this.#entries.values()].flatMap(({ key, snapshot }) =>
      snapshot === undefined ? [] : [{ key, snapshot }],
    );
  }

  /** Drops what nobody uses, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(SWEEP_EVERY_MS, signal).catch(() => undefined);
      this.sweep();
    }
  }

  /** Drops every destination without a connection that was not looked up for ten minutes. */
  sweep(): void {
    const before = this.#deps.clock.now().getTime() - IDLE_MS;
    for (const entry of this.#entries.values()) {
      if (entry.connections === 0 && entry.usedMs < before) this.#drop(entry);
    }
  }

  #patienceMs(inCluster: boolean): number {
    const awayMs = this.#deps.control.awayMs();
    if (!inCluster) return awayMs > 0 ? 0 : OUTSIDE_WAIT_MS;
    return Math.max(0, GRACE_MS - awayMs);
  }

  async #wait(entry: Entry, ms: number): Promise<void> {
    if (ms === 0) return;
    const stop = new AbortController();
    await Promise.race([entry.first.promise, this.#deps.clock.sleep(ms, stop.signal).catch(() => undefined)]);
    stop.abort();
  }

  #follow(key: string, snapshot: DestinationSnapshot | undefined): Entry {
    const path = `${controlPaths.destinations}${encodeURIComponent(key)}`;
    const entry: Entry = {
      key,
      balancer: new Balancer(),
      unsubscribe: this.#deps.control.subscribe(path, (message) => this.#learn(entry, parseDestination(message))),
      snapshot,
      answer: undefined,
      first: Promise.withResolvers(),
      connections: 0,
      usedMs: this.#deps.clock.nowMs(),
    };
    if (snapshot !== undefined) this.#take(entry, snapshot);
    this.#last = undefined;
    const evicted = this.#entries.set(key, entry);
    if (evicted !== undefined) this.#drop(evicted);
    return entry;
  }

  #learn(entry: Entry, snapshot: DestinationSnapshot): void {
    this.#take(entry, snapshot);
    entry.first.resolve();
    this.#deps.onChange();
  }

  /** Made once for each snapshot, as it is asked for with each connection. */
  #take(entry: Entry, snapshot: DestinationSnapshot): void {
    const { balancer } = entry;
    balancer.update(snapshot.endpoints);
    entry.snapshot = snapshot;
    const { known, serverName = '' } = snapshot;
    const choice: EndpointChoice = { serverName, pick: (nowMs, tried) => balancer.pick(nowMs, tried) };
    entry.answer = known
      ? { kind: 'endpoints', choice, hold: () => this.#hold(entry) }
      : { kind: 'pass', why: 'not_in_mesh' };
  }

  #drop(entry: Entry): void {
    this.#last = undefined;
    this.#entries.delete(entry.key);
    entry.unsubscribe();
    entry.first.resolve();
    this.#deps.onChange();
  }

  #hold(entry: Entry): () => void {
    entry.connections += 1;
    return () => {
      entry.connections -= 1;
      entry.usedMs = this.#deps.clock.nowMs();
    };
  }
}

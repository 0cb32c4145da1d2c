// Everything that clients follow. A change in the mesh marks the topics that may depend on it; they are worked out again a few
// milliseconds later, once for all changes of that time, and only what really differs is delivered.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SelfSnapshot } from '../../lib/api/control.ts';
import type { RevocationSnapshot } from '../../lib/api/revocations.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { destinationKey, type SocketAddress } from '../mesh/address.ts';
import type { Mesh, Touched } from '../mesh/mesh.ts';
import { RefIndex } from '../mesh/refs.ts';
import type { MeshPod } from '../mesh/workloads.ts';
import { LinePool } from './linepool.ts';
import { contentFor, prepare, type SnapshotClient, variantOf } from './snapshot.ts';
import { type Deliver, type Reading, Topic } from './topic.ts';

/** What can be followed. */
export type Subject =
  | { readonly kind: 'self' /** Pod. */; readonly uid: string }
  | { readonly kind: 'destination'; readonly at: SocketAddress }
  /** The same for everyone: made once, and one buffer for all. */
  | { readonly kind: 'revocations' };

export interface TopicsDeps {
  readonly mesh: Pick<Mesh, 'destination' | 'pod' | 'subscribe'>;
  selfOf(pod: MeshPod): Omit<SelfSnapshot, 'version'>;
  /** What is revoked now; nothing, where it is not given. */
  revocations?(): Omit<RevocationSnapshot, 'version'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends all waiting. */
  readonly signal: AbortSignal;
}

interface Entry {
  readonly key: string;
  readonly subject: Subject;
  readonly topic: Topic;
  /** Service that the present content was read from. */
  service: string | undefined;
  /** When the topic is to be looked at again without a change (ms); undefined = not. */
  againAtMs: number | undefined;
}

/** Changes of this many milliseconds are answered together. */
const coalesceMs = 5;
/** Under a flood of changes the pause grows with the work, so that half of the time is left for everything else. */
const longestPauseMs = 200;
/** Topics worked out before other events get their turn. */
const perTurn = 100;

/** The topics with at least one subscriber. */
export class Topics {
  readonly #deps: TopicsDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #byAddress = new RefIndex();
  readonly #byService = new RefIndex();
  readonly #pool = new LinePool();
  /** Marked topics, with the time of the first change. */
  #dirty = new Map<Entry, number>();
  #draining = false;

  constructor(deps: TopicsDeps) {
    this.#deps = deps;
    const leave = deps.mesh.subscribe((touched) => this.#touched(touched));
    deps.signal.addEventListener('abort', leave, { once: true });
  }

  /** Follows a subject; the present state is delivered before this returns, if there is one. Returns the function that ends it. */
  follow(subject: Subject, client: SnapshotClient, deliver: Deliver): () => void {
    const entry = this.#entries.get(keyOf(subject)) ?? this.#open(subject);
    const subscriber = entry.topic.join(client, deliver);
    return () => {
      entry.topic.leave(subscriber);
      if (entry.topic.isEmpty && this.#entries.get(entry.key) === entry) this.#close(entry);
    };
  }

  /** What pods are told of themselves changed: all of them (trust bundle, cluster ranges), or those that it concerns. */
  selfChanged(concerns: (pod: MeshPod) => boolean = () => true): void {
    for (const entry of this.#entries.values()) {
      const pod = entry.subject.kind === 'self' ? this.#deps.mesh.pod(entry.subject.uid) : undefined;
      if (pod !== undefined && concerns(pod)) this.#mark(entry);
    }
  }

  /** Others are revoked now. */
  revocationsChanged(): void {
    this.#markKey(keyOf({ kind: 'revocations' }));
  }

  /** Subjects followed, distinct lines kept and their bytes. */
  sizes(): { readonly topics: number; readonly lines: number; readonly bytes: number } {
    return { topics: this.#entries.size, ...this.#pool.sizes() };
  }

  #open(subject: Subject): Entry {
    const key = keyOf(subject);
    const entry: Entry = { key, subject, topic: new Topic(this.#pool), service: undefined, againAtMs: undefined };
    this.#entries.set(key, entry);
    if (subject.kind === 'destination') this.#byAddress.add(subject.at.address, key);
    this.#read(entry, undefined);
    return entry;
  }

  #close(entry: Entry): void {
    this.#entries.delete(entry.key);
    this.#dirty.delete(entry);
    if (entry.subject.kind === 'destination') this.#byAddress.remove(entry.subject.at.address, entry.key);
    this.#dependOn(entry, undefined);
    entry.topic.close();
  }

  #touched({ pods, services, addresses }: Touched): void {
    for (const uid of pods) this.#markKey(`self ${uid}`);
    for (const address of addresses) for (const key of this.#byAddress.of(address)) this.#markKey(key);
    for (const service of services) for (const key of this.#byService.of(service)) this.#markKey(key);
  }

  #markKey(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#mark(entry);
  }

  #mark(entry: Entry): void {
    if (!this.#dirty.has(entry)) this.#dirty.set(entry, this.#deps.clock.now().getTime());
    if (this.#draining) return;
    this.#draining = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    const { clock, signal, logger } = this.#deps;
    let pauseMs = coalesceMs;
    try {
      while (this.#dirty.size > 0) {
        await clock.sleep(pauseMs, signal);
        const begun = clock.now().getTime();
        await this.#flush();
        pauseMs = Math.min(longestPauseMs, Math.max(coalesceMs, clock.now().getTime() - begun));
      }
    } catch (err) {
      if (!signal.aborted) logger.error({ err }, 'waiting for changes failed');
    } finally {
      this.#draining = false;
    }
  }

  async #flush(): Promise<void> {
    const batch = this.#dirty;
    this.#dirty = new Map();
    let done = 0;
    for (const [entry, sinceMs] of batch) {
      if (this.#entries.get(entry.key) === entry) this.#readAgain(entry, sinceMs);
      done += 1;
      if (done % perTurn === 0) await nextTurn();
    }
  }

  /** A fault in one topic, which would be ours, must not keep the others from being told. */
  #readAgain(entry: Entry, changedMs: number): void {
    try {
      this.#read(entry, changedMs);
    } catch (err) {
      this.#deps.logger.error({ err, topic: entry.key }, 'working out a snapshot failed');
    }
  }

  #read(entry: Entry, changedMs: number | undefined): void {
    const { subject, topic } = entry;
    entry.againAtMs = undefined;
    if (subject.kind === 'self') {
      const pod = this.#deps.mesh.pod(subject.uid);
      // The pod is gone: its session ends, there is nothing more to say to it.
      if (pod !== undefined) topic.publish(sharedReading(this.#deps.selfOf(pod)), changedMs);
      return;
    }
    if (subject.kind === 'revocations') {
      const revocations = this.#deps.revocations?.() ?? { number: 0, entries: [], lists: [] };
      topic.publish(sharedReading(revocations), changedMs);
      return;
    }
    const answer = this.#deps.mesh.destination(subject.at);
    this.#dependOn(entry, answer.service);
    if (answer.againAtMs !== undefined) this.#later(entry, answer.againAtMs);
    if (answer.undecided) return;
    const prepared = prepare(answer);
    const reading: Reading = {
      variantOf: (client) => variantOf(prepared, client),
      contentFor: (client) => contentFor(prepared, client),
    };
    topic.publish(reading, changedMs);
  }

  #dependOn(entry: Entry, service: string | undefined): void {
    if (entry.service === service) return;
    if (entry.service !== undefined) this.#byService.remove(entry.service, entry.key);
    if (service !== undefined) this.#byService.add(service, entry.key);
    entry.service = service;
  }

  /** Marks the topic at that time, unless it was read again in between. */
  #later(entry: Entry, atMs: number): void {
    const { clock, signal } = this.#deps;
    entry.againAtMs = atMs;
    const due = (): void => {
      if (entry.againAtMs === atMs && this.#entries.get(entry.key) === entry) this.#mark(entry);
    };
    clock.sleep(Math.max(1, atMs - clock.now().getTime()), signal).then(due, () => undefined);
  }
}

/** The same for all who follow it. */
function sharedReading(content: ReturnType<Reading['contentFor']>): Reading {
  return { variantOf: () => '', contentFor: () => content };
}

function keyOf(subject: Subject): string {
  switch (subject.kind) {
    case 'self':
      return `self ${subject.uid}`;
    case 'destination':
      return destinationKey(subject.at);
    case 'revocations':
      return subject.kind;
  }
}

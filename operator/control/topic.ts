// One subject that clients follow: its present lines and who gets them. A line is made when the first client of its variant
// asks and is dropped with the content it stands for. No clock, no I/O.
import type { LinePool } from './linepool.ts';
import { type Content, type Line, lineOf, type SnapshotClient } from './snapshot.ts';

/** What is to be said of a subject at one moment. */
export interface Reading {
  /** Clients with the same variant get the same content. */
  variantOf(client: SnapshotClient): string;
  contentFor(client: SnapshotClient): Content;
}

/** Hands a line to a stream. `changedMs` is when the change happened that led to it; undefined for the first line. */
export type Deliver = (line: Line, changedMs: number | undefined) => void;

/** One stream that follows a topic. */
export interface Subscriber {
  readonly client: SnapshotClient;
  readonly deliver: Deliver;
  /** Of the line that was delivered last. */
  version: string | undefined;
}

/** A subject and its subscribers. */
export class Topic {
  readonly #pool: LinePool;
  readonly #subscribers = new Set<Subscriber>();
  #reading: Reading | undefined;
  #lines = new Map<string, Line>();

  constructor(pool: LinePool) {
    this.#pool = pool;
  }

  /** Adds a subscriber, and delivers the present line at once if there is one. */
  join(client: SnapshotClient, deliver: Deliver): Subscriber {
    const subscriber: Subscriber = { client, deliver, version: undefined };
    this.#subscribers.add(subscriber);
    if (this.#reading !== undefined) this.#send(subscriber, this.#reading, undefined);
    return subscriber;
  }

  leave(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
  }

  get isEmpty(): boolean {
    return this.#subscribers.size === 0;
  }

  /** Puts a new reading in place and delivers it to those for whom it differs from what they have. */
  publish(reading: Reading, changedMs: number | undefined): void {
    const old = this.#lines;
    this.#reading = reading;
    this.#lines = new Map();
    for (const subscriber of this.#subscribers) this.#send(subscriber, reading, changedMs);
    for (const line of old.values()) this.#pool.release(line);
  }

  /** Gives the lines back; the topic must not be used afterwards. */
  close(): void {
    for (const line of this.#lines.values()) this.#pool.release(line);
    this.#lines.clear();
    this.#reading = undefined;
  }

  #send(subscriber: Subscriber, reading: Reading, changedMs: number | undefined): void {
    const variant = reading.variantOf(subscriber.client);
    let line = this.#lines.get(variant);
    if (line === undefined) {
      line = this.#pool.take(lineOf(reading.contentFor(subscriber.client)));
      this.#lines.set(variant, line);
    }
    if (line.version === subscriber.version) return;
    subscriber.version = line.version;
    subscriber.deliver(line, changedMs);
  }
}

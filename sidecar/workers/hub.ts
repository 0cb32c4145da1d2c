// The first worker's connection to the control API, shared with the others: each path is followed once, whoever asks, and what the first
// worker does not refuse goes on to those who follow it. Reports go out when all workers apply what they say.
import { controlPaths, type DestinationSnapshot, type StatusReport } from '../../lib/api/control.ts';
import type { ControlClient, ControlPort } from '../control/client.ts';
import type { Applied } from '../control/status.ts';
import type { Kept } from '../control/store.ts';
import { addCounts, type Counts, noCounts } from './counts.ts';
import type { Told } from './link.ts';

/** A further worker, as it is told of lines. */
export interface Follower {
  send(told: Told): void;
}

/** What the hub needs beside the connection. */
export interface HubDeps {
  /** Throws for what cannot be used. */
  readonly parseDestination: (message: unknown) => DestinationSnapshot;
  /** A destination changed that the first worker may not follow itself. */
  onDestination(): void;
  /** Told when the connection stands, and when it is lost. */
  onConnection(stands: boolean): void;
  /** Resolves when all workers apply the same, with that; undefined = nothing is applied. */
  agreed(): Promise<Applied | undefined>;
}

interface Topic {
  readonly path: string;
  readonly own: Set<(message: unknown) => void>;
  readonly followers: Set<Follower>;
  /** The newest line, in an object so that any value can be one. */
  last: { readonly message: unknown } | undefined;
  /** Of a destination. */
  snapshot: DestinationSnapshot | undefined;
  unsubscribe: () => void;
}

/** One connection for all. */
export class Hub implements ControlPort {
  readonly #client: ControlClient;
  readonly #deps: HubDeps;
  readonly #topics = new Map<string, Topic>();
  #counts: Counts = noCounts;

  /** `client` makes the connection's client, which tells of the connection by what it is given. */
  constructor(client: (onConnection: (stands: boolean) => void) => ControlClient, deps: HubDeps) {
    this.#deps = deps;
    this.#client = client((stands) => {
      // What an earlier connection said is old news; how old, only what is kept says.
      if (!stands) for (const topic of this.#topics.values()) if (!isDestination(topic)) topic.last = undefined;
      deps.onConnection(stands);
    });
  }

  awayMs(): number {
    return this.#client.awayMs();
  }

  reconnect(): void {
    this.#client.reconnect();
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#client.run(signal);
  }

  subscribe(path: string, listener: (message: unknown) => void): () => void {
    const topic = this.#topic(path);
    topic.own.add(listener);
    const { last } = topic;
    // Not within this call: who subscribes is not told before it knows that it has subscribed.
    if (last !== undefined) queueMicrotask(() => topic.own.has(listener) && listener(last.message));
    return () => {
      topic.own.delete(listener);
      this.#tidy(topic);
    };
  }

  /** A worker wants the lines of a path; it gets the newest at once, if there is one that still counts. */
  follow(path: string, follower: Follower): void {
    const topic = this.#topic(path);
    topic.followers.add(follower);
    if (topic.last !== undefined) follower.send({ kind: 'line', path, message: topic.last.message });
  }

  /** It wants them no longer. */
  leave(path: string, follower: Follower): void {
    const topic = this.#topics.get(path);
    if (topic === undefined) return;
    topic.followers.delete(follower);
    this.#tidy(topic);
  }

  /** It is gone. */
  forget(follower: Follower): void {
    for (const topic of this.#topics.values()) {
      topic.followers.delete(follower);
      this.#tidy(topic);
    }
  }

  /** Counts of a further worker, for the next report. */
  count(counts: Counts): void {
    this.#counts = addCounts(this.#counts, counts);
  }

  async post(path: string, body: unknown): Promise<boolean> {
    if (path !== controlPaths.status) return this.#client.post(path, body);
    const applied = await this.#deps.agreed();
    if (applied === undefined) return false;
    const counts = this.#counts;
    this.#counts = noCounts;
    const own = body as StatusReport;
    const arrived = await this.#client.post(path, { ...own, ...applied, ...addCounts(own, counts) });
    // Those of the report itself are counted again by whoever made it.
    if (!arrived) this.count(counts);
    return arrived;
  }

  /** With the destinations that only other workers follow. */
  kept(own: Kept): Kept {
    const known = new Set(own.destinations.map(({ key }) => key));
    const others = [...this.#topics.values()].flatMap(({ path, snapshot }) => {
      const key = decodeURIComponent(path.slice(controlPaths.destinations.length));
      return snapshot === undefined || known.has(key) ? [] : [{ key, snapshot }];
    });
    return { ...own, destinations: [...own.destinations, ...others] };
  }

  #topic(path: string): Topic {
    const known = this.#topics.get(path);
    if (known !== undefined) return known;
    const topic: Topic = {
      path,
      own: new Set(),
      followers: new Set(),
      last: undefined,
      snapshot: undefined,
      unsubscribe: () => undefined,
    };
    this.#topics.set(path, topic);
    topic.unsubscribe = this.#client.subscribe(path, (message) => this.#heard(topic, message));
    return topic;
  }

  /** What the first worker refuses, by throwing, no worker is told. */
  #heard(topic: Topic, message: unknown): void {
    const { path } = topic;
    const snapshot = isDestination(topic) ? this.#deps.parseDestination(message) : undefined;
    for (const listener of topic.own) listener(message);
    topic.last = { message };
    topic.snapshot = snapshot;
    for (const follower of topic.followers) follower.send({ kind: 'line', path, message });
    if (snapshot !== undefined) this.#deps.onDestination();
  }

  #tidy(topic: Topic): void {
    if (topic.own.size > 0 || topic.followers.size > 0) return;
    topic.unsubscribe();
    this.#topics.delete(topic.path);
  }
}

function isDestination({ path }: Topic): boolean {
  return path.startsWith(controlPaths.destinations);
}

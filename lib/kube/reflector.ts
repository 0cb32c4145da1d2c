// Keeps a store equal to the API server: list, then watch, for ever (client-go tools/cache/reflector.go).
// Whatever fails, it waits a little and goes on from where it was; it never gives up and never ends the process.
// The store keeps serving its last state meanwhile; `silentMs` tells how long nothing was heard.
import type { Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import { Backoff, type BackoffOptions } from '../runtime/backoff.ts';
import type { Logger } from '../runtime/logger.ts';
import type { KubeClient, Selection, WatchEvent } from './client.ts';
import { isKube, KubeError } from './errors.ts';
import type { KubeMetrics } from './metrics.ts';
import { type KubeObject, keyOf } from './object.ts';
import { type Resource, resourceName } from './resources.ts';
import type { ObjectStore } from './store.ts';

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  /** All namespaces and objects by default. */
  readonly selection?: Selection;
  readonly store: ObjectStore<T>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  /** Takes out of an object what nobody reads, to save memory. Gets its own copy and may change it. */
  readonly trim?: (object: T) => T;
  /** Objects in one page of a list; 250 by default. */
  readonly pageSize?: number;
  /** A watch without a byte for this long is dead; 90 s by default. Bookmarks come about once a minute. */
  readonly idleMs?: number;
  readonly backoff?: BackoffOptions;
  readonly random?: () => number;
}

/** A watch that ends in order sooner than this did not do its work. */
const briefMs = 1_000;
/** After this long without a failure the next one counts as the first again. */
const healthyMs = 120_000;
/** So many answers in a row that refuse the watch, and its version is no longer trusted. */
const refusalsBeforeList = 3;

/** One resource's list-watch. `run` once. */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #name: string;
  readonly #log: Logger;
  readonly #backoff: Backoff;
  readonly #random: () => number;
  /** The version to watch from; undefined = list first. */
  #version: string | undefined;
  #heardMs: number;
  #failedMs = Number.NEGATIVE_INFINITY;
  #listedMs = Number.NEGATIVE_INFINITY;
  /** Told `Gone`, and no list succeeded since. */
  #gone = false;
  #brief = 0;
  #refusals = 0;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#name = resourceName(options.resource);
    this.#log = options.logger.child({ resource: this.#name });
    this.#random = options.random ?? Math.random;
    this.#backoff = new Backoff(options.backoff ?? { initialMs: 800, maxMs: 30_000, jitter: 1 }, this.#random);
    this.#heardMs = this.#nowMs();
  }

  /** Milliseconds since the API server last answered a list or sent anything in a watch. */
  get silentMs(): number {
    return Math.max(0, this.#nowMs() - this.#heardMs);
  }

  /** Lists and watches until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const end = this.#options.metrics.silence(this.#name, () => this.silentMs / 1000);
    while (!signal.aborted) {
      try {
        this.#version ??= await this.#list(signal);
        await this.#watch(this.#version, signal);
      } catch (error) {
        if (!signal.aborted) await this.#recover(error, signal);
      }
    }
    end();
  }

  /** Reads all pages, makes the store equal to them, and returns the version they are of. */
  async #list(signal: AbortSignal): Promise<string> {
    const { client, resource, selection, store, pageSize, metrics } = this.#options;
    const items: T[] = [];
    let page = await client.list(resource, { ...selection, limit: pageSize ?? 250, signal });
    for (;;) {
      this.#heard();
      for (const item of page.items) items.push(this.#clean(item));
      if (page.continue === undefined) break;
      page = await client.list(resource, { ...selection, limit: pageSize ?? 250, continue: page.continue, signal });
    }
    store.replace(items, page.resourceVersion);
    this.#listedMs = this.#nowMs();
    this.#refusals = 0;
    this.#gone = false;
    metrics.lists.inc({ resource: this.#name });
    this.#log.info({ objects: items.length, version: page.resourceVersion }, 'listed');
    return page.resourceVersion;
  }

  /** Follows one watch to its end. Returns when the server closed it in order. */
  async #watch(version: string, signal: AbortSignal): Promise<void> {
    const { client, resource, selection, idleMs, metrics } = this.#options;
    const startedMs = this.#nowMs();
    const events = client.watch(resource, {
      ...selection,
      resourceVersion: version,
      timeoutSeconds: Math.floor(300 + 300 * this.#random()),
      idleMs: idleMs ?? 90_000,
      signal,
    });
    let any = false;
    for await (const event of events) {
      any = true;
      this.#refusals = 0;
      this.#heard();
      this.#take(event);
    }
    if (signal.aborted) return;
    metrics.watchEnds.inc({ resource: this.#name, cause: 'closed' });
    // A server that closes every watch at once would otherwise be asked again without a pause.
    this.#brief = any || this.#nowMs() - startedMs >= briefMs ? 0 : this.#brief + 1;
    if (this.#brief >= 3) throw new KubeError('Unavailable', 'the API server ends every watch at once');
  }

  #take(event: WatchEvent<T>): void {
    if (event.type !== 'BOOKMARK') {
      const object = this.#clean(event.object);
      const { resourceVersion } = event;
      if (event.type === 'DELETED') this.#options.store.delete(keyOf(object.metadata), object, resourceVersion);
      else this.#options.store.set(object, resourceVersion);
    }
    this.#version = event.resourceVersion;
  }

  /** Decides where to go on after a failure, and waits. */
  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const { metrics, clock } = this.#options;
    const kind = error instanceof KubeError ? error.kind : 'Unavailable';
    metrics.watchEnds.inc({ resource: this.#name, cause: kind });
    const waitMs = this.#afterFailure(error);
    const details = { kind, waitMs, relist: this.#version === undefined, reason: messageOf(error) };
    if (kind === 'Gone') this.#log.info(details, 'the version to watch from is too old');
    // Anything but a KubeError is a bug of ours: it is coped with in the same way, but somebody should look.
    else if (!(error instanceof KubeError)) this.#log.error({ ...details, err: error }, 'list-watch broke');
    else this.#log.warn(details, 'list-watch failed');
    if (waitMs === 0) return;
    try {
      await clock.sleep(waitMs, signal);
    } catch {
      // Stopped while waiting; the loop sees it.
    }
  }

  #afterFailure(error: unknown): number {
    const now = this.#nowMs();
    if (isKube(error, 'Gone')) {
      this.#version = undefined;
      // The first time at once; but a list that is at once too old again must not be repeated without a pause.
      const again = this.#gone || now - this.#listedMs < briefMs;
      this.#gone = true;
      if (!again) return 0;
    } else if (error instanceof KubeError && error.status !== undefined && error.kind !== 'Throttled') {
      // The server answers but not with what this version needs (it may come from before a restore): list again.
      this.#refusals += 1;
      if (this.#refusals >= refusalsBeforeList) this.#version = undefined;
    } else if (!(error instanceof KubeError)) this.#version = undefined;
    if (now - this.#failedMs >= healthyMs) this.#backoff.reset();
    const waitMs = Math.max(this.#backoff.next(), error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0);
    this.#failedMs = now + waitMs;
    return waitMs;
  }

  #clean(object: T): T {
    // Large, and of no use to anybody here.
    delete (object.metadata as { managedFields?: unknown }).managedFields;
    return this.#options.trim?.(object) ?? object;
  }

  #heard(): void {
    this.#heardMs = this.#nowMs();
  }

  #nowMs(): number {
    return this.#options.clock.now().getTime();
  }
}

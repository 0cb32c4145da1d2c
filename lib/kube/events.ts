// Kubernetes Events (events.k8s.io/v1): what a person should act on, shown by `kubectl describe` and `kubectl events`.
// Recording never waits and never fails the caller. The same event again within six minutes counts up a series instead
// of adding an object; each object and the whole process have a limit, and what exceeds it is dropped and counted.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import { TokenBucket } from '../runtime/bucket.ts';
import type { Logger } from '../runtime/logger.ts';
import type { KubeClient } from './client.ts';
import { isKube } from './errors.ts';
import type { KubeMetrics } from './metrics.ts';
import { microTime } from './microtime.ts';
import type { KubeInput, KubeObject } from './object.ts';
import { resources } from './resources.ts';
import { WorkQueue } from './workqueue.ts';

/** The object that an event is about. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
}

/** What happened. */
export interface EventFacts {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, from a closed set: why. At most 128 characters. */
  readonly reason: string;
  /** CamelCase verb: what was done or tried. At most 128 characters. */
  readonly action: string;
  /** A sentence for a person. Cut at 1024 bytes. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** Qualified name of the writer: `tabard.dev/operator`. */
  readonly controller: string;
  /** The pod. */
  readonly instance: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
}

interface Entry {
  readonly subject: EventSubject;
  readonly facts: EventFacts;
  readonly firstMs: number;
  lastMs: number;
  count: number;
  /** Name of the Event once it was created, and what was last written of it. */
  sent?: { readonly name: string; readonly count: number; readonly atMs: number };
}

/** Repeats after this long make a new Event. */
const seriesMs = 360_000;
/** A series is written at most this often. */
const refreshMs = 30_000;
/** Most entries and objects that are remembered. */
const remembered = 2_048;
const perObject = { perSecond: 1 / 300, burst: 25 };
const overall = { perSecond: 5, burst: 50 };

/** The subject of an event about a stored object. */
export function subjectOf(object: KubeObject): EventSubject {
  const { apiVersion, kind, metadata } = object;
  const { name, namespace, uid } = metadata;
  return { apiVersion, kind, name, uid, ...(namespace === undefined ? {} : { namespace }) };
}

/** Writes the events of one process. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #queue: WorkQueue;
  readonly #entries = new Map<string, Entry>();
  readonly #objects = new Map<string, TokenBucket>();
  readonly #overall = new TokenBucket(overall);

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({ clock: options.clock, backoff: { initialMs: 1_000, maxMs: 30_000 } });
  }

  /** Records an event. Returns at once; sending is `run`'s work. */
  record(subject: EventSubject, facts: EventFacts): void {
    const nowMs = this.#nowMs();
    const object = [subject.kind, subject.namespace, subject.name, subject.uid].join('/');
    const key = [object, facts.type, facts.reason, facts.action, facts.note].join('\n');
    const known = this.#entries.get(key);
    if (known !== undefined && nowMs - known.lastMs < seriesMs) {
      known.lastMs = nowMs;
      known.count += 1;
      this.#remember(key, known);
      this.#queue.addAfter(key, known.sent === undefined ? 0 : known.sent.atMs + refreshMs - nowMs);
      return;
    }
    const bucket = this.#objects.get(object) ?? new TokenBucket(perObject);
    this.#objects.delete(object);
    this.#objects.set(object, bucket);
    shrink(this.#objects);
    if (!bucket.take(nowMs) || !this.#overall.take(nowMs)) {
      this.#options.metrics.eventsDropped.inc({ reason: 'rate' });
      return;
    }
    this.#remember(key, { subject, facts, firstMs: nowMs, lastMs: nowMs, count: 1 });
    this.#queue.add(key);
  }

  /** Sends until the signal is aborted and what was recorded until then is sent, or 3 s later. */
  async run(signal: AbortSignal): Promise<void> {
    const cut = new AbortController();
    const timer = new AbortController();
    const stop = () => {
      this.#queue.close();
      this.#options.clock.sleep(3_000, timer.signal).then(
        () => cut.abort(),
        () => undefined,
      );
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
      if (!cut.signal.aborted) await this.#send(key, cut.signal);
      this.#queue.done(key);
    }
    timer.abort();
  }

  async #send(key: string, signal: AbortSignal): Promise<void> {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.sent?.count === entry.count) return;
    try {
      await this.#write(entry, signal);
      this.#queue.forget(key);
    } catch (error) {
      const retry = isKube(error, 'Unavailable', 'Throttled') && this.#queue.failures(key) < 5 && !signal.aborted;
      if (retry) {
        this.#queue.addFailed(key, error.retryAfterMs);
        return;
      }
      this.#queue.forget(key);
      this.#entries.delete(key);
      this.#options.metrics.eventsDropped.inc({ reason: 'refused' });
      const { subject, facts } = entry;
      this.#options.logger.warn({ subject, reason: facts.reason, why: messageOf(error) }, 'event not sent');
    }
  }

  async #write(entry: Entry, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const { count, lastMs, sent } = entry;
    const namespace = entry.subject.namespace ?? 'default';
    const series = { count, lastObservedTime: microTime(new Date(lastMs)) };
    let name = sent?.name;
    if (name !== undefined) {
      try {
        await client.patch(resources.events, { namespace, name }, { series }, { signal });
      } catch (error) {
        // The API server forgets events after an hour.
        if (!isKube(error, 'NotFound')) throw error;
        name = undefined;
      }
    }
    name ??= (await client.create(resources.events, this.#event(entry, namespace), { signal })).metadata.name;
    // A create carries no series: what was counted before it goes out with the next refresh.
    const written = sent === undefined && count > 1 ? 1 : count;
    entry.sent = { name, count: written, atMs: this.#nowMs() };
  }

  #event(entry: Entry, namespace: string): KubeInput {
    const { subject, facts, firstMs } = entry;
    const { controller, instance } = this.#options;
    const name = `${subject.name.slice(0, 230)}.${randomBytes(8).toString('hex')}`;
    return {
      metadata: { name, namespace },
      eventTime: microTime(new Date(firstMs)),
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      type: facts.type,
      reason: facts.reason,
      action: facts.action,
      note: cut(facts.note, 1024),
      regarding: subject,
    };
  }

  #remember(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    shrink(this.#entries);
  }

  #nowMs(): number {
    return this.#options.clock.now().getTime();
  }
}

/** Forgets the entries that were not used for longest. */
function shrink(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    if (map.size <= remembered) return;
    map.delete(key);
  }
}

/** The text in at most so many bytes of UTF-8, without half a character at its end. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const short = Buffer.from(text)
    .subarray(0, bytes - 3)
    .toString('utf8');
  return `${short.replace(/\uFFFD+$/, '')}…`;
}

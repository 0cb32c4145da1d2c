// What becomes of certificate Secrets, seen by a watch of their metadata: when each was written, with which serial and times.
import { labels, MANAGED_BY, written } from '../../lib/api/contract.ts';
import { systemClock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import type { KubeObject } from '../../lib/kube/object.ts';
import { Reflector } from '../../lib/kube/reflector.ts';
import { metadataOf, resources } from '../../lib/kube/resources.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';

/** One write of a Secret. */
export interface Write {
  /** `<namespace>/<name>`. */
  readonly key: string;
  readonly seenMs: number;
  readonly serial: string;
  readonly notAfterMs: number;
  readonly renewAtMs: number;
}

/** Follows the writes of one span of the benchmark. */
export class SecretWatch {
  /** The newest write by key. */
  readonly latest = new Map<string, Write>();
  /** Writes that brought another certificate, in order. */
  readonly writes: Write[] = [];
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  /** Starts from the present state, which does not count as written. */
  static async start(client: KubeClient): Promise<SecretWatch> {
    const watch = new SecretWatch();
    const store = new ObjectStore<KubeObject>();
    const reflector = new Reflector({
      client,
      resource: metadataOf(resources.secrets),
      selection: { labelSelector: `${labels.managedBy}=${MANAGED_BY},${labels.service}` },
      store,
      clock: systemClock,
      logger: createLogger({ name: 'bench', level: 'silent' }),
      metrics: kubeMetrics(new Metrics()),
      trim: ({ apiVersion, kind, metadata }) => {
        const { name, namespace = '', uid, resourceVersion, creationTimestamp, annotations = {} } = metadata;
        return {
          apiVersion,
          kind,
          metadata: { name, namespace, uid, resourceVersion, creationTimestamp, annotations },
        };
      },
    });
    watch.#running = reflector.run(watch.#stop.signal);
    await store.synced(AbortSignal.timeout(120_000));
    store.subscribe((_, after) => {
      if (after !== undefined) watch.#note(writeOf(after));
    });
    // The subscription begins with what is there.
    watch.writes.length = 0;
    return watch;
  }

  /** Waits until so many certificates were written; false when it took longer, or when no further one came for a minute. */
  async reaches(count: number, withinMs: number): Promise<boolean> {
    let [seen, seenMs] = [this.writes.length, Date.now()];
    for (const until = Date.now() + withinMs; this.writes.length < count; ) {
      if (this.writes.length > seen) [seen, seenMs] = [this.writes.length, Date.now()];
      if (Date.now() > Math.min(until, seenMs + 60_000)) return false;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return true;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #note(write: Write): void {
    const before = this.latest.get(write.key);
    this.latest.set(write.key, write);
    if (before?.serial !== write.serial) this.writes.push(write);
  }
}

function writeOf({ metadata }: KubeObject): Write {
  const notes = metadata.annotations ?? {};
  return {
    key: `${metadata.namespace ?? ''}/${metadata.name}`,
    seenMs: Date.now(),
    serial: notes[written.serial] ?? '',
    notAfterMs: Date.parse(notes[written.notAfter] ?? ''),
    renewAtMs: Date.parse(notes[written.renewAt] ?? ''),
  };
}

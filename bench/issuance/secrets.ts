// What becomes of certificate Secrets, seen by a watch of their metadata: when each was written, with which serial and times.
import { labels, MANAGED_BY, written } from '../../lib/api/contract.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { metadataOf, resources } from '../../lib/kube/resources.ts';

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
    const resource = metadataOf(resources.secrets);
    const selection = { labelSelector: `${labels.managedBy}=${MANAGED_BY},${labels.service}` };
    let page = await client.list(resource, { ...selection, limit: 1_000 });
    for (;;) {
      for (const { metadata } of page.items) {
        const write = writeOf(metadata);
        watch.latest.set(write.key, write);
      }
      if (page.continue === undefined) break;
      page = await client.list(resource, { ...selection, limit: 1_000, continue: page.continue });
    }
    const { signal } = watch.#stop;
    const options = {
      ...selection,
      resourceVersion: page.resourceVersion,
      timeoutSeconds: 3_600,
      idleMs: 600_000,
      signal,
    };
    const follow = async (): Promise<void> => {
      for await (const event of client.watch(resource, options)) {
        if (event.type === 'ADDED' || event.type === 'MODIFIED') watch.#note(writeOf(event.object.metadata));
      }
    };
    watch.#running = follow();
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

function writeOf(metadata: {
  readonly name: string;
  readonly namespace?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}): Write {
  const notes = metadata.annotations ?? {};
  return {
    key: `${metadata.namespace ?? ''}/${metadata.name}`,
    seenMs: Date.now(),
    serial: notes[written.serial] ?? '',
    notAfterMs: Date.parse(notes[written.notAfter] ?? ''),
    renewAtMs: Date.parse(notes[written.renewAt] ?? ''),
  };
}

// Notices at once when a Secret with a keystore password changes. Those are Secrets of users, of which only the few that policies name
// matter: each is watched by its name, metadata alone, for as long as somebody asks for it. Beyond a number of them the planner's own
// looks every few minutes have to do.
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { KubeObject } from '../../lib/kube/object.ts';
import { Reflector } from '../../lib/kube/reflector.ts';
import { metadataOf, resources } from '../../lib/kube/resources.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import type { Logger } from '../../lib/runtime/logger.ts';

/** What watching takes. */
export interface PasswordWatchDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  /** Called when a Secret that was asked for changed, came or went. */
  readonly changed: (namespace: string, name: string) => void;
}

/** Each costs a request that stays open. */
const mostWatched = 100;
/** A Secret is asked for every five minutes while a policy names it. */
const forgottenMs = 15 * 60_000;
const sweepMs = 60_000;

interface Watched {
  readonly stop: AbortController;
  askedMs: number;
}

/** The watches. `run` once. */
export class PasswordWatch {
  readonly #deps: PasswordWatchDeps;
  readonly #watched = new Map<string, Watched>();
  #running = false;

  constructor(deps: PasswordWatchDeps) {
    this.#deps = deps;
  }

  /** Somebody uses this Secret: it is watched from now on. */
  see(namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    const askedMs = this.#deps.clock.now().getTime();
    const watched = this.#watched.get(key);
    if (watched !== undefined) watched.askedMs = askedMs;
    else if (this.#running && this.#watched.size < mostWatched) {
      const stop = new AbortController();
      this.#watched.set(key, { stop, askedMs });
      void this.#watch(namespace, name, stop.signal);
    }
  }

  /** Works until the signal is aborted, and lets go of what nobody asks for any more. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    this.#running = true;
    while (!signal.aborted) {
      await clock.sleep(sweepMs, signal).catch(() => undefined);
      const beforeMs = clock.now().getTime() - forgottenMs;
      for (const [key, { askedMs }] of this.#watched) if (signal.aborted || askedMs < beforeMs) this.#end(key);
    }
    this.#running = false;
  }

  #end(key: string): void {
    this.#watched.get(key)?.stop.abort(new Error('nobody asks for it'));
    this.#watched.delete(key);
  }

  async #watch(namespace: string, name: string, signal: AbortSignal): Promise<void> {
    const { client, clock, logger, kubeMetrics, changed } = this.#deps;
    const store = new ObjectStore<KubeObject>();
    store.subscribe(() => {
      // What is there at the beginning was just read.
      if (store.hasSynced) changed(namespace, name);
    });
    const selection = { namespace, fieldSelector: `metadata.name=${name}` };
    const metrics = { ...kubeMetrics, silence: () => () => undefined };
    const resource = metadataOf(resources.secrets);
    await new Reflector({ client, resource, selection, store, clock, logger, metrics }).run(signal);
  }
}

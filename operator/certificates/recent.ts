// Secrets that this process has just written and its watch has not shown yet: without them a second event in the same
// moment would issue a second certificate. Entries leave when the watch catches up, and after a few seconds in any case.
import type { Clock } from '../../lib/clock.ts';
import type { Secret } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';

/** A watch that is this far behind is better asked than outguessed: a write on top of stale state is refused anyway. */
const longestMs = 10_000;

/** The newest known Secret by key. */
export class RecentSecrets {
  readonly #store: Store<Secret>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #written = new Map<string, { readonly secret: Secret; readonly untilMs: number }>();

  constructor(store: Store<Secret>, clock: Pick<Clock, 'now'>) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Drops entries as the watch catches up. Returns the function that ends it. */
  follow(): () => void {
    return this.#store.subscribe((before, after) => {
      const { metadata } = after ?? before ?? {};
      if (metadata === undefined) return;
      const key = `${metadata.namespace ?? ''}/${metadata.name}`;
      const written = this.#written.get(key)?.secret.metadata;
      const caughtUp = after !== undefined && after.metadata.resourceVersion === written?.resourceVersion;
      const gone = after === undefined && metadata.uid === written?.uid;
      if (caughtUp || gone) this.#written.delete(key);
    });
  }

  /** The Secret of a key (`<namespace>/<name>`) as it is known now. */
  get(key: string): Secret | undefined {
    const written = this.#written.get(key);
    if (written === undefined) return this.#store.get(key);
    if (this.#clock.now().getTime() < written.untilMs) return written.secret;
    this.#written.delete(key);
    return this.#store.get(key);
  }

  /** This is what the API server has now. */
  note(key: string, secret: Secret): void {
    if (this.#store.get(key)?.metadata.resourceVersion === secret.metadata.resourceVersion) return;
    this.#written.set(key, { secret, untilMs: this.#clock.now().getTime() + longestMs });
  }

  /** What was noted turned out to be old. */
  drop(key: string): void {
    this.#written.delete(key);
  }
}

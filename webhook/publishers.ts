// The two configurations whose callers have to trust the webhook's CA as one: the one that injects, without which nothing is served, and the one
// that checks policies, which a cluster may do without and whose trouble must never hold back a pod.
import { messageOf } from '../lib/errors.ts';
import { isKube } from '../lib/kube/errors.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { ServingMaterial } from './material.ts';
import type { CaPublisher } from './publisher.ts';

/** What the serving certificate needs of whoever tells the API server which CAs to trust. */
export type Publisher = Pick<CaPublisher, 'published' | 'publishedForMs' | 'read' | 'publish'>;

/** Both configurations. */
export class Publishers implements Publisher {
  readonly #needed: CaPublisher;
  readonly #beside: CaPublisher;
  readonly #logger: Logger;
  /** What was last said of the one that a cluster may do without. */
  #trouble: string | undefined;

  constructor(needed: CaPublisher, beside: CaPublisher, logger: Logger) {
    this.#needed = needed;
    this.#beside = beside;
    this.#logger = logger;
  }

  /** CAs that the API server trusts whichever entry of either it calls. */
  get published(): ReadonlySet<string> {
    const { published } = this.#needed;
    const beside = this.#beside.published;
    return this.#counts ? new Set([...published].filter((print) => beside.has(print))) : published;
  }

  publishedForMs(print: string): number | undefined {
    const needed = this.#needed.publishedForMs(print);
    if (needed === undefined || !this.#counts) return needed;
    const beside = this.#beside.publishedForMs(print);
    return beside === undefined ? undefined : Math.min(needed, beside);
  }

  async read(signal: AbortSignal): Promise<void> {
    this.#trouble = undefined;
    await this.#needed.read(signal);
    await this.#try(() => this.#beside.read(signal));
  }

  async publish(material: ServingMaterial, signal: AbortSignal): Promise<void> {
    await this.#needed.publish(material, signal);
    await this.#try(() => this.#beside.publish(material, signal));
  }

  get #counts(): boolean {
    return this.#trouble === undefined && this.#beside.found;
  }

  /** A conflict is tried again as any other; whatever else goes wrong is said, and waited for by nobody. */
  async #try(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (isKube(error, 'Conflict')) throw error;
      this.#trouble = messageOf(error);
      this.#logger.warn(
        { why: this.#trouble },
        'the api server cannot be told whom to trust when it asks about policies',
      );
    }
  }
}

// Tells the API server which CAs to trust: keeps the `caBundle` of our entries right in one webhook configuration, and
// knows since when each CA has been in all of them. What others wrote there stays.
import { names } from '../lib/api/contract.ts';
import type { Clock } from '../lib/clock.ts';
import type { KubeClient } from '../lib/kube/client.ts';
import { isKube } from '../lib/kube/errors.ts';
import type { MutatingWebhookConfiguration, ValidatingWebhookConfiguration } from '../lib/kube/object.ts';
import { type Resource, resources } from '../lib/kube/resources.ts';
import { fingerprint } from '../lib/pki/bundle.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import { certificatesOf, commonCas, isOwnCa, newBundle } from './cabundle.ts';
import type { ServingMaterial } from './material.ts';

/** Both kinds have entries with a `clientConfig`. */
type WebhookConfiguration = MutatingWebhookConfiguration | ValidatingWebhookConfiguration;

export interface CaPublisherOptions {
  readonly client: Pick<KubeClient, 'get' | 'patch'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Names of the entries that are ours (configuration.ts). */
  readonly entries: readonly string[];
  /** A CA of ours that no Secret named for this long is taken out of the bundles. */
  readonly overlapMs: number;
  /** The kind of the configuration, a MutatingWebhookConfiguration by default, and what is not done while there is none. */
  readonly resource?: Resource<WebhookConfiguration>;
  readonly without?: string;
}

const { mutatingwebhookconfigurations: mutating } = resources;

const ref = { name: names.webhookConfiguration };

/** The bundles of one configuration, as one replica knows them. */
export class CaPublisher {
  readonly #options: CaPublisherOptions;
  /** CAs in the bundle of every entry, with the time since when. */
  readonly #published = new Map<string, number>();
  /** CAs of ours in a bundle that the Secret does not name, with the time since when. */
  readonly #absent = new Map<string, number>();
  /** As it was last read. */
  #configuration: WebhookConfiguration | undefined;

  constructor(options: CaPublisherOptions) {
    this.#options = options;
  }

  /** CAs that the API server trusts whichever entry it calls, as it was last seen. */
  get published(): ReadonlySet<string> {
    return new Set(this.#published.keys());
  }

  /** For how long a CA has been seen in all bundles, in milliseconds; undefined when it is not. */
  publishedForMs(print: string): number | undefined {
    const since = this.#published.get(print);
    return since === undefined ? undefined : this.#nowMs() - since;
  }

  /** Whether there was a configuration with entries of ours when it was last read. */
  get found(): boolean {
    return this.#own(this.#configuration).length > 0;
  }

  /** Reads the configuration. Rejects with a KubeError. */
  async read(signal: AbortSignal): Promise<void> {
    const { client, logger, resource = mutating, without = 'nobody is injected' } = this.#options;
    this.#configuration = undefined;
    try {
      this.#configuration = await client.get(resource, ref, { signal });
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
      logger.warn({ ...ref, kind: resource.kind, without }, 'the webhook configuration does not exist');
    }
    this.#observe(this.#configuration);
  }

  /**
   * Brings the bundles up to date with a Secret that was read after the configuration: a CA enters a bundle only after it entered the
   * Secret, so one that is in the bundle and not in the Secret was taken out of it. Rejects with `Conflict` when somebody
   * changed the configuration meanwhile. Does nothing where there is none.
   */
  async publish(material: ServingMaterial, signal: AbortSignal): Promise<void> {
    const configuration = this.#configuration;
    if (configuration === undefined) return;
    const own = new Set(this.#own(configuration));
    const retired = this.#retired(
      [...own].map((entry) => entry.clientConfig.caBundle),
      material,
    );
    const now = this.#options.clock.now();
    let changed = false;
    const webhooks = (configuration.webhooks ?? []).map((entry) => {
      const present = entry.clientConfig.caBundle;
      const caBundle = own.has(entry) ? newBundle({ present, trusted: material.trusted, retired, now }) : undefined;
      if (caBundle === undefined) return entry;
      changed = true;
      return { ...entry, clientConfig: { ...entry.clientConfig, caBundle } };
    });
    if (!changed) return;
    // Not server-side apply: it would make us an owner of the entries, and an upgrade of the chart could take none away.
    const patch = { metadata: { resourceVersion: configuration.metadata.resourceVersion }, webhooks };
    const { client, logger, resource = mutating } = this.#options;
    this.#observe(await client.patch(resource, ref, patch, { signal }));
    logger.info({ cas: [...this.#published.keys()] }, 'told the api server which cas to trust');
  }

  #own(configuration: WebhookConfiguration | undefined) {
    return (configuration?.webhooks ?? []).filter((entry) => this.#options.entries.includes(entry.name));
  }

  #observe(configuration: WebhookConfiguration | undefined): void {
    const common = commonCas(this.#own(configuration).map((entry) => entry.clientConfig.caBundle));
    for (const print of this.#published.keys()) if (!common.has(print)) this.#published.delete(print);
    for (const print of common) if (!this.#published.has(print)) this.#published.set(print, this.#nowMs());
  }

  #retired(bundles: readonly (string | undefined)[], material: ServingMaterial): ReadonlySet<string> {
    const named = new Set(material.trusted.map(fingerprint));
    const present = bundles
      .flatMap((bundle) => certificatesOf(bundle).filter(isOwnCa).map(fingerprint))
      .filter((print) => !named.has(print));
    for (const print of this.#absent.keys()) if (!present.includes(print)) this.#absent.delete(print);
    for (const print of present) if (!this.#absent.has(print)) this.#absent.set(print, this.#nowMs());
    const { overlapMs } = this.#options;
    return new Set(present.filter((print) => this.#nowMs() - (this.#absent.get(print) ?? this.#nowMs()) >= overlapMs));
  }

  #nowMs(): number {
    return this.#options.clock.now().getTime();
  }
}

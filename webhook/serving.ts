// The webhook's own certificate: made, renewed and replaced in a Secret that all replicas share, and served only after the API
// server was told of its CA. Replicas meet in the Secret's resourceVersion: who loses looks again. Nothing here ends the
// process, and what is served is always whole.
import { X509Certificate } from 'node:crypto';
import { labels, MANAGED_BY, names } from '../lib/api/contract.ts';
import type { Clock } from '../lib/clock.ts';
import { AppError, messageOf } from '../lib/errors.ts';
import type { KubeClient } from '../lib/kube/client.ts';
import { isKube } from '../lib/kube/errors.ts';
import type { Secret } from '../lib/kube/object.ts';
import { resources } from '../lib/kube/resources.ts';
import { WorkQueue } from '../lib/kube/workqueue.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { CounterMetric, GaugeMetric } from '../lib/runtime/metrics.ts';
import {
  afterStep,
  factsOf,
  readMaterial,
  type ServingMaterial,
  type ServingSettings,
  writeMaterial,
} from './material.ts';
import type { Publisher } from './publishers.ts';
import { nextStep } from './rotation.ts';

/** PEM of the certificate to serve with, and its key. */
export interface ServingCredentials {
  readonly certificate: string;
  readonly key: string;
}

export interface ServingOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: ServingSettings;
  readonly publisher: Publisher;
  /** How often to look when nothing is heard; 60 s by default. */
  readonly periodMs?: number;
  /** How long a CA has been told to the API server before a certificate of it is served; 10 s by default. */
  readonly settleMs?: number;
  /** Told of each certificate to serve with, from then on. */
  readonly onCredentials: (credentials: ServingCredentials) => void;
  /** Steps taken. Label: step. */
  readonly steps: CounterMetric;
  /** End of what is in use, in seconds since 1970. Label: certificate (`serving`, `ca`). */
  readonly expiry: GaugeMetric;
}

/** Why the replica must not be called yet. */
export type ServingObstacle = 'no_certificate' | 'ca_not_published' | 'certificate_expired';

/** What was found in the cluster. */
interface Found {
  readonly secret: Secret | undefined;
  readonly material: ServingMaterial | undefined;
}

const key = 'look';

/** The serving certificate of one replica. */
export class ServingCertificate {
  readonly #options: ServingOptions;
  readonly #queue: WorkQueue;
  /** What is served now. */
  #adopted: ServingMaterial | undefined;

  constructor(options: ServingOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({ clock: options.clock, backoff: { initialMs: 100, maxMs: 15_000 } });
  }

  /** What keeps this replica from being called; empty when it may be. */
  obstacles(): readonly ServingObstacle[] {
    if (this.#adopted === undefined) return ['no_certificate'];
    const { authority, certificate } = this.#adopted;
    const found: ServingObstacle[] = [];
    if (this.#options.publisher.publishedForMs(authority.fingerprint) === undefined) found.push('ca_not_published');
    if (this.#now() >= new X509Certificate(certificate).validToDate) found.push('certificate_expired');
    return found;
  }

  /** Looks again soon: the Secret or the configuration changed. */
  wake(): void {
    this.#queue.add(key);
  }

  /** Works until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#queue.close(), { once: true });
    if (signal.aborted) this.#queue.close();
    this.#queue.add(key);
    while ((await this.#queue.take()) !== undefined) {
      try {
        await this.#look(signal);
        this.#queue.forget(key);
        this.#queue.addAfter(key, this.#options.periodMs ?? 60_000);
      } catch (error) {
        // A conflict: another replica was first, and what it wrote is looked at next.
        const lost = isKube(error, 'Conflict', 'AlreadyExists');
        if (!lost && !signal.aborted) {
          this.#options.logger.warn({ err: error }, 'cannot keep the serving certificate; trying again');
        }
        this.#queue.addFailed(key);
      }
      this.#queue.done(key);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { publisher } = this.#options;
    // In this order: see CaPublisher.publish.
    await publisher.read(signal);
    const material = await this.#advance(await this.#find(signal), signal);
    await publisher.publish(material, signal);
    this.#adopt(material);
  }

  async #find(signal: AbortSignal): Promise<Found> {
    const { client, settings, logger } = this.#options;
    let secret: Secret;
    try {
      secret = await client.get(resources.secrets, this.#ref(), { signal });
    } catch (error) {
      if (isKube(error, 'NotFound')) return { secret: undefined, material: undefined };
      throw error;
    }
    const data = secret.data ?? {};
    const isEmpty = Object.keys(data).length === 0;
    if (!isEmpty && secret.metadata.labels?.[labels.managedBy] !== MANAGED_BY) {
      const name = `${settings.namespace}/${names.webhookSecret}`;
      throw new AppError('pki_invalid', `Secret ${name} is there and not Tabard's; rename or delete it`);
    }
    try {
      return { secret, material: readMaterial(data, settings) };
    } catch (error) {
      if (!isEmpty) logger.error({ why: messageOf(error) }, 'the certificate in the secret is unusable; replacing it');
      return { secret, material: undefined };
    }
  }

  /** Takes the step that is due, if any. A Secret that was lost comes back as it was, so that nothing that is in use changes. */
  async #advance({ secret, material }: Found, signal: AbortSignal): Promise<ServingMaterial> {
    const { settings, steps, logger, publisher } = this.#options;
    const base = material ?? this.#adopted;
    const facts = base === undefined ? undefined : factsOf(base, settings);
    const step = nextStep(facts, publisher.published, this.#now(), settings);
    if (step === 'keep' && material !== undefined) return material;
    const after = step === 'keep' ? base : await afterStep(step, base, settings, this.#now());
    if (after === undefined) throw new AppError('pki_invalid', 'there is nothing to keep');
    await this.#write(secret, after, signal);
    const taken = step === 'keep' ? 'restore' : step;
    steps.inc({ step: taken });
    logger.info({ step: taken, ca: after.authority.fingerprint }, 'serving certificate changed');
    return after;
  }

  async #write(secret: Secret | undefined, material: ServingMaterial, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const object = {
      metadata: {
        ...this.#ref(),
        labels: { [labels.managedBy]: MANAGED_BY, 'app.kubernetes.io/part-of': 'tabard' },
        ...(secret === undefined ? {} : { resourceVersion: secret.metadata.resourceVersion }),
      },
      type: secret?.type ?? 'kubernetes.io/tls',
      data: writeMaterial(material),
    };
    if (secret === undefined) await client.create(resources.secrets, object, { signal });
    else await client.replace(resources.secrets, object, { signal });
  }

  /** Serves with the material once the API server has had time to learn of its CA; a first certificate at once, as nobody calls yet. */
  #adopt(material: ServingMaterial): void {
    const { settleMs = 10_000, expiry, onCredentials, logger, publisher } = this.#options;
    const isNew = material.certificate !== this.#adopted?.certificate;
    if (isNew && this.#adopted !== undefined) {
      const waitMs = settleMs - (publisher.publishedForMs(material.authority.fingerprint) ?? 0);
      if (waitMs > 0) {
        this.#queue.addAfter(key, waitMs);
        return;
      }
    }
    this.#adopted = material;
    if (!isNew) return;
    onCredentials({ certificate: material.certificate, key: material.key });
    const leaf = new X509Certificate(material.certificate);
    expiry.set(leaf.validToDate.getTime() / 1000, { certificate: 'serving' });
    expiry.set(material.authority.notAfter.getTime() / 1000, { certificate: 'ca' });
    logger.info({ serial: leaf.serialNumber, notAfter: leaf.validToDate }, 'serving with a new certificate');
  }

  #ref() {
    return { namespace: this.#options.settings.namespace, name: names.webhookSecret };
  }

  #now(): Date {
    return this.#options.clock.now();
  }
}

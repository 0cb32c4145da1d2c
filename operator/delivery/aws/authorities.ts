// CAs that are kept in AWS Secrets Manager (TLSIssuer spec.ca.awsSecretsManager): read every minute and offered to the issuer, which
// judges them like those of a Secret. While AWS cannot be asked, what was read last is offered on.
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import { messageOf } from '../../../lib/errors.ts';
import { Controller, type ReconcileResult } from '../../../lib/kube/controller.ts';
import { feed } from '../../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../../lib/kube/metrics.ts';
import type { Store } from '../../../lib/kube/store.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import { type Offer, type OfferTexts, refused } from '../../issuers/ca/offer.ts';
import { parsedJson } from '../../issuers/json.ts';
import { awsCredentials, type SinkPoolDeps } from '../sinks/pool.ts';
import { SinkError } from '../sinks/sink.ts';
import { AwsSecrets, type AwsValue } from './secretsmanager.ts';

/** What it works with and on. */
export interface AwsAuthoritiesDeps extends Pick<SinkPoolDeps, 'clock' | 'ownSecrets' | 'namespace'> {
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly issuers: Store<TLSIssuer>;
  /** Where they are offered. */
  readonly offers: { put(issuer: string, found: OfferTexts | Offer): void };
}

type AwsSettings = NonNullable<NonNullable<TLSIssuer['spec']['ca']>['awsSecretsManager']>;

const readMs = 60_000;

/** Reconciles by the name of a TLSIssuer. `run` once, on the leader alone. */
export class AwsAuthorities {
  readonly #deps: AwsAuthoritiesDeps;
  readonly #controller: Controller;
  /** Version that was read last, by issuer and where it is. */
  readonly #read = new Map<string, string>();

  constructor(deps: AwsAuthoritiesDeps) {
    this.#deps = deps;
    const { clock, logger, kubeMetrics: metrics, issuers } = deps;
    this.#controller = new Controller({
      name: 'aws-authorities',
      feeds: [feed(issuers, ({ metadata, spec }) => (spec.ca?.awsSecretsManager === undefined ? [] : [metadata.name]))],
      reconcile: (name, signal) => this.#reconcile(name, signal),
      clock,
      logger,
      metrics,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  run(signal: AbortSignal): Promise<void> {
    return this.#controller.run(signal);
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { issuers, offers, logger } = this.#deps;
    const settings = issuers.get(name)?.spec.ca?.awsSecretsManager;
    if (settings === undefined) {
      this.#read.delete(name);
      return undefined;
    }
    try {
      const found = await this.#find(settings, signal);
      if (found === undefined) throw new SinkError('Failed', `AWS has no secret "${settings.secretId}"`);
      const version = JSON.stringify([settings, found.version]);
      if (this.#read.get(name) === version) return { after: readMs };
      offers.put(name, textsOf(settings.secretId, found.text));
      this.#read.set(name, version);
      logger.info({ issuer: name, secret: settings.secretId, version: found.version }, 'certificate authority read');
    } catch (error) {
      signal.throwIfAborted();
      logger.warn({ issuer: name, secret: settings.secretId, err: error }, 'certificate authority not read');
      if (!this.#read.has(name)) offers.put(name, refused('AuthorityMissing', messageOf(error)));
    }
    return { after: readMs };
  }

  /** A client for one question a minute is not kept. */
  async #find(settings: AwsSettings, signal: AbortSignal): Promise<AwsValue | undefined> {
    const store = new AwsSecrets(settings, awsCredentials(this.#deps, settings));
    try {
      return await store.read(settings.secretId, signal);
    } finally {
      await store.close();
    }
  }
}

/** The members of the JSON value; what is not text counts as missing, and the offer's judge says so. */
function textsOf(secretId: string, text: string): OfferTexts | Offer {
  const value = parsedJson(text);
  if (typeof value !== 'object' || value === null) {
    const keys = '"tls.crt", "tls.key" and "ca.crt"';
    return refused('AuthorityBroken', `the value of "${secretId}" is no JSON object with ${keys}`);
  }
  const members = new Map<string, unknown>(Object.entries(value));
  const member = (key: string): string => {
    const found = members.get(key);
    return typeof found === 'string' ? found : '';
  };
  return { certificate: member('tls.crt'), key: member('tls.key'), bundle: member('ca.crt') };
}

// The certificate with which this replica serves the control API: signed in memory by the cluster's CA, renewed at two thirds
// of its life and whenever the CA or the trust bundle changes. No Secret holds it; a restart makes a new one.
import { names } from '../lib/api/contract.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { issueLeaf } from '../lib/pki/ca.ts';
import { dnsNamesOf } from '../lib/pki/identity.ts';
import { generateKey, privateKeyPem } from '../lib/pki/keys.ts';
import { type CertificateSource, MemoryCertificateSource } from '../lib/runtime/credentials.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import { aborted } from '../lib/runtime/signals.ts';
import type { AuthoritySource, TrustedAuthority } from './authority/authority.ts';
import type { TrustSource } from './trust/mesh.ts';

export interface ServingDeps {
  readonly authority: AuthoritySource;
  /** Whom clients may chain to. */
  readonly trust: TrustSource;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Tabard's own namespace. */
  readonly namespace: string;
  readonly trustDomain: string;
  readonly clusterDomain: string;
}

const lifetimeMs = 86_400_000;
/** A failed renewal leaves eight hours; this often it is tried again. Also the shortest time between two renewals. */
const retryMs = 60_000;

/** Keeps the certificate. `run` once. */
export class ServingCertificate {
  readonly #deps: ServingDeps;
  readonly #source = new MemoryCertificateSource();
  readonly #first = Promise.withResolvers<void>();

  constructor(deps: ServingDeps) {
    this.#deps = deps;
  }

  /** The newest one. */
  get source(): CertificateSource {
    return this.#source;
  }

  /** Resolves once there is one. Stays pending otherwise. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  /** Follows the CA until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { authority, trust, clock } = this.#deps;
    while (!signal.aborted) {
      const wake = new AbortController();
      const stop = (): void => wake.abort();
      const leave = [authority.subscribe(stop), trust.subscribe(stop)];
      signal.addEventListener('abort', stop, { once: true });
      const signer = authority.current();
      const bundle = trust.current()?.pem;
      const waitMs = signer === undefined || bundle === undefined ? Infinity : await this.#issue(signer, bundle);
      if (waitMs === Infinity) await aborted(wake.signal);
      else await clock.sleep(waitMs, wake.signal).catch(() => undefined);
      for (const end of leave) end();
      signal.removeEventListener('abort', stop);
    }
  }

  /** Makes a certificate with a new key; milliseconds until the next one is due. */
  async #issue({ authority, chain }: TrustedAuthority, trustBundle: string): Promise<number> {
    const { clock, logger, namespace, trustDomain, clusterDomain } = this.#deps;
    const now = clock.now();
    try {
      const { publicKey, privateKey } = await generateKey('ECDSA-P256');
      const services = [{ name: names.operator, headless: false }];
      const { certificate, serial, notAfter } = issueLeaf({
        authority,
        publicKey,
        identity: { trustDomain, namespace, service: names.operator },
        dnsNames: dnsNamesOf({ namespace, clusterDomain, services }),
        lifetimeMs,
        now,
      });
      const verdict = this.#source.offer(
        { certificate: certificate + chain, key: privateKeyPem(privateKey), trustBundle },
        now,
      );
      if (verdict.good) {
        logger.info({ serial, notAfter }, 'serving certificate made');
        this.#first.resolve();
        // A CA near its end gives ever shorter ones; the pause keeps that from becoming a loop.
        return Math.max(retryMs, ((notAfter.getTime() - now.getTime()) * 2) / 3);
      }
      logger.error({ fault: verdict.fault, detail: verdict.detail }, 'serving certificate is no good');
    } catch (error) {
      logger.error({ reason: messageOf(error) }, 'serving certificate not made');
    }
    return retryMs;
  }
}

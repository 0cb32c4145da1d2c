// The CertificateSigningRequests of one issuer that are open: one watch for all of them, however long somebody takes to approve or to sign.
// A request of ours that nobody waits for was made by a leader before this one; its key went with that process, so it is deleted.
import type { Clock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import type { KubeMetrics } from '../../../lib/kube/metrics.ts';
import type { CertificateSigningRequest } from '../../../lib/kube/object.ts';
import { Reflector } from '../../../lib/kube/reflector.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../lib/kube/store.ts';
import { deadline } from '../../../lib/runtime/deadline.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import { isRequestOf, ours } from './request.ts';

/** What the desk works with. */
export interface DeskDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
}

/** Told of a request as it is; undefined = it is gone. */
export type Follower = (request: CertificateSigningRequest | undefined) => void;

const deleteMs = 10_000;
/** What a watch that hangs would not show: whoever waits asks by itself about this often. */
const askMs = 60_000;
const { certificatesigningrequests } = resources;

/** The open requests of one TLSIssuer. `run` once, on the leader. */
export class RequestDesk {
  readonly #issuer: string;
  readonly #deps: DeskDeps;
  readonly #store = new ObjectStore<CertificateSigningRequest>();
  readonly #followers = new Map<string, Follower>();

  constructor(issuer: string, deps: DeskDeps) {
    this.#issuer = issuer;
    this.#deps = deps;
  }

  /** Watches until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { client, clock, logger, kubeMetrics } = this.#deps;
    const name = `certificatesigningrequests of ${this.#issuer}`;
    const metrics = {
      ...kubeMetrics,
      silence: (_: string, read: () => number | undefined) => kubeMetrics.silence(name, read),
    };
    const selection = { labelSelector: ours };
    const resource = certificatesigningrequests;
    const reflector = new Reflector({ client, resource, selection, store: this.#store, clock, logger, metrics });
    const end = this.#store.subscribe((before, after) => this.#changed(before, after));
    try {
      await reflector.run(signal);
    } finally {
      end();
    }
  }

  /** Tells of a request, which is about to be made under this name, whenever something of it may have changed. Returns the function that ends it. */
  follow(name: string, follower: Follower): () => void {
    this.#followers.set(name, follower);
    return () => this.#followers.delete(name);
  }

  /** Asks for a request now and then, until the signal is aborted. */
  async ask(name: string, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#deps;
    while (!signal.aborted) {
      try {
        await clock.sleep(askMs, signal);
        this.#followers.get(name)?.(await client.get(certificatesigningrequests, { name }, { signal }));
      } catch (error) {
        if (isKube(error, 'NotFound')) this.#followers.get(name)?.(undefined);
      }
    }
  }

  /** Deletes a request, also when the order was given up: in a little time of its own. What is left behind Kubernetes removes within a day. */
  async remove({ metadata: { name, uid } }: CertificateSigningRequest): Promise<void> {
    const { client, clock, logger } = this.#deps;
    const limit = deadline(clock, deleteMs, 'deleting a CertificateSigningRequest');
    try {
      await client.delete(certificatesigningrequests, { name }, { uid, signal: limit.signal });
    } catch (error) {
      if (!isKube(error, 'NotFound', 'Conflict')) {
        logger.warn({ request: name, reason: messageOf(error) }, 'a signing request was not deleted');
      }
    } finally {
      limit.end();
    }
  }

  #changed(before: CertificateSigningRequest | undefined, after: CertificateSigningRequest | undefined): void {
    const name = (after ?? before)?.metadata.name ?? '';
    const follower = this.#followers.get(name);
    if (follower !== undefined) follower(after);
    else if (after !== undefined && isRequestOf(this.#issuer, after)) {
      this.#deps.logger.info({ request: name, issuer: this.#issuer }, 'signing request of an earlier leader deleted');
      void this.remove(after);
    }
  }
}

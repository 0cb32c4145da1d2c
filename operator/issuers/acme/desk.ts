// Where the answers to challenges lie while sidecars give them: one Secret per service in Tabard's own namespace, written by the
// leader and read by every replica, since any of them may be the one that a sidecar is connected to. A Secret and nothing
// lesser: the certificate of a tls-alpn-01 challenge has a key. What is left behind by a crash runs out by itself.
import { fieldManagers, labels, MANAGED_BY } from '../../../lib/api/contract.ts';
import type { AcmeChallenge } from '../../../lib/api/control.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import type { Store } from '../../../lib/kube/store.ts';
import type { Reports } from '../../control/report.ts';
import { challengesIn, challengesSecretName, challengesValue, isChallengesSecret } from './board.ts';
import { AcmeError } from './problem.ts';

/** A service of the mesh. */
export interface ServiceName {
  readonly namespace: string;
  readonly service: string;
}

/** Has the sidecars of a service answer challenges. */
export interface ChallengeDesk {
  /** Resolves when the sidecars say that they answer. Rejects with AcmeError `ChallengeNotServed`, or a KubeError. */
  present(service: ServiceName, challenges: readonly AcmeChallenge[], signal: AbortSignal): Promise<void>;
  /** Takes challenges back, by their tokens. */
  withdraw(service: ServiceName, tokens: readonly string[], signal: AbortSignal): Promise<void>;
  /** Deletes what a crash left behind. */
  sweep(signal: AbortSignal): Promise<void>;
}

/** What the desk works with. */
export interface DeskDeps {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'patch' | 'delete'>;
  readonly clock: Clock;
  /** Tabard's own namespace. */
  readonly namespace: string;
  readonly ownSecrets: Pick<Store<Secret>, 'list'>;
  readonly reports: Pick<Reports, 'ofService'>;
}

/** Every sidecar of the service is waited for so long; after that one is enough, and after the last bound there is none. */
const allMs = 20_000;
const someMs = 60_000;
const lookMs = 250;
/** Challenges are answered at most this long. */
const lifeMs = 30 * 60_000;
const conflicts = 10;

/** The desk of the leader. */
export class SecretDesk implements ChallengeDesk {
  readonly #deps: DeskDeps;

  constructor(deps: DeskDeps) {
    this.#deps = deps;
  }

  async present(service: ServiceName, challenges: readonly AcmeChallenge[], signal: AbortSignal): Promise<void> {
    await this.#change(service, (held) => [...held, ...challenges], signal);
    await this.#served(
      service,
      challenges.map(({ token }) => token),
      signal,
    );
  }

  async withdraw(service: ServiceName, tokens: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#change(service, (held) => held.filter(({ token }) => !tokens.includes(token)), signal);
  }

  async sweep(signal: AbortSignal): Promise<void> {
    const { ownSecrets, clock } = this.#deps;
    for (const secret of ownSecrets.list()) {
      if (isChallengesSecret(secret) && challengesIn(secret, clock.now()).length === 0)
        await this.#delete(secret, signal);
    }
  }

  /** Changes what is held, on exactly the version that was read; other orders for the service may do so at the same time. */
  async #change(
    service: ServiceName,
    next: (held: readonly AcmeChallenge[]) => readonly AcmeChallenge[],
    signal: AbortSignal,
  ): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#changeOnce(service, next, signal);
      } catch (error) {
        const raced = isKube(error, 'Conflict') || isKube(error, 'AlreadyExists') || isKube(error, 'NotFound');
        if (!raced || tries >= conflicts) throw error;
      }
    }
  }

  async #changeOnce(
    service: ServiceName,
    next: (held: readonly AcmeChallenge[]) => readonly AcmeChallenge[],
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock, namespace } = this.#deps;
    const ref = { namespace, name: challengesSecretName(service) };
    const known = await client.get(resources.secrets, ref, { signal }).catch((error: unknown) => {
      if (isKube(error, 'NotFound')) return undefined;
      throw error;
    });
    const now = clock.now();
    const wanted = next(known === undefined ? [] : challengesIn(known, now));
    if (wanted.length === 0) return known === undefined ? undefined : this.#delete(known, signal);
    const data = challengesValue(wanted, new Date(now.getTime() + lifeMs));
    const options = { signal, fieldManager: fieldManagers.operator };
    if (known === undefined) {
      const metadata = { ...ref, labels: { [labels.managedBy]: MANAGED_BY } };
      await client.create(resources.secrets, { metadata, type: 'Opaque', data }, options);
      return;
    }
    const { resourceVersion } = known.metadata;
    await client.patch(resources.secrets, ref, { metadata: { resourceVersion }, data }, options);
  }

  async #delete({ metadata }: Secret, signal: AbortSignal): Promise<void> {
    const { name, namespace = '', uid, resourceVersion } = metadata;
    try {
      await this.#deps.client.delete(resources.secrets, { name, namespace }, { signal, uid, resourceVersion });
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
    }
  }

  /** The CA may come to any pod of the service: all of them should know, one of them must. */
  async #served(service: ServiceName, tokens: readonly string[], signal: AbortSignal): Promise<void> {
    const { clock, reports } = this.#deps;
    const startedMs = clock.now().getTime();
    for (;;) {
      const all = reports.ofService(service);
      const serving = all.filter(({ report }) => tokens.every((token) => report.challenges?.includes(token)));
      const waitedMs = clock.now().getTime() - startedMs;
      if (serving.length > 0 && (serving.length === all.length || waitedMs >= allMs)) return;
      if (waitedMs >= someMs) {
        const detail = `${all.length} sidecars of ${service.namespace}/${service.service} are known, none of them answers the challenge`;
        throw new AcmeError('ChallengeNotServed', detail);
      }
      await clock.sleep(lookMs, signal);
    }
  }
}

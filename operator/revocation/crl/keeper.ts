// Keeps the revocation list of every CA, on the leader: signed anew when its content changes and long before it ends. A list that was
// just signed is read back and verified before anybody sees it.
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../../lib/clock.ts';
import { AppError } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../../lib/kube/controller.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import type { Feed } from '../../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../../lib/kube/metrics.ts';
import type { ConfigMap, Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { signCrl } from '../../../lib/pki/crl.ts';
import { crlFault, readCrl } from '../../../lib/pki/crlread.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import type { AuditTrail } from '../../audit/audit.ts';
import type { RevocationBook } from '../book.ts';
import type { CrlAuthorities, CrlAuthority } from './authorities.ts';
import { type CrlState, type CrlTimes, crlTimes, dueAt, nextCrl } from './next.ts';
import { crlLabel, crlManager, crlMap, crlMapName, stateIn } from './store.ts';
import { ofAuthority, wantedEntries } from './wanted.ts';

export interface CrlKeeperDeps {
  readonly client: Pick<KubeClient, 'apply' | 'delete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly audit: AuditTrail;
  readonly book: Pick<RevocationBook, 'list' | 'subscribe'>;
  readonly authorities: CrlAuthorities;
  /** Tabard's Secrets: certificates, and CAs. */
  readonly secrets: Store<Secret>;
  /** Of Tabard's namespace. */
  readonly configMaps: Store<ConfigMap>;
  readonly namespace: string;
  readonly times?: CrlTimes;
}

/** Changes within this time go into one list. */
const gatherMs = 300;
const againMs = 600_000;

/** The controller of all lists. `run` once. */
export class CrlKeeper {
  readonly #deps: CrlKeeperDeps;
  readonly #times: CrlTimes;
  readonly #controller: Controller;
  /** What was written last, by key id: the cache may be behind it. */
  readonly #written = new Map<string, CrlState>();

  constructor(deps: CrlKeeperDeps) {
    this.#deps = deps;
    this.#times = deps.times ?? crlTimes;
    this.#controller = new Controller({
      name: 'crls',
      feeds: [this.#feed()],
      reconcile: (keyId, signal) => this.#reconcile(keyId, signal),
      clock: deps.clock,
      logger: deps.logger,
      metrics: deps.kubeMetrics,
    });
  }

  /** Works until the signal is aborted. */
  run(signal: AbortSignal): Promise<void> {
    return this.#controller.run(signal);
  }

  #feed(): Feed {
    const { authorities, secrets, configMaps, book } = this.#deps;
    const keys = (): readonly string[] => {
      const listed = configMaps.list().flatMap((map) => map.metadata.labels?.[crlLabel]?.toUpperCase() ?? []);
      return [...new Set([...authorities.all().keys(), ...listed])];
    };
    return {
      subscribe: (add) => {
        const later = (): void => {
          for (const key of keys()) this.#controller.enqueue(key, gatherMs);
        };
        const ends = [
          book.subscribe(later),
          secrets.subscribe((before, after) => {
            const secret = after ?? before;
            if (secret !== undefined && authorities.isOurs(secret)) later();
          }),
          configMaps.subscribe((before, after) => {
            const keyId = (after ?? before)?.metadata.labels?.[crlLabel];
            if (keyId !== undefined) this.#controller.enqueue(keyId.toUpperCase(), gatherMs);
          }),
        ];
        for (const key of keys()) add(key);
        return () => {
          for (const end of ends) end();
        };
      },
      keys,
      synced: async (signal) => {
        await Promise.all([secrets.synced(signal), configMaps.synced(signal)]);
      },
    };
  }

  async #reconcile(keyId: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { authorities, configMaps, namespace, clock, book, secrets } = this.#deps;
    const now = clock.now();
    const map = configMaps.get(`${namespace}/${crlMapName(keyId)}`);
    const last = this.#last(keyId, map);
    const signer = authorities.all().get(keyId);
    if (signer === undefined || now >= signer.authority.notAfter) return this.#retire(keyId, last, map, signal);
    const list = book.list();
    const standing = new Set(
      list.flatMap(({ object, standing: is }) => (is === 'ended' ? [] : [object.metadata.name])),
    );
    const wanted = ofAuthority(wantedEntries(list, secrets, now), keyId);
    const next = nextCrl({ last: map === undefined ? undefined : last, wanted, standing, now, times: this.#times });
    const fresh = next ?? last;
    if (next !== undefined) await this.#publish(signer, withNumber(next, last), map, signal);
    if (fresh === undefined) return { after: againMs };
    return { after: Math.max(1_000, dueAt(fresh, this.#times).getTime() - now.getTime()) };
  }

  /** The newer of what was read and what was written: a cache that is behind must not lead to a number that was used. */
  #last(keyId: string, map: ConfigMap | undefined): CrlState | undefined {
    const read = stateIn(map);
    const written = this.#written.get(keyId);
    if (read === undefined) return written;
    return written !== undefined && written.number > read.number ? written : read;
  }

  async #publish(
    { issuer, authority }: CrlAuthority,
    state: CrlState,
    map: ConfigMap | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, namespace, logger, audit } = this.#deps;
    const list = signCrl(
      {
        issuerName: authority.name,
        authorityKeyId: Buffer.from(authority.keyId, 'hex'),
        ...state,
      },
      authority.privateKey,
    );
    const fault = crlFault(readCrl(list), new X509Certificate(authority.certificate));
    if (fault !== undefined)
      throw new AppError('pki_invalid', `the list that was just signed does not verify: ${fault}`);
    const input = crlMap(namespace, authority.keyId, list, state);
    // Exactly the version that was judged: two leaders that overlap must not both use one number.
    const { uid, resourceVersion } = map?.metadata ?? {};
    const exact = map === undefined ? input : { ...input, metadata: { ...input.metadata, uid, resourceVersion } };
    await client.apply(resources.configmaps, exact, { signal, fieldManager: crlManager, force: true });
    this.#written.set(authority.keyId, state);
    const { number, nextUpdate, entries } = state;
    logger.info(
      { issuer, authority: authority.keyId, number, nextUpdate, entries: entries.length },
      'revocation list signed',
    );
    audit.record({
      action: 'CrlPublished',
      askedBy: ['Tabard'],
      reason: entries.length === 0 ? 'Empty' : 'Changed',
      issuer,
      note: `number ${number} with ${entries.length} entries, good until ${nextUpdate.toISOString()}`,
    });
  }

  /** The key is gone: the last list is served as long as it is good. */
  async #retire(
    keyId: string,
    last: CrlState | undefined,
    map: ConfigMap | undefined,
    signal: AbortSignal,
  ): Promise<ReconcileResult> {
    const { client, namespace, clock } = this.#deps;
    if (map === undefined) return undefined;
    const leftMs = (last?.nextUpdate.getTime() ?? 0) - clock.now().getTime();
    if (leftMs > 0) return { after: leftMs + 1_000 };
    try {
      await client.delete(resources.configmaps, { namespace, name: crlMapName(keyId) }, { signal });
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
    }
    this.#written.delete(keyId);
    return undefined;
  }
}

/** Also where the ConfigMap was deleted: the number goes on above what this process gave out. */
function withNumber(next: CrlState, last: CrlState | undefined): CrlState {
  return last === undefined || next.number > last.number ? next : { ...next, number: last.number + 1 };
}

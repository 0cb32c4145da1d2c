// Keeps the key sets that policies name by URL, on the leader: fetches each source again and again, keeps the last good one in a ConfigMap, gives it
// up when it has grown too old, and knows how each stands for the status of policies.
import { sameJson } from '../../lib/api/equal.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { type Feed, feed } from '../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { ConfigMap } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import { sourceOf } from '../../lib/policy/authentication.ts';
import { Backoff } from '../../lib/runtime/backoff.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { ReportedService, Reports } from '../control/report.ts';
import { type FetchDeps, fetchJwks } from './fetch.ts';
import { Hurry } from './hurry.ts';
import type { JwksStandings } from './standings.ts';
import { jwksLabel, jwksMap, jwksMapName, type KeptKeys, keptIn, sourceName, sourcesOf } from './store.ts';

export interface JwksKeeperDeps extends Omit<FetchDeps, 'clock'> {
  readonly client: Pick<KubeClient, 'apply' | 'delete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly policies: Store<TLSPolicy>;
  /** Of Tabard's namespace. */
  readonly configMaps: Store<ConfigMap>;
  readonly namespace: string;
  readonly standings: JwksStandings;
  /** Where sidecars say which issuers sign with keys that they do not know. */
  readonly reports: Pick<Reports, 'onKeysWanted'>;
  /** Tests put in one whose requests do not end by their clock. */
  readonly fetch?: typeof fetchJwks;
}

/** Keys that could not be fetched anew for so long are given up: an issuer that is away for a day issues no tokens either. */
const jwksMaxAgeMs = 24 * 3_600_000;

/** The time of a fetch is written at most so often while the keys stay the same. */
const noteEveryMs = 3_600_000;
const fieldManager = 'tabard-jwks';
const retry = { initialMs: 5_000, maxMs: 300_000 } as const;

/** When a source was last fetched, and when it is to be again. Milliseconds since 1970. */
interface Schedule {
  nextMs: number;
  /** When it was last asked for, in vain or not. */
  triedMs: number;
  fetchedMs: number | undefined;
  /** Somebody asked for the next fetch. */
  isWanted: boolean;
  readonly hurry: Hurry;
  readonly backoff: Backoff;
}

/** The controller of all key sets. `run` once. */
export class JwksKeeper {
  readonly #deps: JwksKeeperDeps;
  readonly #controller: Controller;
  readonly #schedules = new Map<string, Schedule>();

  constructor(deps: JwksKeeperDeps) {
    this.#deps = deps;
    this.#controller = new Controller({
      name: 'token keys',
      feeds: [feed(deps.policies, (policy) => sourcesOf(policy).keys()), this.#maps()],
      reconcile: (name, signal) => this.#reconcile(name, signal),
      clock: deps.clock,
      logger: deps.logger,
      metrics: deps.kubeMetrics,
      workers: 8,
    });
  }

  /** Works until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const end = this.#deps.reports.onKeysWanted((of, issuers) => this.#wanted(of, issuers));
    try {
      await this.#controller.run(signal);
    } finally {
      end();
    }
  }

  /** A pod may hurry the sources of policies of its own namespace alone. */
  #wanted({ namespace }: ReportedService, issuers: readonly string[]): void {
    for (const { metadata, spec } of this.#deps.policies.list()) {
      if (metadata.namespace !== namespace) continue;
      for (const jwt of spec.authentication?.jwt ?? []) {
        const source = issuers.includes(jwt.issuer) ? sourceOf(jwt) : undefined;
        if (source !== undefined) this.#hasten(sourceName(source));
      }
    }
  }

  /** One fetch for all who ask meanwhile: a key of the controller is worked on by one at a time. */
  #hasten(name: string): void {
    const schedule = this.#schedules.get(name);
    if (schedule === undefined) return;
    const nowMs = this.#deps.clock.now().getTime();
    const nextMs = Math.max(nowMs, schedule.hurry.earliestMs(schedule.triedMs));
    if (nextMs >= schedule.nextMs) return;
    schedule.nextMs = nextMs;
    schedule.isWanted = true;
    this.#controller.enqueue(name, nextMs - nowMs);
  }

  /** So that what no policy names any more is found, also by a leader that did not see it go. */
  #maps(): Feed {
    return feed(this.#deps.configMaps, ({ metadata }) => metadata.labels?.[jwksLabel] ?? []);
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { configMaps, namespace, clock, policies } = this.#deps;
    const map = configMaps.get(`${namespace}/${jwksMapName(name)}`);
    const [source] = policies.list().flatMap((policy) => sourcesOf(policy).get(name) ?? []);
    if (source === undefined) return this.#drop(name, map, signal);
    const schedule = this.#scheduleOf(name);
    const waitMs = schedule.nextMs - clock.now().getTime();
    if (waitMs > 0) return { after: waitMs };
    const { fetch = fetchJwks } = this.#deps;
    const { isWanted } = schedule;
    schedule.isWanted = false;
    schedule.triedMs = clock.now().getTime();
    const fetched = await fetch(source, this.#deps, signal);
    const now = clock.now();
    const kept = keptIn(map);
    if (isWanted) schedule.hurry.ended(fetched.ok && !sameJson(fetched.keys, kept?.keys));
    else schedule.hurry.calm();
    const afterMs = fetched.ok ? fetched.againMs : schedule.backoff.next();
    schedule.nextMs = now.getTime() + afterMs;
    if (fetched.ok) {
      schedule.backoff.reset();
      schedule.fetchedMs = now.getTime();
      await this.#keep(name, { url: source.url, fetchedAt: now.toISOString(), keys: fetched.keys }, kept, signal);
      this.#deps.standings.set(name, { keys: fetched.keys.length, fetchedAt: now, fault: undefined });
    } else {
      await this.#fail(name, fetched.why, kept, signal);
    }
    return { after: afterMs };
  }

  async #keep(name: string, next: KeptKeys, kept: KeptKeys | undefined, signal: AbortSignal): Promise<void> {
    const { client, namespace, logger } = this.#deps;
    const isSame = kept !== undefined && sameJson(kept.keys, next.keys);
    if (isSame && Date.parse(next.fetchedAt) - Date.parse(kept.fetchedAt) < noteEveryMs) return;
    await client.apply(resources.configmaps, jwksMap(namespace, name, next), { signal, fieldManager, force: true });
    if (isSame) return;
    const { origin, pathname } = new URL(next.url);
    logger.info({ url: `${origin}${pathname}`, keys: next.keys.length }, 'keys of a token issuer taken in');
  }

  async #fail(name: string, why: string, kept: KeptKeys | undefined, signal: AbortSignal): Promise<void> {
    const { clock, logger, standings } = this.#deps;
    const fetchedMs =
      this.#scheduleOf(name).fetchedMs ?? (kept === undefined ? Number.NaN : Date.parse(kept.fetchedAt));
    const isOld = clock.now().getTime() - fetchedMs > jwksMaxAgeMs;
    const keys = isOld ? 0 : (kept?.keys.length ?? 0);
    if (isOld && kept !== undefined && kept.keys.length > 0)
      await this.#keep(name, { ...kept, keys: [] }, kept, signal);
    if (standings.get(name)?.fault !== why) logger.warn({ why, keys }, 'keys of a token issuer cannot be fetched');
    const fetchedAt = Number.isNaN(fetchedMs) ? undefined : new Date(fetchedMs);
    standings.set(name, { keys, fetchedAt, fault: why });
  }

  async #drop(name: string, map: ConfigMap | undefined, signal: AbortSignal): Promise<void> {
    this.#schedules.delete(name);
    this.#deps.standings.delete(name);
    if (map === undefined) return;
    const { name: mapName, namespace = '' } = map.metadata;
    try {
      await this.#deps.client.delete(resources.configmaps, { name: mapName, namespace }, { signal });
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
    }
  }

  #scheduleOf(name: string): Schedule {
    const known = this.#schedules.get(name);
    if (known !== undefined) return known;
    const schedule: Schedule = {
      nextMs: 0,
      triedMs: 0,
      fetchedMs: undefined,
      isWanted: false,
      hurry: new Hurry(),
      backoff: new Backoff(retry),
    };
    this.#schedules.set(name, schedule);
    return schedule;
  }
}

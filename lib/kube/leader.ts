// One leader among replicas, by a Lease (client-go tools/leaderelection). A replica that does not lead waits until the
// record was not touched for its whole duration, counted by its own timers: neither the clock of another machine nor a
// step of its own wall clock can make two leaders. A Lease is no fence: what the leader writes must be safe by itself
// (server-side apply, resourceVersion preconditions), because it may be paused and wake up after it was replaced.
import type { Clock } from '../clock.ts';
import { AppError, messageOf } from '../errors.ts';
import { deadline } from '../runtime/deadline.ts';
import type { Logger } from '../runtime/logger.ts';
import type { KubeClient } from './client.ts';
import { isKube } from './errors.ts';
import type { KubeMetrics } from './metrics.ts';
import { microTime } from './microtime.ts';
import type { KubeInput, Lease } from './object.ts';
import { resources } from './resources.ts';

export interface LeaderOptions {
  readonly client: KubeClient;
  /** The Lease. */
  readonly namespace: string;
  readonly name: string;
  /** Who we are: unique among the replicas, the same after a restart of the container (the pod's name). */
  readonly identity: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  /** How long an untouched record protects its holder; 15 s by default. */
  readonly leaseMs?: number;
  /** A leader that could not renew for this long has lost; two thirds of leaseMs by default, always shorter than it. */
  readonly renewMs?: number;
  /** Between two tries; by default so that five fit into renewMs. */
  readonly retryMs?: number;
}

/** A candidate. `run` once. */
export class LeaderElector {
  readonly #options: LeaderOptions;
  readonly #leaseMs: number;
  readonly #renewMs: number;
  readonly #retryMs: number;
  readonly #acquired = Promise.withResolvers<void>();
  #leading = false;
  #leftAt: Date | undefined;
  /** The record as last seen, and how long our own timers ran since it last changed. */
  #seen: { readonly lease: Lease; unchangedMs: number } | undefined;

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? 15_000;
    this.#renewMs = options.renewMs ?? (this.#leaseMs * 2) / 3;
    this.#retryMs = options.retryMs ?? this.#renewMs / 5;
  }

  /** True while this replica leads. */
  get leading(): boolean {
    return this.#leading;
  }

  /** Identity of the leader as last seen; undefined when there is none. */
  get leader(): string | undefined {
    const holder = this.#seen?.lease.spec?.holderIdentity;
    return holder === '' ? undefined : holder;
  }

  /**
   * When whoever led before was last heard of, by the record that this replica took over; the beginning of time where there was none.
   * Undefined until this replica leads.
   */
  get leftAt(): Date | undefined {
    return this.#leading ? this.#leftAt : undefined;
  }

  /** Resolves once this replica leads. Stays pending otherwise. */
  get acquired(): Promise<void> {
    return this.#acquired.promise;
  }

  /**
   * Tries to lead, then renews, until the signal is aborted; then releases the lease and resolves. Rejects with AppError
   * `lease_lost` when the lease was lost: the process must end, because it cannot know what it still does as a leader.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { metrics, name, logger, identity } = this.#options;
    metrics.leader.set(0, { lease: name });
    if (!(await this.#acquire(signal))) return;
    this.#leading = true;
    metrics.leader.set(1, { lease: name });
    logger.info({ lease: name, identity }, 'leading');
    this.#acquired.resolve();
    try {
      await this.#hold(signal);
      await this.#release();
    } finally {
      this.#leading = false;
      metrics.leader.set(0, { lease: name });
    }
  }

  /** Tries until it leads (true) or the signal is aborted (false). */
  async #acquire(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      try {
        if (await this.#try(signal)) return true;
      } catch (error) {
        if (!signal.aborted) this.#log('cannot read or take the lease', error);
      }
      // Replicas that started together must not try together for ever.
      await this.#pause(this.#retryMs * (1 + Math.random() / 5), signal);
    }
    return false;
  }

  /** Renews until the signal is aborted. Throws `lease_lost`. */
  async #hold(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#pause(this.#retryMs, signal);
      if (signal.aborted) return;
      const limit = deadline(this.#options.clock, this.#renewMs, 'renewing the lease', signal);
      try {
        await this.#renew(limit.signal);
      } finally {
        limit.end();
      }
      if (limit.expired) throw this.#lost(`it could not be renewed for ${this.#renewMs} ms`);
      if (signal.aborted) return;
    }
  }

  /** Tries to renew until it succeeds or the signal is aborted. Throws `lease_lost` when somebody else holds it. */
  async #renew(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (await this.#try(signal)) return;
        throw this.#lost(`"${this.leader}" holds it`);
      } catch (error) {
        if (error instanceof AppError && error.code === 'lease_lost') throw error;
        if (!signal.aborted) this.#log('cannot renew the lease', error);
      }
      await this.#pause(this.#retryMs / 2, signal);
    }
  }

  /** One try to take or renew: true when the record is ours now. */
  async #try(signal: AbortSignal): Promise<boolean> {
    const { client, identity } = this.#options;
    // The holder's own last answer is the newest there is, unless somebody interfered; then the update is a conflict.
    const ours = this.#leading && this.#seen !== undefined;
    const lease = ours ? this.#seen?.lease : await this.#read(signal);
    if (lease === undefined) return await this.#make(signal);
    if (!ours) this.#observe(lease);
    const holder = lease.spec?.holderIdentity ?? '';
    if (holder !== identity && holder !== '' && !this.#expired(lease)) return false;
    try {
      this.#observe(await client.replace(resources.leases, this.#record(lease), { signal }));
      if (!ours) this.#leftAt = timeOf(lease);
      return true;
    } catch (error) {
      if (!isKube(error, 'Conflict', 'NotFound')) throw error;
      // Somebody was faster: look again, and judge what is there by its holder.
      const newer = await this.#read(signal);
      if (newer === undefined) return await this.#make(signal);
      this.#observe(newer);
      if (newer.spec?.holderIdentity !== identity || !this.#leading) return false;
      throw error;
    }
  }

  /** Makes the Lease, held by us. Throws `AlreadyExists` when somebody was faster. */
  async #make(signal: AbortSignal): Promise<true> {
    this.#observe(await this.#options.client.create(resources.leases, this.#record(undefined), { signal }));
    this.#leftAt ??= new Date(0);
    return true;
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get(resources.leases, { namespace, name }, { signal });
    } catch (error) {
      if (isKube(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  #observe(lease: Lease): void {
    const same =
      this.#seen !== undefined && this.#seen.lease.metadata.resourceVersion === lease.metadata.resourceVersion;
    if (!same) this.#seen = { lease, unchangedMs: 0 };
  }

  #expired(lease: Lease): boolean {
    const seconds = lease.spec?.leaseDurationSeconds;
    const protectedMs = seconds === undefined || seconds <= 0 ? this.#leaseMs : seconds * 1000;
    return (this.#seen?.unchangedMs ?? 0) >= protectedMs;
  }

  /** The record that makes us the holder, over the one that is there. */
  #record(before: Lease | undefined): KubeInput {
    const { namespace, name, identity, clock } = this.#options;
    const now = microTime(clock.now());
    const kept = before?.spec?.holderIdentity === identity;
    const transitions = before?.spec?.leaseTransitions ?? 0;
    return {
      metadata: { ...before?.metadata, name, namespace },
      spec: {
        ...before?.spec,
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000),
        acquireTime: kept ? (before.spec?.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: kept || before === undefined ? transitions : transitions + 1,
      },
    };
  }

  /** Lets the next replica lead at once. Failing costs it only the wait. */
  async #release(): Promise<void> {
    const { client, name, clock, logger } = this.#options;
    const lease = this.#seen?.lease;
    if (lease === undefined) return;
    const record = this.#record(lease);
    const spec = { ...(record['spec'] as object), holderIdentity: '', leaseDurationSeconds: 1 };
    const limit = deadline(clock, 3_000, 'releasing the lease');
    try {
      await client.replace(resources.leases, { ...record, spec }, { signal: limit.signal });
      logger.info({ lease: name }, 'lease released');
    } catch (error) {
      this.#log('could not release the lease', error);
    } finally {
      limit.end();
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, signal);
      if (this.#seen !== undefined) this.#seen.unchangedMs += ms;
    } catch {
      // Aborted; the caller looks at the signal.
    }
  }

  #lost(why: string): AppError {
    const { namespace, name } = this.#options;
    return new AppError('lease_lost', `the lease ${namespace}/${name} is lost: ${why}`);
  }

  #log(message: string, error: unknown): void {
    const { logger, name } = this.#options;
    const level = isKube(error, 'AlreadyExists', 'Conflict') ? 'debug' : 'warn';
    logger[level]({ lease: name, reason: messageOf(error) }, message);
  }
}

function timeOf({ spec }: Lease): Date {
  const ms = Date.parse(spec?.renewTime ?? '');
  return new Date(Number.isNaN(ms) ? 0 : ms);
}

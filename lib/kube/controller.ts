// The loop of an operator: feeds put keys into a queue, workers reconcile one key at a time, failures come back later.
// Seeing (the stores) and doing (reconcile) are apart: nothing that fails here is lost, and no key can stop the loop.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { AppError, messageOf } from '../errors.ts';
import { deadline } from '../runtime/deadline.ts';
import type { Logger } from '../runtime/logger.ts';
import { isKube, KubeError } from './errors.ts';
import type { Feed } from './feed.ts';
import type { KubeMetrics } from './metrics.ts';
import { WorkQueue, type WorkQueueOptions } from './workqueue.ts';

/** What a reconcile returns: nothing, or when to look at the key again although nothing changed. */
export type ReconcileResult = void | { readonly after: number };

/** Brings the world to what the key's object wants. May run for several keys at once, never twice for one. */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileResult>;

export interface ControllerOptions {
  /** For logs and metrics. */
  readonly name: string;
  readonly feeds: readonly Feed[];
  readonly reconcile: Reconcile;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  /** Keys at once; 1 by default. */
  readonly workers?: number;
  /** All keys are looked at again about this often (plus or minus a quarter), as a safety net; 1 h by default. */
  readonly resyncMs?: number;
  /** The signal of one reconcile is aborted after this long; 2 min by default. */
  readonly reconcileTimeoutMs?: number;
  /** On stop: keys that are ready or running may take this long, then their signal is aborted; 5 s by default. */
  readonly drainMs?: number;
  readonly queue?: Omit<WorkQueueOptions, 'clock'>;
}

/** A failure that no retry can cure: it is recorded and the key rests until something changes. */
export class TerminalError extends AppError {
  constructor(message: string, cause?: unknown) {
    super(cause instanceof AppError ? cause.code : 'input_invalid', message, { cause });
    this.name = 'TerminalError';
  }
}

/** One controller. `run` once. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;
  readonly #log: Logger;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({ clock: options.clock, ...options.queue });
    this.#log = options.logger.child({ controller: options.name });
  }

  /** Asks for a key to be reconciled: now, or after a while. For causes that no store shows. */
  enqueue(key: string, afterMs: number = 0): void {
    this.#queue.addAfter(key, afterMs);
  }

  /**
   * Waits for the feeds' stores, then works until the signal is aborted: takes no new keys, finishes what is ready
   * within drainMs (at once when the reason is `lease_lost`), and resolves. Rejects only if a store does not sync before the signal.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { feeds, metrics, name } = this.#options;
    await Promise.all(feeds.map((each) => each.synced(signal)));
    const undo = [
      metrics.queueDepth(name, () => this.#queue.depth),
      metrics.queueAge(name, () => this.#queue.oldestMs / 1000),
      ...feeds.map((each) => each.subscribe((key) => this.#queue.add(key))),
    ];
    const cut = new AbortController();
    const workers = Array.from({ length: this.#options.workers ?? 1 }, () => this.#work(cut.signal));
    await this.#resyncUntil(signal);
    for (const end of undo) end();
    this.#queue.close();
    await this.#drain(Promise.all(workers), cut, signal.reason);
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
      await this.#one(key, signal);
      this.#queue.done(key);
      // Reconciles that find nothing to do never wait; thousands in a row would keep timers and sockets from their turn,
      // and with them the renewal of the lease.
      await nextTurn();
    }
  }

  /** One reconcile. Never throws. */
  async #one(key: string, signal: AbortSignal): Promise<void> {
    const { clock, metrics, name, reconcile } = this.#options;
    const started = clock.now().getTime();
    const limit = deadline(clock, this.#options.reconcileTimeoutMs ?? 120_000, `reconciling ${key}`, signal);
    let result = 'ok';
    try {
      const outcome = await reconcile(key, limit.signal);
      this.#queue.forget(key);
      if (outcome !== undefined) {
        result = 'again';
        this.#queue.addAfter(key, outcome.after);
      }
      this.#log.debug({ object: key, result, after: outcome?.after }, 'reconciled');
    } catch (error) {
      result = this.#failed(key, error, signal);
    } finally {
      limit.end();
      metrics.reconcileSeconds.observe((clock.now().getTime() - started) / 1000, { controller: name, result });
    }
  }

  #failed(key: string, error: unknown, signal: AbortSignal): string {
    if (signal.aborted) {
      this.#log.info({ object: key, reason: messageOf(error) }, 'reconcile cut off by the stop');
      return 'failed';
    }
    if (error instanceof TerminalError) {
      this.#queue.forget(key);
      this.#log.error({ object: key, err: error }, 'reconcile cannot succeed');
      return 'terminal';
    }
    const atLeastMs = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    const retryMs = this.#queue.addFailed(key, atLeastMs);
    const failures = this.#queue.failures(key);
    this.#options.metrics.retries.inc({ controller: this.#options.name });
    // Two writers that meet are ordinary: the next try reads the newer object.
    const level = isKube(error, 'Conflict') && failures < 5 ? 'info' : 'warn';
    this.#log[level]({ object: key, failures, retryMs, err: error }, 'reconcile failed');
    return 'failed';
  }

  async #resyncUntil(signal: AbortSignal): Promise<void> {
    const period = this.#options.resyncMs ?? 3_600_000;
    while (!signal.aborted) {
      try {
        await this.#options.clock.sleep(period * (0.75 + Math.random() / 2), signal);
      } catch {
        return;
      }
      for (const each of this.#options.feeds) for (const key of each.keys()) this.#queue.add(key);
    }
  }

  async #drain(workers: Promise<unknown>, cut: AbortController, reason: unknown): Promise<void> {
    const timer = new AbortController();
    // Another replica may write already: nothing more is begun, and what runs is told to stop at once.
    const lost = reason instanceof AppError && reason.code === 'lease_lost';
    const drainMs = lost ? 0 : (this.#options.drainMs ?? 5_000);
    const late = this.#options.clock.sleep(drainMs, timer.signal).then(
      () => {
        this.#log.warn({ ready: this.#queue.depth }, 'cutting off reconciles that did not finish in time');
        this.#queue.drop();
        cut.abort(new AppError('timeout', 'the process is stopping'));
      },
      () => undefined,
    );
    await workers;
    timer.abort();
    await late;
  }
}

// Runs the parts of a process and stops them in order. Parts belong to stages; stop ends one stage after the other,
// first added first, and waits for each. A part that fails stops the whole process with a non-zero exit code.
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import { AppError } from '../errors.ts';
import type { Logger } from './logger.ts';
import { aborted } from './signals.ts';

/** A part: runs until its signal is aborted, then cleans up and returns. Returning early is fine, throwing is fatal. */
export type Part = (signal: AbortSignal) => Promise<void>;

export interface LifecycleOptions {
  readonly logger: Logger;
  /** The whole stop may take this long; what still runs then is abandoned. 30 s by default, below the pod's grace. */
  readonly stopTimeoutMs?: number;
  readonly clock?: Clock;
}

/** Parts that stop together. */
export interface Stage {
  /** Starts a part at once. After the stage began to stop it is a no-op. */
  run(name: string, part: Part): void;
  /** Aborted when this stage stops; the reason is the failure that stopped the process, if one did. */
  readonly signal: AbortSignal;
}

interface StageState {
  readonly name: string;
  readonly abort: AbortController;
  readonly running: Map<Promise<void>, string>;
}

/** One process: stages, a cause to stop, an exit code. */
export class Lifecycle {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #stopTimeoutMs: number;
  readonly #stages: StageState[] = [];
  readonly #stopping = new AbortController();
  #failure: unknown;

  constructor(options: LifecycleOptions) {
    this.#logger = options.logger;
    this.#clock = options.clock ?? systemClock;
    this.#stopTimeoutMs = options.stopTimeoutMs ?? 30_000;
  }

  /** Aborted as soon as the process is to stop, before any stage stops: readiness turns false on it. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** A new stage, stopped after all stages made before it. */
  stage(name: string): Stage {
    const state: StageState = { name, abort: new AbortController(), running: new Map() };
    this.#stages.push(state);
    return { signal: state.abort.signal, run: (part, run) => this.#start(state, part, run) };
  }

  /** Asks the process to stop. A failure makes the exit code 1; the first one counts. Never throws. */
  stop(reason: string, failure?: unknown): void {
    if (failure !== undefined && this.#failure === undefined) this.#failure = failure;
    if (this.#stopping.signal.aborted) return;
    if (failure === undefined) this.#logger.info({ reason }, 'stopping');
    else this.#logger.error({ reason, err: failure }, 'stopping after a failure');
    this.#stopping.abort(failure ?? new AppError('timeout', `the process is stopping: ${reason}`));
  }

  /** Waits for the cause to stop, stops every stage in order within the time limit, and returns the exit code. */
  async finished(): Promise<0 | 1> {
    await aborted(this.#stopping.signal);
    const started = this.#clock.now().getTime();
    const limit = new AbortController();
    const timer = this.#clock.sleep(this.#stopTimeoutMs, limit.signal).then(
      () => 'late' as const,
      () => 'cancelled' as const,
    );
    let inTime = true;
    for (const stage of this.#stages) inTime = (await this.#stopStage(stage, timer, inTime)) && inTime;
    limit.abort();
    const ms = this.#clock.now().getTime() - started;
    this.#logger.info({ ms, inTime }, 'stopped');
    return this.#failure === undefined && inTime ? 0 : 1;
  }

  /** Stops on SIGTERM and SIGINT; a second one ends the process at once. Returns the function that undoes it. */
  onSignals(process: Pick<NodeJS.Process, 'on' | 'off' | 'exit'>): () => void {
    const handle = (name: NodeJS.Signals) => {
      if (this.#stopping.signal.aborted) process.exit(1);
      this.stop(name);
    };
    process.on('SIGTERM', handle);
    process.on('SIGINT', handle);
    return () => {
      process.off('SIGTERM', handle);
      process.off('SIGINT', handle);
    };
  }

  #start(stage: StageState, name: string, part: Part): void {
    if (stage.abort.signal.aborted) return;
    const running: Promise<void> = (async () => part(stage.abort.signal))()
      .catch((error: unknown) => {
        // A part that rejects because it was told to stop did what it should.
        if (!stage.abort.signal.aborted) this.stop(`${name} failed`, error);
        else if (error !== stage.abort.signal.reason)
          this.#logger.warn({ part: name, err: error }, 'a part failed while stopping');
      })
      .finally(() => stage.running.delete(running));
    stage.running.set(running, name);
  }

  async #stopStage(stage: StageState, timer: Promise<'late' | 'cancelled'>, inTime: boolean): Promise<boolean> {
    stage.abort.abort(this.#stopping.signal.reason);
    if (stage.running.size === 0) return true;
    const done = Promise.all(stage.running.keys()).then(() => 'done' as const);
    // Once the time is up the remaining stages are only told, not waited for.
    const outcome = inTime ? await Promise.race([done, timer]) : 'late';
    if (outcome === 'done') return true;
    this.#logger.error({ stage: stage.name, parts: [...stage.running.values()] }, 'parts did not stop in time');
    return false;
  }
}

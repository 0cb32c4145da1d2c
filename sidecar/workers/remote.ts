// The control API as a further worker has it: by way of the first one, which alone is connected.
import type { StatusReport } from '../../lib/api/control.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { ControlPort } from '../control/client.ts';
import { aborted } from '../wait.ts';
import type { Said } from './link.ts';

/** What it needs. */
export interface RemoteDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Since when the control API is away (ms since the epoch), as the first worker knew it at the start. */
  readonly awaySinceMs: number | undefined;
  say(said: Said): void;
}

interface Line {
  readonly path: string;
  readonly message: unknown;
}

/** Follows what the first worker passes on. */
export class RemoteControl implements ControlPort {
  readonly #deps: RemoteDeps;
  readonly #listeners = new Map<string, Set<(message: unknown) => void>>();
  #awaySinceMs: number | undefined;
  /** Lines that came before `run`: what was kept comes first, so that it cannot undo what is newer. */
  #early: Line[] | undefined = [];

  constructor(deps: RemoteDeps) {
    this.#deps = deps;
    this.#awaySinceMs = deps.awaySinceMs;
  }

  subscribe(path: string, listener: (message: unknown) => void): () => void {
    const listeners = this.#listeners.get(path) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(path, listeners);
    this.#deps.say({ kind: 'follow', path });
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      this.#listeners.delete(path);
      this.#deps.say({ kind: 'leave', path });
    };
  }

  awayMs(): number {
    // At least 1: a clock that is set must not make what is away present.
    return this.#awaySinceMs === undefined ? 0 : Math.max(1, this.#deps.clock.now().getTime() - this.#awaySinceMs);
  }

  /** The connection to the control API is lost (since then), or stands (undefined). */
  away(sinceMs: number | undefined): void {
    this.#awaySinceMs = sinceMs;
  }

  /** Reports go to the first worker, which makes one of all. */
  post(_path: string, body: unknown): Promise<boolean> {
    this.#deps.say({ kind: 'report', report: body as StatusReport });
    return Promise.resolve(true);
  }

  /** The connection is the first worker's. */
  reconnect(): void {}

  /** Passes lines on from now on. */
  async run(signal: AbortSignal): Promise<void> {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const line of early) this.heard(line);
    await aborted(signal);
  }

  /** The first worker passes a line on. */
  heard(line: Line): void {
    if (this.#early !== undefined) return void this.#early.push(line);
    for (const listener of this.#listeners.get(line.path) ?? []) this.#offer(line, listener);
  }

  /** What this worker refuses leaves it behind the first one, which then ends it. */
  #offer({ path, message }: Line, listener: (message: unknown) => void): void {
    try {
      listener(message);
    } catch (err) {
      this.#deps.logger.error({ err, path }, 'the first worker sent what cannot be used');
    }
  }
}

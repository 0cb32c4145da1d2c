// The orderly end of the data path: no new connections, those that are quiet are ended at once, the others when they become quiet
// or at the deadline.
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { LiveConnections } from './relay/live.ts';

/** What a drain needs. */
export interface DrainDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly listeners: readonly { close(): void }[];
  readonly live: LiveConnections;
  readonly drainMs: number;
}

/** Drains; resolves when no connection is left, at the deadline at the latest. */
export async function drain({ clock, logger, listeners, live, drainMs }: DrainDeps): Promise<void> {
  const startedMs = clock.now().getTime();
  for (const listener of listeners) listener.close();
  live.drain(drainMs);
  const done = new AbortController();
  const late = new AbortController();
  const timer = clock.sleep(drainMs, done.signal).then(
    () => late.abort(),
    () => undefined,
  );
  await live.empty(late.signal);
  done.abort();
  await timer;
  const cut = live.endAll();
  logger.info({ ms: clock.now().getTime() - startedMs, cut }, 'connections drained');
}

// What both kinds of workers are given. Types alone. What has state or weight comes from whoever loads this folder: in the bundled program
// it is a file of its own (hack/build.ts), and a second copy of the core, or of a class that is asked for by `instanceof`, would not do.
import type { Clock } from '../../lib/clock.ts';
import type { Stage } from '../../lib/runtime/lifecycle.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Metrics } from '../../lib/runtime/metrics.ts';

/** Parts of a process. */
export interface ProxyParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly traffic: Stage;
  readonly background: Stage;
  /** Asks the process to stop. */
  stop(reason: string, failure?: unknown): void;
}

// What a client's connection works with.
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PodBook } from './book.ts';
import type { ControlLimits } from './limits.ts';
import type { Members } from './members.ts';
import type { ControlMetrics } from './metrics.ts';
import type { Refusals } from './refusals.ts';
import type { ReportStore } from './report.ts';
import type { ControlSession } from './session.ts';
import type { Topics } from './topics.ts';

/** Shared by all connections. */
export interface SessionDeps {
  readonly mesh: Pick<Mesh, 'pod'>;
  readonly topics: Topics;
  readonly members: Members;
  readonly book: PodBook<ControlSession>;
  readonly reports: ReportStore;
  readonly refusals: Refusals;
  readonly metrics: ControlMetrics;
  readonly limits: ControlLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Whether a SPIFFE URI is the operator's own. */
  isReplica(identity: string): boolean;
  /** A connection is over. */
  closed(session: ControlSession): void;
}

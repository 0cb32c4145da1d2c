// What a sidecar loads when it has more than one worker, and not before: in the bundled program this is a file of its own.
import type { DestinationSnapshot } from '../../lib/api/control.ts';
import type { SnapshotStore } from '../control/store.ts';
import { type CoreView, Crew, type CrewDeps } from './crew.ts';
import { Hub } from './hub.ts';
import type { Seat } from './seat.ts';
import { shareOf } from './share.ts';
import { WorkerMetrics } from './workermetrics.ts';

export { startFurther } from './further.ts';

/** What a crew is made of. */
export interface CrewParts extends Omit<CrewDeps, 'hub' | 'sum'> {
  readonly parseDestination: (message: unknown) => DestinationSnapshot;
}

/** The first worker's part in all of them. */
export interface OpenCrew {
  /** Its own place. */
  readonly seat: Seat;
  /** Of all workers. */
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  /** Runs the other workers until the signal is aborted, and drains them then. */
  run(core: CoreView, signal: AbortSignal): Promise<void>;
}

/** Makes the first worker's place; the core that takes it opens the connection that all share. */
export function openCrew({ parseDestination, ...parts }: CrewParts): OpenCrew {
  const { metrics, clock, workers } = parts;
  let hub: Hub | undefined;
  let store: SnapshotStore | undefined;
  const sum = new WorkerMetrics(metrics, clock, () => crew.members());
  const crew: Crew = new Crew({ ...parts, sum, hub: () => hub });
  const hubDeps = {
    parseDestination,
    onDestination: () => store?.touch(),
    onConnection: (stands: boolean) => crew.connection(stands),
    agreed: () => crew.agreed(),
  };
  const seat: Seat = {
    control: (own) => {
      hub = new Hub(own, hubDeps);
      return hub;
    },
    store: (own) => {
      store = own();
      return store;
    },
    kept: (own) => hub?.kept(own) ?? own,
    share: shareOf(workers),
  };
  return { seat, metrics: sum, run: (core, signal) => crew.run(core, signal) };
}

// What a core does otherwise when it is one of several workers. Types alone: a worker that is alone loads nothing of this folder.
import type { SelfSnapshot } from '../../lib/api/control.ts';
import type { ControlClient, ControlPort } from '../control/client.ts';
import type { Kept, SnapshotStore } from '../control/store.ts';

/** What a core needs of a store of snapshots. */
export type StorePort = Pick<SnapshotStore, 'load' | 'touch' | 'run'>;
/** Makes a connection to the control API; the argument is told when it stands and when it is lost. */
export type OwnControl = (onConnection?: (stands: boolean) => void) => ControlClient;

/** One worker's place among all. */
export interface Seat {
  /** By what the control API is followed. */
  control(own: OwnControl): ControlPort;
  /** By what snapshots are kept. */
  store(own: () => SnapshotStore): StorePort;
  /** What is kept, with what only other workers know. */
  kept(own: Kept): Kept;
  /** The share of this worker in what the policy allows to all of them. */
  share(limits: SelfSnapshot['policy']['connections']): SelfSnapshot['policy']['connections'];
  /** How long changes are gathered before they are told; absent = as long as a worker that is alone does. */
  readonly settleMs?: number;
}

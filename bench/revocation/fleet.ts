// A process with some of the simulated sidecars. Told over IPC: who they are, whom they are to have live connections with. Tells when
// all of them stand, and when each was cut (nanoseconds of the monotonic clock, which all processes of a machine share).
import { createLogger } from '../../lib/runtime/logger.ts';
import { Pairs, type SimulatedPod, SimulatedSidecar } from './sidecar.ts';

/** What it is told. */
export type Order =
  | { readonly kind: 'be'; readonly pods: readonly SimulatedPod[] }
  /** Every sidecar opens one connection with this identity. */
  | { readonly kind: 'connect'; readonly peer: string };

/** What it tells. */
export type Answer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'connected' }
  /** Nanoseconds, as text: IPC knows no bigint. */
  | { readonly kind: 'cut'; readonly at: readonly string[] };

const pairs = await Pairs.open();
const stop = new AbortController();
let sidecars: readonly SimulatedSidecar[] = [];

function tell(answer: Answer): void {
  process.send?.(answer);
}

async function be(pods: readonly SimulatedPod[]): Promise<void> {
  const logger = createLogger({ name: 'sidecar', level: 'error' });
  sidecars = pods.map((pod) => new SimulatedSidecar(pod, pairs, logger));
  for (const sidecar of sidecars) sidecar.run(stop.signal);
  while (!sidecars.every(({ isReady }) => isReady)) await new Promise((resolve) => setTimeout(resolve, 50));
  tell({ kind: 'ready' });
}

async function connect(peer: string): Promise<void> {
  const connections = await Promise.all(sidecars.map((sidecar) => sidecar.connect(peer)));
  tell({ kind: 'connected' });
  const at = await Promise.all(connections.map(({ ended }) => ended));
  tell({ kind: 'cut', at: at.map(String) });
}

process.on('message', (order: Order) => {
  if (order.kind === 'be') void be(order.pods);
  else void connect(order.peer);
});
process.on('disconnect', () => process.exit(0));

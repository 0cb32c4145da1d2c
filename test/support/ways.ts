// The ways in which bytes travel between two sidecars: every transport over every relay. `make test` prints the matrix of what ran over which, and runs
// suites that name no relay once for each (hack/bothrelays.ts).
import type { EffectivePolicy } from '../../lib/api/control.ts';
import { defaultRelay, type RelayName, relayNames } from './relays.ts';

/** One cell of the matrix. */
export interface Way {
  readonly transport: NonNullable<EffectivePolicy['connections']['transport']>;
  readonly relay: RelayName;
}

const transports = ['Tunnel', 'Direct'] as const;

/** What the chart installs. */
export const usualWay: Way = { transport: 'Tunnel', relay: defaultRelay };

const named = (way: Way): readonly [string, Way] => [`${way.transport}, ${way.relay} relay`, way];

/** Every cell, with its name first: for `describe.each`. */
export const everyWay: readonly (readonly [string, Way])[] = transports.flatMap((transport) =>
  relayNames.map((relay) => named({ transport, relay })),
);

/** Every transport and every relay once: for suites in which the two do not meet. */
export const bothWays: readonly (readonly [string, Way])[] = [
  named({ transport: 'Tunnel', relay: 'fast' }),
  named({ transport: 'Direct', relay: 'public' }),
];

// The relays that carry bytes, for tests that run over each of them, and the one that a test process without a wish of its own uses.
import type { OpenHalf } from '../../sidecar/relay/half.ts';
import { handleHalves } from '../../sidecar/relay/handlehalf.ts';
import { handleParts } from '../../sidecar/relay/handles.ts';
import { openStreamHalf } from '../../sidecar/relay/streamhalf.ts';

/** Every relay by its name. */
export const relays: Readonly<Record<'public' | 'fast', OpenHalf>> = {
  public: openStreamHalf,
  fast: handleHalves(handleParts()),
};

/** Names of the relays, the one that needs no proof first. */
export const relayNames = ['public', 'fast'] as const;
export type RelayName = (typeof relayNames)[number];

/** TABARD_TEST_RELAY chooses for a whole run, also for processes that a test starts; the fast one is what the chart installs. */
export const defaultRelay: RelayName = process.env['TABARD_TEST_RELAY'] === 'public' ? 'public' : 'fast';

/** Halves as a sidecar in a test makes them. */
export const openTestHalf: OpenHalf = relays[defaultRelay];

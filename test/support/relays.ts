// The relays that carry bytes, for tests that run over each of them, and the one that a test process without a wish of its own uses.
import type { OpenHalf } from '../../sidecar/relay/half.ts';
import { openStreamHalf } from '../../sidecar/relay/streamhalf.ts';

/** Halves as a sidecar in a test makes them. */
export const openTestHalf: OpenHalf = openStreamHalf;

// All pairs of the benchmark, in the order of its tables.
import type { Contestant } from './contestant.ts';
import { envoyPairs } from './envoy.ts';
import { otherPairs } from './others.ts';
import { tabardPairs } from './tabard.ts';

/** Nothing between client and server: what the machine itself costs. */
export const floor: Contestant = { name: 'no proxy', layer: 'none', lacks: ['handshake'] };

/** The floor and every pair. */
export const contestants: readonly Contestant[] = [floor, ...tabardPairs, ...envoyPairs, ...otherPairs];

// Which relay carries the bytes of this process: the fast one where it was wished and has proved itself on this Node, else the public one.
import type { RelayWish } from '../../lib/api/contract.ts';
import { messageOf } from '../../lib/errors.ts';
import type { OpenHalf } from './half.ts';
import { handleHalves } from './handlehalf.ts';
import { handleParts } from './handles.ts';
import { selfTest } from './selftest.ts';
import { openStreamHalf } from './streamhalf.ts';

/** A relay, and why it is this one. */
export interface RelayChoice {
  readonly path: 'fast' | 'public';
  readonly why: string;
  readonly openHalf: OpenHalf;
  /** What the self-test took in milliseconds; undefined when there was none. */
  readonly testMs?: number;
}

/** Chooses. `makeFast` throws where Node lacks what the fast path needs; tests give their own. Never rejects. */
export async function chooseRelay(
  wish: RelayWish,
  makeFast: () => OpenHalf = () => handleHalves(handleParts()),
): Promise<RelayChoice> {
  const fallback = (why: string): RelayChoice => ({ path: 'public', why, openHalf: openStreamHalf });
  if (wish === 'Public') return fallback('the settings ask for it');
  const startedAt = performance.now();
  try {
    const openHalf = makeFast();
    const fault = await selfTest(openHalf);
    const testMs = performance.now() - startedAt;
    if (fault !== undefined) return { ...fallback(`the fast path failed its self-test: ${fault}`), testMs };
    return { path: 'fast', why: `it passed its self-test on Node ${process.versions.node}`, openHalf, testMs };
  } catch (error) {
    return fallback(`the fast path is not there: ${messageOf(error)}`);
  }
}

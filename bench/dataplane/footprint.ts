// What a pair needs before and beside its work: time until it is ready, memory when idle, under 50 connections, and with a thousand idle ones.
import { setTimeout as delay } from 'node:timers/promises';
import type { Memory, Pair } from './pair.ts';

/** Figures of one pair. Memory is megabytes. */
export interface Footprint {
  /** Milliseconds from the start of a process until it is ready, each proxy of the pair each time. */
  readonly readyMs: readonly number[];
  readonly idle: Memory;
  readonly fifty: Memory;
  readonly thousand: Memory;
}

const IDLE_CONNECTIONS = 1_000;
/** Everything of a start is over by then; the sidecar gives memory back after three seconds. */
const SETTLE_MS = 5_000;

/**
 * Starts every pair, one after the other, and looks at the memory of all when nothing goes on; then all anew with a thousand idle
 * connections; then anew with work on fifty. The pairs are up at the end.
 */
export async function footprints(
  pairs: readonly Pair[],
  { length, starts }: { readonly length: number; readonly starts: number },
): Promise<ReadonlyMap<string, Footprint>> {
  const readyMs = new Map<string, number[]>();
  const restart = async (): Promise<void> => {
    for (const pair of pairs) readyMs.set(pair.name, [...(readyMs.get(pair.name) ?? []), ...(await pair.restart())]);
  };
  for (let extra = 3; extra < starts; extra += 1) await restart();
  await restart();
  await delay(SETTLE_MS);
  const idle = new Map(pairs.map((pair) => [pair.name, pair.memory()]));
  await restart();
  const thousand = await withIdle(pairs);
  await restart();
  const found = new Map<string, Footprint>();
  for (const pair of pairs) {
    const fifty = await underWork(pair, length);
    const none = { client: 0, server: 0 };
    const { name } = pair;
    found.set(name, {
      readyMs: readyMs.get(name) ?? [],
      idle: idle.get(name) ?? none,
      fifty,
      thousand: thousand.get(name) ?? none,
    });
  }
  return found;
}

/** A thousand connections to each pair, one pair after the other. */
async function withIdle(pairs: readonly Pair[]): Promise<ReadonlyMap<string, Memory>> {
  const found = new Map<string, Memory>();
  for (const pair of pairs) {
    await pair.hold(IDLE_CONNECTIONS, async () => {
      await delay(SETTLE_MS / 2);
      found.set(pair.name, pair.memory());
    });
  }
  return found;
}

async function underWork(pair: Pair, length: number): Promise<Memory> {
  const highest = { client: 0, server: 0 };
  const look = setInterval(() => {
    const { client, server } = pair.memory();
    highest.client = Math.max(highest.client, client);
    highest.server = Math.max(highest.server, server);
  }, 100);
  await pair.load({ shape: 'keepalive', connections: 50, seconds: 2 * length });
  clearInterval(look);
  return highest;
}

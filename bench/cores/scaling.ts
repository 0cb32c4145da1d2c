// Sidecars of one, two and three workers, each worker with a small part of a core, under the same work in turns.
import { setTimeout as delay } from 'node:timers/promises';
import type { Load, Pair } from '../dataplane/pair.ts';
import type { Quotas } from './quota.ts';

/** Numbers of workers that are compared. */
export const sizes = [1, 2, 3] as const;
export type Size = (typeof sizes)[number];

/** However busy the machine is. */
const MOST_WARM_UP_SECONDS = 60;

/** One kind of work. */
export interface Work {
  readonly name: string;
  readonly load: Load;
  /** Units that each worker has done before it is measured: V8 takes some eight thousand connections until it has compiled all that is done for one. */
  readonly warmUp: number;
  /** A figure without a bar. */
  readonly isAside?: boolean;
}

/** A sidecar of so many workers, with a client's sidecar that nothing holds back. */
export interface Team {
  readonly size: Size;
  readonly pair: Pair;
  /** The server's workers. */
  readonly workers: readonly number[];
}

/** What one team did in one round. */
export interface Turn {
  /** Units a second. */
  readonly rate: number;
  /** Part of what its workers may use that they did use. */
  readonly used: number;
  /** Part of the whole that each of them had, the busiest first. */
  readonly shares: readonly number[];
  readonly errors: number;
}

/** Waits for the workers of a started pair. Throws where they do not come. */
export async function assemble(size: Size, pair: Pair, clients: number): Promise<Team> {
  for (let tries = 0; tries < 240; tries += 1) {
    const [workers, others] = [pair.processes('server'), pair.processes('client')];
    // A worker is there when it is forked, and serves a moment later: what is carried to warm them up waits for that.
    if (workers.length === size && others.length === clients) return { size, pair, workers };
    await delay(250);
  }
  throw new Error(`${pair.name} has ${pair.processes('server').length} of ${size} workers`);
}

/** Lets every worker compile and grow as one that has been at work for a while. */
export async function warm({ size, pair }: Team, { load, warmUp }: Work): Promise<void> {
  await pair.load({ ...load, units: warmUp * size, seconds: MOST_WARM_UP_SECONDS });
}

/** From now on each worker of a team has this part of a core and no more. */
export function hold({ workers }: Team, quotas: Quotas, part: number): void {
  for (const pid of workers) quotas.limit(pid, part);
}

/** Has a team work whose workers have this part of a core each. Throws when one of them has been replaced. */
export async function turn({ size, pair, workers }: Team, load: Load, part: number): Promise<Turn> {
  const { done, seconds, errors, serverCpus: used } = await pair.load(load);
  if (pair.processes('server').join() !== workers.join()) throw new Error(`a worker of ${pair.name} was replaced`);
  const total = used.reduce((sum, each) => sum + each, 0);
  return {
    rate: done / seconds,
    used: total / (seconds * 1e6 * size * part),
    shares: used.map((each) => each / total).sort((one, other) => other - one),
    errors,
  };
}

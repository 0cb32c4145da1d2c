// How many processes share a sidecar's data path: one, unless its container has more cores and the memory for them. What the container has is
// what cgroup v2 says of it: `cpu.max` is its CPU limit, `memory.max` its memory limit (kernel, admin-guide/cgroup-v2).
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { MOST_WORKERS, type WorkersWish } from '../lib/api/contract.ts';
import { systemCode } from '../lib/errors.ts';

/** What a container may use at most. */
export interface ContainerLimits {
  /** Cores, as a decimal number; Infinity without a limit. */
  readonly cores: number;
  /** Bytes; Infinity without a limit. */
  readonly memory: number;
  /** Cores that the process may run on, limit or not. */
  readonly parallelism: number;
}

/** What a worker may need under load, with room (docs/data-path.md, "More than one core"). */
const MEMORY_EACH = 128 * 1024 * 1024;

/**
 * Processes, 1 or more. `Auto` takes whole cores of the CPU limit, and no more than the memory limit has room for; without a CPU limit it
 * takes one, because the cores of a node are not ours. A number is taken as it is.
 */
export function workersFor(wish: WorkersWish, { cores, memory, parallelism }: ContainerLimits): number {
  if (wish !== 'Auto') return Number(wish);
  if (cores === Infinity) return 1;
  return Math.max(1, Math.min(Math.floor(cores), Math.floor(memory / MEMORY_EACH), parallelism, MOST_WORKERS));
}

/** Reads the limits. What cannot be read or understood (cgroup v1, no cgroups) is no limit. */
export function readLimits(folder: string = '/sys/fs/cgroup'): ContainerLimits {
  const [quota, period] = words(join(folder, 'cpu.max'));
  const [memory] = words(join(folder, 'memory.max'));
  return {
    cores: positive(quota) / positive(period, 1),
    memory: positive(memory),
    parallelism: availableParallelism(),
  };
}

function words(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').trim().split(' ');
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}

/** `max`, nothing and nonsense alike are no limit. */
function positive(text: string | undefined, instead: number = Infinity): number {
  const value = Number(text ?? '');
  return value > 0 ? value : instead;
}

// Gives memory back after the start, when there is nothing to do: what the collector frees, what the C library keeps of what was freed, and
// the pages of Node's own file. Without it all of them keep for hours what the start, and the many connections that may follow it at once,
// needed for a moment.
import type { Clock } from '../lib/clock.ts';
import { forgetPages, programSpans } from './pages.ts';

/** How often is looked, and the processor time that is still quiet within it. */
const LOOK_MS = 1_000;
const QUIET_MS = 30;
/** Work after which it may pay again: a collection takes a tenth of it. */
const WORK_MS = 150;
/** Looks in all. Not for ever: who gives back in every pause of work pays a fifth more for the work that follows. */
const LOOKS = 30;
/** V8 forgets the bytecode of a function that has not run between so many collections: that of the start, which never runs again. */
const COLLECTIONS_AT_START = 7;

/** What it is told. */
export interface MemoryParts {
  readonly clock: Clock;
  /** Processor time of this process so far, in milliseconds. */
  readonly usedMs?: () => number;
  readonly giveBack?: (collections: number) => Promise<void>;
}

/** Gives memory back in each quiet second of the first half minute that follows work. Rejects as sleeping does when the signal is aborted. */
export async function settleMemory(
  { clock, usedMs = processorMs, giveBack = collectAndForget(programSpans()) }: MemoryParts,
  signal: AbortSignal,
): Promise<void> {
  let collections = COLLECTIONS_AT_START;
  let settledAtMs = -WORK_MS;
  let lookedAtMs = usedMs();
  for (let looks = 0; looks < LOOKS; looks += 1) {
    await clock.sleep(LOOK_MS, signal);
    const nowMs = usedMs();
    const isQuiet = nowMs - lookedAtMs < QUIET_MS;
    if (isQuiet && nowMs - settledAtMs >= WORK_MS) {
      await giveBack(collections);
      collections = 1;
      settledAtMs = usedMs();
    }
    lookedAtMs = usedMs();
  }
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** The first does nothing unless Node runs with --expose-gc, the second nothing where there is no glibc. */
function collectAndForget(program: ReturnType<typeof programSpans>): NonNullable<MemoryParts['giveBack']> {
  return async (collections) => {
    for (let done = 0; done < collections; done += 1) {
      await globalThis.gc?.({ type: 'major', execution: 'async', flavor: 'last-resort' });
    }
    trimAllocator();
    // Last: collecting itself looks at many.
    forgetPages(program);
  };
}

/** malloc_trim(3), of all arenas. */
function trimAllocator(): void {
  const ffi = process.getBuiltinModule('node:ffi');
  // The types promise the module, but not every build has it; nor has every C library the function.
  if ((ffi as unknown) === undefined) return;
  try {
    const { functions } = ffi.dlopen(null, { malloc_trim: { arguments: ['uint64'], return: 'int32' } });
    functions.malloc_trim(0n);
  } catch {
    // Nothing is given back then, and nothing else is different.
  }
}
